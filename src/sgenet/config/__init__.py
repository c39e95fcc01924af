"""What is asked for: parameters, tables, claims, and the runs and paths that follow from them."""
