"""Provenance of results."""
