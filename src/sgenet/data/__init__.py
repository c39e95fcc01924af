"""Data sets: the embedded data, image folders, packed images, and annotations in COCO's format."""
