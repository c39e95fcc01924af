"""Validation images drawn three times: their objects, and the detections of a baseline and of its SGE row."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.tasks import Task
from sgenet.data.coco_fields import Annotation, Detection, ImageEntry
from sgenet.data.coco_format import (
    TRAINING,
    AnnotationFile,
    Indexed,
    existing_images,
    image_of,
    read_annotations,
    read_detection_list,
    refuse_first,
)
from sgenet.data.defects import Defect
from sgenet.data.images import read_image
from sgenet.data.limits import pick
from sgenet.data.splits import annotation_file, image_folder, open_manifest
from sgenet.errors import InputError
from sgenet.judgement.evaluations import Result
from sgenet.judgement.inputs import Missing, read_manifest
from sgenet.judgement.ranking import is_ours
from sgenet.judgement.results import Found
from sgenet.report.figures.boxes import FOUND, IOU, LEAST_TAGGED, OBJECTS, View, draw, judge, objects_alone

IMAGES = 4
LEAST_SCORE, MOST = 0.3, 100  # of an image's detections


@dataclass(frozen=True)
class Scene:
    """One image: its place in the validation set from 1, its name, its views."""

    place: int
    name: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Detections:
    """Images with the detections of a baseline and of its SGE row.

    Attributes:
        absent: why there are none; empty if there are.
        labels: of the two rows.
        seed: of the two trainings.
        of: number of images in the validation set.
        scenes: the images drawn.
        iou: least IoU of a correct detection.
        score: least score of a detection that is drawn.
        tagged: least score of a detection with a tag.
        most: number of detections drawn per image.
    """

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
    """Nothing can be drawn, and no file is invalid."""


def read_detections(replication: Replication, found: Found) -> tuple[Detections, str | None]:
    """Return the drawings, and what is wrong with a file that they need.

    They show the first baseline and SGE row of the detection tables that have detections, on evenly spaced images of
    the validation set. There are none if the data are not available or have changed.
    """
    try:
        labels, results = _pair(replication, found)
        return _read(replication, labels, results), None
    except _AbsentError as error:
        return Detections(absent=str(error)), None
    except InputError as error:
        absent = "a file that they need cannot be used; a sentence under Problems says which"
        return Detections(absent=absent), str(error)


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
    raise _AbsentError("no baseline and its SGE row both have a usable detections.json")


def _file(result: Result) -> Path:
    return result.folder / paths.DETECTIONS


def _read(replication: Replication, labels: tuple[str, str], results: list[Result]) -> Detections:
    annotations, folder = _validation_set(replication)
    file = read_annotations(annotations, str(annotations), TRAINING)
    places = pick(len(file.images), min(IMAGES, len(file.images)))
    images, objects = _of_images(file, [(place, file.images[place]) for place in places], folder)
    detections = [_detections(_file(result), file, images) for result in results]
    scenes = []
    for place, image in zip(places, images, strict=True):
        present, pixels = objects[image["id"]], read_image(folder / image["file_name"])
        views = [draw("Objects", OBJECTS, objects_alone(present), file.categories, pixels)]
        for label, of_run in zip(labels, detections, strict=True):
            views.append(draw(label, FOUND, judge(present, of_run[image["id"]]), file.categories, pixels))
        scenes.append(Scene(place + 1, image["file_name"], tuple(views)))
    return Detections("", labels, results[0].seed, len(file.images), tuple(scenes))


def _validation_set(replication: Replication) -> tuple[Path, Path]:
    """Return the annotation file and the folder of images."""
    scale, task = replication.scale_name, "detection"
    folder, path = paths.data_folder(scale, task), paths.manifest(scale, task)
    if isinstance(read_manifest(scale, task), Missing):
        raise _AbsentError(f"there is no usable {path}")
    try:
        manifest = open_manifest(scale, task, replication.scale.data.of(task))
        annotations, images = annotation_file(folder, manifest, "val"), image_folder(folder, manifest, "val")
    except InputError as error:
        raise _AbsentError(f"the data are not available ({error})") from None
    except (KeyError, TypeError):
        raise InputError(f"{path}: found entries missing, expected what `sgenet prepare {task}` writes") from None
    for file in (annotations, images):
        if not file.exists():
            raise _AbsentError(f"{file} does not exist")
    return annotations, images


def _of_images(
    file: AnnotationFile, chosen: Iterable[Indexed], folder: Path
) -> tuple[list[ImageEntry], dict[int, list[Annotation]]]:
    """Return the chosen images and, by image, their objects; all are valid."""
    images = list(existing_images(file.check_images(chosen, refuse_first), folder, str(folder), _refuse_missing))
    objects: dict[int, list[Annotation]] = {image["id"]: [] for image in images}
    of_images = (item for item in enumerate(file.annotations) if image_of(item[1]) in objects)
    for entry in file.check_annotations(of_images, refuse_first):
        objects[entry["image_id"]].append(entry)
    return images, objects


def _refuse_missing(defect: Defect) -> None:
    raise _AbsentError(defect.text)


def _detections(path: Path, file: AnnotationFile, images: Iterable[ImageEntry]) -> dict[int, list[Detection]]:
    """Return the detections of each image that are drawn, best score first."""
    found: dict[int, list[Detection]] = {image["id"]: [] for image in images}
    of_images = (item for item in enumerate(read_detection_list(path)) if image_of(item[1]) in found)
    for entry in file.check_detections(str(path), of_images, refuse_first):
        found[entry["image_id"]].append(entry)
    best = {number: sorted(of_image, key=lambda entry: -entry["score"])[:MOST] for number, of_image in found.items()}
    return {number: [entry for entry in of_image if entry["score"] >= LEAST_SCORE] for number, of_image in best.items()}
