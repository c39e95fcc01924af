"""Read and check COCO ground truth and detections; invalid content raises an InputError of one sentence."""

import reprlib
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from sgenet.data.coco_format import is_polygons, is_run_length, read_lists
from sgenet.errors import InputError
from sgenet.runtime.files import read_json

_LARGEST_ID = 2**53
_LARGEST_SIDE = 2**20  # pixels
_MOST_CATEGORIES = 5000  # pycocotools takes 200 kB of memory for each
_MOST_PAIRS = 10**8  # of a category and an image; pycocotools processes each pair four times


def read(
    annotations: Path, detections: Path | list[dict[str, Any]], iou_type: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ground truth and detections as two checked COCO data sets, with only the fields that `iou_type` needs."""
    from pycocotools import mask

    dataset = read_lists(annotations, annotations)
    sides = ("height", "width") if iou_type == "segm" else ()
    images: dict[int, list[int]] = {}
    for index, entry in enumerate(dataset["images"]):
        place = f"{annotations}: images.{index}"
        images[_new(entry, images, place)] = [_side(entry, side, place) for side in sides]
    categories: dict[int, str] = {}
    names: set[str] = set()
    for index, entry in enumerate(dataset["categories"]):
        place = f"{annotations}: categories.{index}"
        name = _field(entry, "name", place)
        if not isinstance(name, str) or not name.isprintable() or name in names:
            raise InputError(f"{place}.name: found {reprlib.repr(name)}, expected a name that no other category has")
        names.add(name)
        categories[_new(entry, categories, place)] = name
    if len(categories) > _MOST_CATEGORIES or len(categories) * len(images) > _MOST_PAIRS:
        counts = f"found {len(categories):,} categories and {len(images):,} images"
        expected = f"at most {_MOST_CATEGORIES:,}, and {_MOST_PAIRS:,} pairs of both"
        raise InputError(f"{annotations}: {counts}, expected {expected}")

    def shaped(entry: Any, place: str, number: int, polygons: bool) -> dict[str, Any]:
        image, category = (_known(entry, key, known, place) for key, known in owners.items())
        checked = {"id": number, "image_id": image, "category_id": category}
        if iou_type == "bbox":
            return {**checked, "bbox": _box(entry, place)}
        return {**checked, "segmentation": _segmentation(entry, place, images[image], polygons)}

    owners: dict[str, dict[int, Any]] = {"image_id": images, "category_id": categories}
    # New ids from 1: pycocotools treats a match to the id 0 as no match, and merges equal ids.
    truth = []
    for number, entry in enumerate(dataset["annotations"], 1):
        place = f"{annotations}: annotations.{number - 1}"
        checked = {**shaped(entry, place, number, True), "area": _number(entry, "area", place)}
        crowd = _whole(entry, "iscrowd", place) if "iscrowd" in entry else 0
        if crowd > 1:
            raise InputError(f"{place}.iscrowd: found {crowd}, expected 0 or 1")
        truth.append({**checked, "iscrowd": crowd})
    source, entries = "detections", detections
    if not isinstance(detections, list):
        source, entries = str(detections), read_json(detections, foreign=True)
    if not isinstance(entries, list):
        raise InputError(f"{source}: found {reprlib.repr(entries)}, expected a list of detections")
    found = []
    for number, entry in enumerate(entries, 1):
        place = f"{source}: {number - 1}"
        score = _number(entry, "score", place, negative=True)
        checked = {**shaped(entry, place, number, False), "score": score, "iscrowd": 0}
        box, shape = checked.get("bbox"), checked.get("segmentation")
        found.append({**checked, "area": box[2] * box[3] if box else float(mask.area(shape))})
    frame = {"images": dataset["images"], "categories": dataset["categories"]}
    return {**frame, "annotations": truth}, {**frame, "annotations": found}


def _field(entry: Any, key: str, place: str) -> Any:
    if not isinstance(entry, dict):
        raise InputError(f"{place}: found {reprlib.repr(entry)}, expected a mapping with {key}")
    if key not in entry:
        raise InputError(f"{place}.{key}: missing")
    return entry[key]


def _whole(entry: Any, key: str, place: str) -> int:
    value = _field(entry, key, place)
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < _LARGEST_ID:
        raise InputError(f"{place}.{key}: found {reprlib.repr(value)}, expected a whole number, not negative")
    return int(value)


def _side(entry: Any, key: str, place: str) -> int:
    value = _number(entry, key, place)
    if value != int(value) or not 0 < value <= _LARGEST_SIDE:
        expected = f"a whole number from 1 to {_LARGEST_SIDE:,}"
        raise InputError(f"{place}.{key}: found {reprlib.repr(value)}, expected {expected}")
    return int(value)


def _new(entry: Any, known: dict[int, Any], place: str) -> int:
    if (value := _whole(entry, "id", place)) in known:
        raise InputError(f"{place}.id: found {value} again, expected a unique id")
    return value


def _known(entry: Any, key: str, known: dict[int, Any], place: str) -> int:
    if (value := _whole(entry, key, place)) not in known:
        raise InputError(f"{place}.{key}: found {value}, expected an id that the annotation file lists")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < 1e300  # type: ignore[operator]  # no NaN


def _number(entry: Any, key: str, place: str, negative: bool = False) -> float:
    value = _field(entry, key, place)
    if not _is_number(value) or (value < 0 and not negative):
        expected = "a finite number" if negative else "a finite number, not negative"
        raise InputError(f"{place}.{key}: found {reprlib.repr(value)}, expected {expected}")
    return value


def _box(entry: Any, place: str) -> list[float]:
    box = _field(entry, "bbox", place)
    four = isinstance(box, list | tuple) and len(box) == 4 and all(map(_is_number, box))
    if not four or min(box[2:]) < 0:
        raise InputError(f"{place}.bbox: found {reprlib.repr(box)}, expected [x, y, width, height]")
    return [float(side) for side in box]


def _segmentation(entry: Any, place: str, size: list[int], polygons: bool) -> Any:
    """A run-length mask of the image's size or, in ground truth, a list of polygons."""
    shape = _field(entry, "segmentation", place)
    if isinstance(shape, dict):
        counts = shape.get("counts")
        if is_run_length(shape, size) and (polygons or isinstance(counts, str | bytes)):
            return {"size": size, "counts": counts}
    elif polygons and shape and is_polygons(shape):
        return shape
    expected = f"a run-length mask of height and width {size}" + (" or polygons" if polygons else "")
    raise InputError(f"{place}.segmentation: found {reprlib.repr(shape)}, expected {expected}")
