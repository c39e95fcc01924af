"""What mmdet trains on and what is evaluated, of valid detection data: refused if it is nothing, otherwise counted."""

from collections.abc import Iterator, Mapping, Sequence

from sgenet.data.coco_fields import Annotation, ImageEntry, is_crowd
from sgenet.data.coco_objects import MIN_SIDE, is_trained
from sgenet.data.defects import Defect, first_of
from sgenet.errors import InputError

Images = Mapping[str, Sequence[ImageEntry]]  # of each split
Objects = Mapping[str, Sequence[Annotation]]


def check_use(images: Images, objects: Objects, defects: Sequence[Defect]) -> None:
    """Raise an InputError if a split has no image, nothing to train on, or no object to evaluate.

    Args:
        images: of each split.
        objects: of these images.
        defects: that were left out, for the message.
    """
    for split in images:
        if not images[split]:
            found = f"found no usable image in {split}, expected at least one"
            raise InputError(f"data.detection: {found}{first_of(defects)}")
        if all(map(is_crowd, objects[split])):
            why = "to train on" if split == "train" else "to evaluate"
            expected = f"expected at least one {why} besides crowds and objects with `ignore: 1`"
            raise InputError(f"data.detection: found no usable object in {split}, {expected}{first_of(defects)}")
    large = {entry["id"]: entry for entry in images["train"] if not _is_small(entry)}
    if not large:
        found = f"all {len(images['train']):,} images in train have a side below {MIN_SIDE} px"
        raise InputError(f"data.detection: {found}, expected larger ones: mmdet leaves these out of training")
    trained = _trained([entry for entry in objects["train"] if entry["image_id"] in large], images["train"])
    if not any(found and not is_crowd(entry) for entry, found in trained):
        found = f"found no object in train of at least 1 x 1 px, in an image whose sides are {MIN_SIDE} px or more"
        raise InputError(f"data.detection: {found}, expected at least one: mmdet leaves out the others")


def remarks(images: Images, objects: Objects, given: Mapping[str, Sequence[object]]) -> list[str]:
    """Return one sentence, with a count, for each kind of valid data that training or evaluation does not use.

    Args:
        images: of each split.
        objects: of these images.
        given: the annotations as read, from which degenerate polygons have not been removed.
    """
    train, with_objects = images["train"], {entry["image_id"] for entry in objects["train"]}
    empty = sum(entry["id"] not in with_objects for entry in train)
    small = sum(_is_small(entry) for entry in train if entry["id"] in with_objects)
    thin = sum(not found for _, found in _trained(objects["train"], train))
    both = [entry for split in objects for entry in objects[split]]
    originals = {id(entry) for split in given for entry in given[split]}
    ignored, cleaned = (
        sum(bool(entry.get("ignore")) for entry in both),
        sum(id(entry) not in originals for entry in both),
    )
    found = [
        (empty, "image", "will not be used in training: no object"),
        (small, "image", f"will not be used in training: a side below {MIN_SIDE} px"),
        (thin, "object", "will not be used in training: a box of less than 1 px, or outside its image"),
        (ignored, "object", "with `ignore: 1` will be treated as crowds are: not trained on, ignored in evaluation"),
        (cleaned, "object", "will be used without polygons of less than three points"),
    ]
    return [f"{count:,} {noun}{'s' * (count > 1)} {text}" for count, noun, text in found if count]


def _is_small(entry: ImageEntry) -> bool:
    return min(entry["width"], entry["height"]) < MIN_SIDE


def _trained(objects: Sequence[Annotation], images: Sequence[ImageEntry]) -> Iterator[tuple[Annotation, bool]]:
    """Yield the objects of the images, and whether mmdet trains on their box."""
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in images}
    for entry in objects:
        yield entry, entry["image_id"] not in sizes or is_trained(entry, *sizes[entry["image_id"]])
