"""Replication of Spatial Group-wise Enhance (arXiv 1905.09646), end to end."""

__version__ = "0.1.0"
