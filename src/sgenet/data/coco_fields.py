"""The entries of COCO-format files: their types, and the check of their fields."""

import reprlib
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NotRequired, TypedDict, TypeGuard

from sgenet.data.coco_masks import Polygons, RunLength
from sgenet.data.defects import Defect
from sgenet.data.names import ALLOWED, is_name

_LARGEST = 2**53  # every integer up to here is an exact floating-point number
_LARGEST_ID = 2**63  # ids are stored as 64-bit integers
_LARGEST_SIDE = 2**20  # pixels


class ImageEntry(TypedDict):
    """An image, with the fields that its use needs."""

    id: int
    file_name: str
    width: int
    height: int


class Annotation(TypedDict):
    """An object or a crowd; `bbox` is [x, y, width, height] in pixels. See `is_crowd`."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    area: float
    iscrowd: NotRequired[int | bool]
    ignore: NotRequired[int | bool | None]
    segmentation: NotRequired[Polygons | RunLength]


class Detection(TypedDict):
    """A detected object; `bbox` is [x, y, width, height] in pixels. `MASKS` needs `segmentation` and no `bbox`."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float
    segmentation: NotRequired[RunLength]


def check_fields(entry: object, fields: Sequence[str], place: str) -> Defect | None:
    """Return the first defect of an entry's fields, None if all are present and valid."""
    if not isinstance(entry, dict):
        return Defect("bad entry", f"{place}: found {reprlib.repr(entry)}, expected a mapping")
    for field in fields:
        fits, expected = _FIELDS[field]
        if field not in entry:
            return Defect("missing key", f"{place}.{field}: missing, expected {expected}")
        if not fits(entry[field]):
            return Defect("bad entry", f"{place}.{field}: found {reprlib.repr(entry[field])}, expected {expected}")
    return None


def is_crowd(entry: Annotation) -> bool:
    """Return whether an annotation is neither trained on nor required of a detector, nor counted against one.

    These are crowds, and objects with `ignore: 1`: mmdet leaves both out, while pycocotools ignores only crowds.
    """
    return bool(entry.get("iscrowd") or entry.get("ignore"))


def is_flag(value: Any) -> bool:
    """Return whether a value is 0 or 1; some tools write false and true."""
    return (type(value) in (int, bool) or isinstance(value, Integral)) and value in (0, 1)


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value is an id: a whole number from 0, also one of numpy's."""
    whole = type(value) is int or isinstance(value, Integral) and not isinstance(value, bool)
    return whole and 0 <= value < _LARGEST_ID


def _is_number(value: Any) -> bool:
    number = type(value) in (float, int) or isinstance(value, Real) and not isinstance(value, bool)
    return number and abs(value) < _LARGEST  # false for NaN


def _is_positive_or_0(value: Any) -> bool:
    return _is_number(value) and value >= 0


def is_side(value: Any) -> TypeGuard[float]:
    """Return whether a value is a width or a height in pixels."""
    return _is_number(value) and 1 <= value <= _LARGEST_SIDE and value == int(value)  # some tools write 64.0


def is_box(value: Any) -> bool:
    """Return whether a value is [x, y, width, height]."""
    return isinstance(value, list | tuple) and len(value) == 4 and all(map(_is_number, value)) and min(value[2:]) >= 0


_WHOLE = (is_whole, "a whole number from 0 to 2^63 - 1")
_SIDE = (is_side, f"a whole number from 1 to {_LARGEST_SIDE:,}")
_NAME = (is_name, f"a name: {ALLOWED}")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": _WHOLE,
    "image_id": _WHOLE,
    "category_id": _WHOLE,
    "name": _NAME,
    "file_name": _NAME,
    "width": _SIDE,
    "height": _SIDE,
    "bbox": (is_box, "[x, y, width, height], numbers below 2^53"),
    "area": (_is_positive_or_0, "a finite number from 0 to 2^53"),
    "score": (_is_number, "a finite number below 2^53"),
    "segmentation": (bool, "polygons, or a run-length mask"),
}
