"""Ground truth and detections as arrays, for matching; invalid content raises an InputError of one sentence."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class Entries:
    """N objects or detections."""

    image: NDArray[np.int64]  # (N,) index into the images
    category: NDArray[np.int64]  # (N,) index into the categories
    area: NDArray[np.float64]  # (N,) in square pixels
    shapes: NDArray[Any]  # (N, 4) boxes, or (N,) packed run-length masks

    def take(self, order: NDArray[np.intp]) -> Self:
        """Return the entries with these indices, in this order."""
        return type(self)(*(getattr(self, field.name)[order] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Objects(Entries):
    """N objects, or crowds, which need not be found."""

    crowd: NDArray[np.bool_]  # (N,)


@dataclass(frozen=True, eq=False)
class Detections(Entries):
    """N detections."""

    score: NDArray[np.float64]  # (N,)


@dataclass(frozen=True, eq=False)
class Scenes:
    """The images, the names of the categories, each in the order of their ids, and what belongs to them."""

    image_ids: NDArray[np.int64]
    categories: list[str]
    objects: Objects
    detections: Detections


def read(annotations: Path, detections: Path | Sequence[Detection], iou_type: str) -> Scenes:
    """Return checked ground truth and detections, with only the content that `iou_type` needs."""
    file = read_annotations(annotations, str(annotations), BOXES if iou_type == "bbox" else MASKS)
    for _ in file.check_images(enumerate(file.images), refuse_first):
        pass
    check_counts(file.name, len(file.categories), len(file.sizes))
    truth = list(file.check_annotations(enumerate(file.annotations), refuse_first))
    entries: Sequence[object] = read_detection_list(detections) if isinstance(detections, str | Path) else detections
    name = str(detections) if isinstance(detections, str | Path) else "detections"
    found = list(file.check_detections(name, enumerate(entries), refuse_first))
    if iou_type == "bbox":
        _warn_of_corners(found, file, name)
    images, categories = sorted(file.sizes), sorted(file.categories)
    indices = _indices(images), _indices(categories)
    sizes = None if iou_type == "bbox" else file.sizes
    return Scenes(
        np.array(images, dtype=np.int64),
        [file.categories[number] for number in categories],
        objects_of(truth, *indices, sizes),
        detections_of(found, *indices, sizes),
    )


def of_image(objects: Sequence[Annotation], detections: Sequence[Detection]) -> tuple[Objects, Detections]:
    """Return the valid objects and detections of one image, with their boxes."""
    categories = _indices(sorted({entry["category_id"] for entry in (*objects, *detections)}))
    images = {entry["image_id"]: 0 for entry in (*objects, *detections)}
    return objects_of(objects, images, categories), detections_of(detections, images, categories)


def objects_of(
    objects: Sequence[Annotation],
    images: Mapping[int, int],
    categories: Mapping[int, int],
    sizes: Mapping[int, Sequence[int] | None] | None = None,
) -> Objects:
    """Return valid objects as arrays.

    Args:
        objects: of any images.
        images: id -> index.
        categories: id -> index.
        sizes: id of each image -> [height, width], for masks; None for boxes.
    """
    area = np.array([entry["area"] for entry in objects], dtype=np.float64)
    crowd = np.array([is_crowd(entry) for entry in objects], dtype=bool)
    return Objects(*_owners(objects, images, categories), area, _shapes(objects, sizes), crowd)


def detections_of(
    detections: Sequence[Detection],
    images: Mapping[int, int],
    categories: Mapping[int, int],
    sizes: Mapping[int, Sequence[int] | None] | None = None,
) -> Detections:
    """Return valid detections as arrays; see `objects_of`. The area is that of the box, or of the mask."""
    from pycocotools import mask

    shapes = _shapes(detections, sizes)
    area = shapes[:, 2] * shapes[:, 3] if sizes is None else np.array([float(mask.area(shape)) for shape in shapes])
    score = np.array([entry["score"] for entry in detections], dtype=np.float64)
    return Detections(*_owners(detections, images, categories), area, shapes, score)


def _indices(ids: Iterable[int]) -> dict[int, int]:
    return {number: index for index, number in enumerate(ids)}


def _owners(
    entries: Sequence[Annotation | Detection], images: Mapping[int, int], categories: Mapping[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    image = np.array([images[entry["image_id"]] for entry in entries], dtype=np.int64)
    return image, np.array([categories[entry["category_id"]] for entry in entries], dtype=np.int64)


def _shapes(
    entries: Sequence[Annotation | Detection], sizes: Mapping[int, Sequence[int] | None] | None
) -> NDArray[Any]:
    if sizes is None:
        return np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    masks = (_packed(entry["segmentation"], sizes[entry["image_id"]] or ()) for entry in entries)
    return np.fromiter(masks, dtype=object, count=len(entries))


def _packed(shape: Any, size: Sequence[int]) -> Any:
    """Return polygons, or a mask whose counts may be a list, in COCO's packed format."""
    from pycocotools import mask

    if isinstance(shape, list):
        return mask.merge(mask.frPyObjects(shape, *size))
    return mask.frPyObjects(shape, *size) if isinstance(shape["counts"], list) else shape


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
