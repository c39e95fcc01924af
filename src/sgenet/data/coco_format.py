"""COCO's file format: what annotation files and detection files must contain.

`TRAINING`, `BOXES` and `MASKS` state which fields each use of the data needs. Entries are read as JSON and checked one
by one; an invalid entry is reported as a `Defect`, so that the caller decides whether it is refused or left out.
"""

import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, cast

from sgenet.data.coco_fields import Annotation, Detection, ImageEntry, check_fields, is_flag, is_side, is_whole
from sgenet.data.coco_masks import count_pixels, is_polygons, is_run_length, without_degenerate
from sgenet.data.coco_objects import check_box, check_polygons
from sgenet.data.defects import Defect
from sgenet.data.names import explain_forms, other_forms
from sgenet.data.roots import stays_below
from sgenet.errors import InputError
from sgenet.runtime.files import read_json

_MOST_CATEGORIES = 5000  # evaluation takes 32 kB of memory for each
_MOST_PAIRS = 10**8  # of a category and an image; evaluation takes 40 bytes of memory for each


@dataclass(frozen=True)
class Use:
    """The fields that a use of the data needs."""

    image: tuple[str, ...]
    annotation: tuple[str, ...]
    detection: tuple[str, ...]


_OWNER = ("image_id", "category_id")
BOXES = Use(("id",), ("id", *_OWNER, "bbox", "area"), (*_OWNER, "bbox", "score"))
MASKS = Use(("id", "width", "height"), ("id", *_OWNER, "segmentation", "area"), (*_OWNER, "segmentation", "score"))
TRAINING = Use(("id", "file_name", "width", "height"), BOXES.annotation, BOXES.detection)  # masks are optional

Indexed = tuple[int, object]  # index in the file's list, and the entry as read
Report = Callable[[Defect], object]  # is called with each defect


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file whose categories, ids and, for training, file names are valid; see `read_annotations`.

    Attributes:
        name: for messages.
        use: of the data.
        content: as read; the entries of `images` and `annotations` are not checked.
        sizes: id of each image -> [height, width], None where they are not valid.
        categories: id of each category -> name.
    """

    name: str
    use: Use
    content: dict[str, Any]
    sizes: dict[int, list[int] | None]
    categories: dict[int, str]

    @property
    def images(self) -> list[object]:
        """The images as read."""
        return self.content["images"]

    @property
    def annotations(self) -> list[object]:
        """The annotations as read."""
        return self.content["annotations"]

    def check_images(self, entries: Iterable[Indexed], report: Report) -> Iterator[tuple[str, ImageEntry]]:
        """Yield place (for messages) and content of each valid image; other entries are reported."""
        for index, entry in entries:
            place = f"{self.name}: images.{index}"
            if defect := check_fields(entry, self.use.image, place):
                report(defect)
            else:
                yield place, cast(ImageEntry, entry)

    def check_annotations(self, entries: Iterable[Indexed], report: Report) -> Iterator[Annotation]:
        """Yield the valid annotations, without degenerate polygons; other entries are reported."""
        for index, entry, pixels in self._with_pixels(entries):
            place, valid = f"{self.name}: annotations.{index}", cast(Annotation, entry)
            defect = check_fields(entry, self.use.annotation, place) or self._check_annotation(valid, pixels, place)
            if defect:
                report(defect)
            else:
                shape = valid.get("segmentation")
                sound = without_degenerate(shape) if isinstance(shape, list) and self.use is not BOXES else shape
                yield valid if sound == shape else {**valid, "segmentation": sound}  # type: ignore[typeddict-item]

    def check_detections(self, name: str, entries: Iterable[Indexed], report: Report) -> Iterator[Detection]:
        """Yield the valid detections of the file `name`; other entries are reported."""
        for index, entry, pixels in self._with_pixels(entries):
            place, valid = f"{name}: {index}", cast(Detection, entry)
            if defect := check_fields(entry, self.use.detection, place) or self._check_detection(valid, pixels, place):
                report(defect)
            else:
                yield valid

    def _with_pixels(self, entries: Iterable[Indexed]) -> Iterator[tuple[int, object, int]]:
        """Yield index and content of each entry, and the pixels of its run-length mask, -1 if it has none."""
        known = list(entries)
        if self.use is BOXES:
            return ((index, entry, -1) for index, entry in known)
        shapes = [entry.get("segmentation") if isinstance(entry, dict) else None for _, entry in known]
        return ((*item, pixels) for item, pixels in zip(known, count_pixels(shapes), strict=True))

    def _check_annotation(self, entry: Annotation, pixels: int, place: str) -> Defect | None:
        """Return the first defect of an annotation whose fields are valid one by one."""
        if defect := self._check_owner(entry, place):
            return defect
        size = self.sizes[entry["image_id"]]
        for flag, value in (("iscrowd", entry.get("iscrowd", 0)), ("ignore", entry.get("ignore") or 0)):
            if not is_flag(value):
                return Defect("bad entry", f"{place}.{flag}: found {reprlib.repr(value)}, expected 0 or 1")
        if self.use is TRAINING and (defect := check_box(entry, size, place)):
            return defect
        shape = entry.get("segmentation") if self.use is not BOXES else None
        if shape and size and not (is_polygons(shape) or is_run_length(shape, size, pixels)):
            expected = f"polygons, or a run-length mask of height and width {size}"
            return Defect("bad entry", f"{place}.segmentation: found {reprlib.repr(shape)}, expected {expected}")
        if self.use is TRAINING and size and shape and isinstance(shape, list):
            return check_polygons(entry, without_degenerate(shape), size, place)
        return None

    def _check_detection(self, entry: Detection, pixels: int, place: str) -> Defect | None:
        """Return the first defect of a detection whose fields are valid one by one."""
        if defect := self._check_owner(entry, place):
            return defect
        size, shape = self.sizes[entry["image_id"]], entry.get("segmentation")
        if self.use is MASKS and size and not is_run_length(shape, size, pixels):
            expected = f"a run-length mask of height and width {size}"
            return Defect("bad entry", f"{place}.segmentation: found {reprlib.repr(shape)}, expected {expected}")
        return None

    def _check_owner(self, entry: Annotation | Detection, place: str) -> Defect | None:
        image, category = entry["image_id"], entry["category_id"]
        expected = "expected an id that the annotation file lists"
        if image not in self.sizes:
            return Defect("unknown image", f"{place}.image_id: found {image}, {expected}")
        if category not in self.categories:
            return Defect("unknown category", f"{place}.category_id: found {category}, {expected}")
        return None


def read_annotations(path: Path, name: str, use: Use) -> AnnotationFile:
    """Read an annotation file and check what must be valid in the file as a whole.

    Args:
        path: of the file.
        name: of the file, for messages.
        use: of the data.

    Raises:
        InputError: the file is not JSON, a list is missing or empty (annotations may be empty), an id is repeated, or a
            category has no unique name; for training also a file name that is repeated or leaves the folder of images.
    """
    content = read_json(path, foreign=True)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{name}: {key}: missing, expected a list (COCO's instances format)")
        if not content[key] and key != "annotations":
            raise InputError(f"{name}: {key}: found an empty list, expected at least one entry")
        _refuse_repeated_ids(content[key], f"{name}: {key}")
    categories: dict[int, str] = {}
    known = set[str]()
    for index, entry in enumerate(content["categories"]):
        place = f"{name}: categories.{index}"
        if defect := check_fields(entry, ("id", "name"), place):
            refuse_first(defect)
        if entry["name"] in known:
            expected = "expected a unique name, by which results are reported: rename one category, or merge both"
            raise InputError(f"{place}.name: found {entry['name']!r} again, {expected}")
        known.add(entry["name"])
        categories[entry["id"]] = entry["name"]
    if use is TRAINING:
        _check_file_names(content["images"], f"{name}: images")
    images = [entry for entry in content["images"] if isinstance(entry, dict) and is_whole(entry.get("id"))]
    return AnnotationFile(name, use, content, {entry["id"]: _size(entry) for entry in images}, categories)


def existing_images(
    images: Iterable[tuple[str, ImageEntry]], folder: Path, shown: str, report: Report
) -> Iterator[ImageEntry]:
    """Yield the images of `AnnotationFile.check_images` whose files exist in `folder`; others are reported.

    `shown` is the folder in messages.
    """
    for place, image in images:
        if os.path.isfile(folder / image["file_name"]):  # also false for a name that is too long
            yield image
        else:
            text = f"{place}.file_name: found {image['file_name']!r}, expected a file in {shown}"
            other = next((name for name in other_forms(image["file_name"]) if os.path.isfile(folder / name)), None)
            report(Defect("missing image", text + (f" ({explain_forms(image['file_name'], other)})" if other else "")))


def read_detection_list(path: Path) -> list[object]:
    """Read a file of detections; its entries are not checked. InputError if it is not a list."""
    entries = read_json(path, foreign=True)
    if not isinstance(entries, list):
        raise InputError(f"{path}: found {reprlib.repr(entries)}, expected a list of detections")
    return entries


def refuse_first(defect: Defect) -> NoReturn:
    """Raise the InputError of a defect: the `Report` of callers that leave nothing out."""
    raise InputError(defect.text)


def check_counts(name: str, categories: int, images: int) -> None:
    """Raise an InputError if an evaluation of so many categories and images would fill the memory."""
    if categories > _MOST_CATEGORIES or categories * images > _MOST_PAIRS:
        expected = f"at most {_MOST_CATEGORIES:,}, and {_MOST_PAIRS:,} pairs of both"
        raise InputError(f"{name}: found {categories:,} categories and {images:,} images, expected {expected}")


def image_of(entry: object) -> int | None:
    """Return the image to which an annotation or a detection that is not checked belongs; None if it names none."""
    number = entry.get("image_id") if isinstance(entry, dict) else None
    return number if isinstance(number, int) else None


def _refuse_repeated_ids(entries: Sequence[Any], place: str) -> None:
    seen = set[int]()
    for index, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        if not is_whole(number):
            continue
        if number in seen:
            raise InputError(f"{place}.{index}.id: found {number} again, expected a unique id")
        seen.add(number)


def _check_file_names(entries: Sequence[object], place: str) -> None:
    files = set[PurePosixPath]()
    for index, entry in enumerate(entries):
        found = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(found, str):
            shown, file = f"{place}.{index}.file_name: found {found!r}", PurePosixPath(found)
            if not stays_below(found):
                raise InputError(f"{shown}, expected a path inside the folder of images")
            if file in files:
                raise InputError(f"{shown} again, expected a different file for each image")
            files.add(file)


def _size(entry: dict[str, Any]) -> list[int] | None:
    """Return height and width of an image, None where they are missing or not valid."""
    height, width = entry.get("height"), entry.get("width")
    return [int(height), int(width)] if is_side(height) and is_side(width) else None
