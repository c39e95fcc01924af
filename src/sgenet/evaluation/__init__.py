"""Detection metrics, resampling and statistics."""
