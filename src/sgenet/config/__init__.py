"""Configuration: parameters, tables and claims, and the runs and paths derived from them."""
