"""Validation of COCO-format annotations: entries that cannot be used are found before training."""

import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sgenet.data.coco_format import is_polygons, is_run_length, read_lists
from sgenet.data.defects import Defect
from sgenet.data.roots import stays_below
from sgenet.errors import InputError

Entry = dict[str, Any]
_SLACK = 1.0  # pixels by which a box may exceed its image
_MOST = 2**53  # every integer up to here is an exact floating-point number


def read_annotations(path: Path, name: str) -> Entry:
    """Read a JSON file and check its lists, ids, categories and file names.

    Args:
        path: of the file.
        name: its path relative to the data's root, for messages.

    Raises:
        InputError: the file is not JSON, a list is missing, an id or a file name is repeated, a file name leaves the
            folder of images, or a category has no unique name. Such defects cannot be skipped.
    """
    content = read_lists(path, name)
    for key in ("images", "annotations", "categories"):
        seen = set()
        for index, entry in enumerate(content[key]):
            number = entry.get("id") if isinstance(entry, dict) else None
            if not _is_whole(number):
                continue
            if number in seen:
                raise InputError(f"{name}: {key}.{index}.id: found {number} again, expected a unique id")
            seen.add(number)
    names = set()
    for index, entry in enumerate(content["categories"]):
        place = f"{name}: categories.{index}"
        if not isinstance(entry, dict) or not _is_whole(entry.get("id")) or not _is_name(entry.get("name")):
            raise InputError(f"{place}: found {reprlib.repr(entry)}, expected an id and a name")
        if entry["name"] in names:
            raise InputError(f"{place}.name: found {entry['name']!r} again, expected a unique name")
        names.add(entry["name"])
    files = set()
    for index, entry in enumerate(content["images"]):
        found = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(found, str):
            place, file = f"{name}: images.{index}.file_name", PurePosixPath(found)
            if not stays_below(found):
                raise InputError(f"{place}: found {found!r}, expected a path inside the folder of images")
            if file in files:
                raise InputError(f"{place}: found {found!r} again, expected a different file for each image")
            files.add(file)
    return content


def check_images(content: Entry, name: str, folder: Path, shown: str, defects: list[Defect]) -> list[Entry]:
    """Return the entries of images that are complete and whose files exist.

    Args:
        content: as returned by `read_annotations`.
        name: of the JSON file, for messages.
        folder: of the images; their file names are relative to it.
        shown: path of `folder` relative to the data's root.
        defects: a defect is appended for each other entry.
    """
    sound = []
    for index, entry in enumerate(content["images"]):
        place = f"{name}: images.{index}"
        fields = {"id": _is_whole, "file_name": _is_name, "width": _is_side, "height": _is_side}
        if not _complete(entry, fields, place, defects):
            continue
        if not os.path.isfile(folder / entry["file_name"]):  # also false for a name that is too long
            text = f"{place}.file_name: found {entry['file_name']!r}, expected a file in {shown}"
            defects.append(Defect("missing image", text))
            continue
        sound.append(entry)
    return sound


def check_objects(content: Entry, name: str, defects: list[Defect]) -> list[Entry]:
    """Return the valid annotations; a defect is appended to `defects` for each other one."""
    sizes = {}
    for entry in content["images"]:
        if isinstance(entry, dict) and _is_whole(entry.get("id")):
            sizes[entry["id"]] = (entry.get("width"), entry.get("height"))
    categories = {entry["id"] for entry in content["categories"]}
    sound = []
    for index, entry in enumerate(content["annotations"]):
        place = f"{name}: annotations.{index}"
        fields = {"id": _is_whole, "image_id": _is_whole, "category_id": _is_whole, "bbox": _is_box, "area": _is_number}
        if not _complete(entry, fields, place, defects):
            continue
        problem = _problem(entry, sizes, categories)
        if problem is None:
            sound.append(entry)
        else:
            defects.append(Defect(problem[0], f"{place}.{problem[1]}"))
    return sound


def _problem(entry: Entry, sizes: dict[int, tuple[Any, Any]], categories: set[int]) -> tuple[str, str] | None:
    """Return kind and description of the first defect of a complete annotation; None if it has none."""
    x, y, wide, high = entry["bbox"]
    shown = f"found {entry['bbox']}"
    if entry["image_id"] not in sizes:
        return "unknown image", f"image_id: found {entry['image_id']}, expected the id of an image of this file"
    if entry["category_id"] not in categories:
        return "unknown category", f"category_id: found {entry['category_id']}, expected a category of this file"
    if entry.get("iscrowd", 0) not in (0, 1):
        return "bad entry", f"iscrowd: found {reprlib.repr(entry['iscrowd'])}, expected 0 or 1"
    if wide <= 0 or high <= 0:
        return "empty box", f"bbox: {shown}, expected a width and a height above 0"
    if entry["area"] <= 0:
        return "empty box", f"area: found {entry['area']}, expected a number above 0"
    width, height = sizes[entry["image_id"]]
    if _is_side(width) and _is_side(height):
        if min(x, y) < -_SLACK or x + wide > width + _SLACK or y + high > height + _SLACK:
            return "box outside its image", f"bbox: {shown}, expected a box within {width} x {height} pixels"
        size = [int(height), int(width)]
        if (shape := entry.get("segmentation")) and not _is_shape(shape, size):
            expected = f"polygons, or a run-length mask of height and width {size}"
            return "bad entry", f"segmentation: found {reprlib.repr(shape)}, expected {expected}"
    return None


def _complete(entry: Any, fields: Mapping[str, Callable[[Any], bool]], place: str, defects: list[Defect]) -> bool:
    """Return whether an entry has all fields with valid values; otherwise a defect is appended to `defects`."""
    if not isinstance(entry, dict):
        defects.append(Defect("bad entry", f"{place}: found {reprlib.repr(entry)}, expected a mapping"))
        return False
    for key, fits in fields.items():
        if key not in entry:
            defects.append(Defect("missing key", f"{place}.{key}: missing, expected {_EXPECTED[fits]}"))
            return False
        if not fits(entry[key]):
            text = f"{place}.{key}: found {reprlib.repr(entry[key])}, expected {_EXPECTED[fits]}"
            defects.append(Defect("bad entry", text))
            return False
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_side(value: Any) -> bool:
    return _is_number(value) and value > 0 and value == int(value)  # some tools write 64.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST  # false for NaN


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


_EXPECTED: dict[Any, str] = {
    _is_whole: "a whole number, not negative",
    _is_side: "a whole number above 0",
    _is_number: "a finite number",
    _is_name: "a printable name",
    _is_box: "[x, y, width, height]",
}


def _is_shape(shape: Any, size: Sequence[int]) -> bool:
    """Return whether a segmentation is a list of polygons, or a run-length mask of height and width `size`."""
    if isinstance(shape, dict):
        return is_run_length(shape, size)
    return is_polygons(shape)
