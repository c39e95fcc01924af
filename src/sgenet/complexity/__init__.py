"""Parameters and operation counts of the full-size models."""
