"""Training and evaluation of detectors, on mmdet."""
