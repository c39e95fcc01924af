"""Files of weights: safetensors, released checkpoints of other projects, safe unpickling."""
