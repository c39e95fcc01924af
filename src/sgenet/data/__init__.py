"""Data sets: the embedded one, image folders and packs, and annotations in COCO's format."""
