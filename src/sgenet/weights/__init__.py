"""Weights in files: safetensors, checkpoints that others released, safe unpickling."""
