"""The training engine that both tasks share: batches, devices, checkpoints, tracking."""
