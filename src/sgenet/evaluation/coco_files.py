"""Ground truth and detections as pycocotools' data sets; invalid content raises an InputError of one sentence."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from sgenet.data.coco_fields import Annotation, Detection, is_crowd
from sgenet.data.coco_format import (
    BOXES,
    MASKS,
    AnnotationFile,
    check_counts,
    read_annotations,
    read_detection_list,
    refuse_first,
)

_SLACK = 1.0  # pixels by which a box may leave its image


class Dataset(TypedDict):
    """A data set as pycocotools reads it; `annotations` are objects to be found or, with a score, detections."""

    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]]


def read(annotations: Path, detections: Path | Sequence[Detection], iou_type: str) -> tuple[Dataset, Dataset]:
    """Return ground truth and detections as two checked data sets, with only the fields that `iou_type` needs."""
    file = read_annotations(annotations, str(annotations), BOXES if iou_type == "bbox" else MASKS)
    for _ in file.check_images(enumerate(file.images), refuse_first):
        pass
    check_counts(file.name, len(file.categories), len(file.sizes))
    truth = truth_of(file.check_annotations(enumerate(file.annotations), refuse_first), iou_type)
    entries: Sequence[object] = read_detection_list(detections) if isinstance(detections, str | Path) else detections
    name = str(detections) if isinstance(detections, str | Path) else "detections"
    valid = list(file.check_detections(name, enumerate(entries), refuse_first))
    if iou_type == "bbox":
        _warn_of_corners(valid, file, name)
    found = found_of(valid, iou_type)
    return _dataset(file, truth), _dataset(file, found)


def truth_of(objects: Iterable[Annotation], iou_type: str) -> list[dict[str, Any]]:
    """Return valid objects as pycocotools needs them, with ids from 1."""
    # pycocotools treats a match to the id 0 as no match.
    return [
        {**_shared(number, entry, iou_type), "area": entry["area"], "iscrowd": int(is_crowd(entry))}
        for number, entry in enumerate(objects, 1)
    ]


def found_of(detections: Iterable[Detection], iou_type: str) -> list[dict[str, Any]]:
    """Return valid detections as pycocotools needs them, with ids from 1."""
    from pycocotools import mask

    found = []
    for number, entry in enumerate(detections, 1):
        new = {**_shared(number, entry, iou_type), "score": entry["score"], "iscrowd": 0}
        area = new["bbox"][2] * new["bbox"][3] if iou_type == "bbox" else float(mask.area(new["segmentation"]))
        found.append({**new, "area": area})
    return found


def _shared(number: int, entry: Annotation | Detection, iou_type: str) -> dict[str, Any]:
    new: dict[str, Any] = {"id": number, "image_id": int(entry["image_id"]), "category_id": int(entry["category_id"])}
    if iou_type == "bbox":
        return {**new, "bbox": [float(side) for side in entry["bbox"]]}
    return {**new, "segmentation": _packed(entry["segmentation"])}


def _packed(shape: Any) -> Any:
    """Return a mask whose counts are packed if they are a list; polygons are returned unchanged."""
    from pycocotools import mask

    uncompressed = isinstance(shape, dict) and isinstance(shape["counts"], list)
    return mask.frPyObjects(shape, *shape["size"]) if uncompressed else shape


def _warn_of_corners(detections: Sequence[Detection], file: AnnotationFile, name: str) -> None:
    """Print a warning if most boxes leave their image, as those do that are given by two corners."""
    sizes = [file.sizes[entry["image_id"]] for entry in detections]
    outside = sum(
        size is not None and (x + width > size[1] + _SLACK or y + height > size[0] + _SLACK)
        for size, (x, y, width, height) in zip(sizes, (entry["bbox"] for entry in detections), strict=True)
    )
    if 2 * outside > len(detections):
        text = f"warning: {name}: {outside:,} of {len(detections):,} boxes leave their image, as [x1, y1, x2, y2] would"
        print(f"{text}; expected [x, y, width, height]", file=sys.stderr, flush=True)


def _dataset(file: AnnotationFile, entries: list[dict[str, Any]]) -> Dataset:
    sizes = file.sizes.items()
    return {
        "images": [
            {"id": int(number), **dict(zip(("height", "width"), size or (), strict=False))} for number, size in sizes
        ],
        "categories": [{"id": int(number), "name": name} for number, name in file.categories.items()],
        "annotations": entries,
    }
