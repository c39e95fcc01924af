"""The same validation images three times: their objects, and what a baseline and its SGE row detect.

templates/detections.html draws the boxes as SVG over the images.
"""

import base64
import io
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sgenet.config import paths
from sgenet.config.runs import Replication
from sgenet.config.tasks import Task
from sgenet.data.annotations import Entry, check_images, check_objects, read_annotations
from sgenet.data.defects import Defect
from sgenet.data.images import read_image
from sgenet.data.limits import pick
from sgenet.data.splits import annotation_file, image_folder, open_manifest
from sgenet.errors import InputError
from sgenet.report.evaluations import Result
from sgenet.report.figures.boxes import FOUND, IOU, LEAST_TAGGED, OBJECTS, View, draw, judge, objects_alone
from sgenet.report.inputs import read_manifest
from sgenet.report.ranking import is_ours
from sgenet.report.results import Found
from sgenet.runtime.files import read_json

IMAGES = 4
LEAST_SCORE, MOST = 0.3, 100  # of an image's detections
PIXELS, QUALITY = 320, 80  # longer side and quality of the embedded JPEG


@dataclass(frozen=True)
class Scene:
    """One image: its place in the validation set from 1, its pixels as a data URI, its views."""

    place: int
    name: str
    pixels: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Detections:
    """The images of a baseline and its SGE row, `of` so many, and what is shown of each; or `absent`, why none are."""

    absent: str = ""
    labels: tuple[str, ...] = ()
    seed: int = 0
    of: int = 0
    scenes: tuple[Scene, ...] = ()
    iou: float = IOU
    score: float = LEAST_SCORE
    tagged: float = LEAST_TAGGED
    most: int = MOST


class _AbsentError(Exception):
    """Why nothing can be drawn though no file is bad."""


def read_detections(replication: Replication, found: Found) -> tuple[Detections, str | None]:
    """The drawings, and what is wrong with a file that they need.

    They are of the first baseline and SGE row of the detection tables that left detections, and of images that stand
    evenly apart in the validation set. Where the data are not at hand, or are others by now, there are none.
    """
    try:
        labels, results = _pair(replication, found)
        return _read(replication, labels, results), None
    except _AbsentError as reason:
        return Detections(absent=str(reason)), None
    except InputError as error:
        told = "a file that they need cannot be used; a sentence under Problems says which"
        return Detections(absent=told), str(error)


def _pair(replication: Replication, found: Found) -> tuple[tuple[str, str], list[Result]]:
    for table in replication.tables:
        by_label = {row.label: row for row in table.rows}
        for row in table.rows if table.task is Task.DETECTION else ():
            if row.baseline and is_ours(row):
                both = [found.runs[table.run_id(one)].by_seed for one in (by_label[row.baseline], row)]
                for seed in sorted(both[0].keys() & both[1].keys()):
                    results = [by_seed[seed] for by_seed in both]
                    if all(_file(result).exists() for result in results):
                        return (row.baseline, row.label), results
    raise _AbsentError("no baseline and its SGE row have left detections.json both")


def _file(result: Result) -> Path:
    return result.folder / paths.DETECTIONS


def _read(replication: Replication, labels: tuple[str, str], results: list[Result]) -> Detections:
    annotations, images = _validation_set(replication)
    content = read_annotations(annotations, str(annotations))
    places = pick(len(content["images"]), min(IMAGES, len(content["images"])))
    chosen, objects = _of_images(content, [content["images"][place] for place in places], annotations, images)
    names = {category["id"]: category["name"] for category in content["categories"]}
    ids = [entry["id"] for entry in chosen]
    detections = [_detections(_file(result), ids, names) for result in results]
    scenes = []
    for place, entry in zip(places, chosen, strict=True):
        present, size = objects[entry["id"]], (entry["width"], entry["height"])
        views = [draw("Objects", OBJECTS, objects_alone(present), names, size)]
        for label, of_run in zip(labels, detections, strict=True):
            views.append(draw(label, FOUND, judge(present, of_run[entry["id"]]), names, size))
        file = images / entry["file_name"]
        scenes.append(Scene(place + 1, entry["file_name"], _pixels(file), tuple(views)))
    return Detections("", labels, results[0].seed, len(content["images"]), tuple(scenes))


def _validation_set(replication: Replication) -> tuple[Path, Path]:
    """The annotations, and the folder of images."""
    scale, task = replication.scale_name, "detection"
    folder, path = paths.data_folder(scale, task), paths.manifest(scale, task)
    if read_manifest(scale, task)[0] is None:
        raise _AbsentError(f"there is no usable {path}")
    try:
        manifest = open_manifest(scale, task, replication.scale.data.of(task))
        annotations, images = annotation_file(folder, manifest, "val"), image_folder(folder, manifest, "val")
    except InputError as error:
        raise _AbsentError(f"the data are not at hand ({error})") from None
    except (KeyError, TypeError):
        raise InputError(f"{path}: found entries missing, expected what `sgenet prepare {task}` leaves") from None
    for file in (annotations, images):
        if not file.exists():
            raise _AbsentError(f"{file} is not there")
    return annotations, images


def _of_images(
    content: Entry, chosen: list[Entry], path: Path, folder: Path
) -> tuple[list[Entry], dict[int, list[Entry]]]:
    """The entries of the chosen images and, by image, of their objects, all of them sound."""
    defects: list[Defect] = []
    name = f"{path}, of the images shown"
    sound = check_images({"images": chosen}, name, folder, str(folder), defects)
    ids = {entry["id"] for entry in sound}
    of_images = [item for item in content["annotations"] if _image(item) in ids]
    objects: dict[int, list[Entry]] = {number: [] for number in ids}
    for item in check_objects({**content, "annotations": of_images}, name, defects):
        objects[item["image_id"]].append(item)
    for defect in defects:
        raise (_AbsentError if defect.kind == "missing image" else InputError)(defect.text)
    return sound, objects


def _detections(path: Path, ids: Iterable[int], names: dict[int, str]) -> dict[int, list[Entry]]:
    """What is shown of each image, best score first."""
    entries = read_json(path, foreign=True)
    if not isinstance(entries, list):
        raise InputError(f"{path}: found {reprlib.repr(entries)}, expected a list of detections")
    found: dict[int, list[Entry]] = {number: [] for number in ids}
    for index, entry in enumerate(entries):
        if (number := _image(entry)) not in found:
            continue
        box, category = entry.get("bbox"), entry.get("category_id")
        four = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) >= 0
        if not four or not isinstance(category, int) or category not in names or not _is_number(entry.get("score")):
            expected = "a score, a category_id of the annotations, and a bbox [x, y, width, height]"
            raise InputError(f"{path}: {index}: found {reprlib.repr(entry)}, expected {expected}")
        found[number].append(entry)
    best = {number: sorted(of_image, key=lambda entry: -entry["score"])[:MOST] for number, of_image in found.items()}
    return {number: [entry for entry in of_image if entry["score"] >= LEAST_SCORE] for number, of_image in best.items()}


def _image(entry: Any) -> int:
    """Id of the image that an entry belongs to, -1 where it tells none."""
    number = entry.get("image_id") if isinstance(entry, dict) else None
    return number if isinstance(number, int) else -1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9  # neither is NaN


def _pixels(path: Path) -> str:
    image = read_image(path)
    image.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
