"""Metrics of detection, resampling, and statistics."""
