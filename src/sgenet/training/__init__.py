"""The training engine that both tasks share: batches, devices, hooks, checkpoints, tracking."""
