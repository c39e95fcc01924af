"""Replication of Spatial Group-wise Enhance (arXiv 1905.09646), end to end."""
