"""COCO's matching of detections to objects, equal to pycocotools', for all images and categories at once.

In each image and category, the detections choose among the objects that are left, in the order of their scores. Here,
a step treats the next detection of every image and category. There are at most as many steps as detections in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgenet.evaluation.coco_files import Detections, Objects

MOST = 100  # detections of an image and category


@dataclass(frozen=True, eq=False)
class Pairs:
    """P detections and objects of the same image and category, as indices, with an IoU of a match or above."""

    detection: NDArray[np.intp]
    object: NDArray[np.intp]
    iou: NDArray[np.float64]
    rank: NDArray[np.intp]  # of the detection in its image and category


@dataclass(frozen=True, eq=False)
class Matched:
    """The matches at T IoU thresholds of D detections and G objects, of which those outside of an area are ignored."""

    object: NDArray[np.intp]  # (T, D) index of the object of each detection, -1 without
    ignored: NDArray[np.bool_]  # (T, D) of the detections
    ignored_objects: NDArray[np.bool_]  # (G,)


def objects_in_order(objects: Objects) -> NDArray[np.intp]:
    """Return the indices of objects, sorted by category and image."""
    return np.lexsort((objects.image, objects.category))


def detections_in_order(detections: Detections) -> NDArray[np.intp]:
    """Return the indices of the best 100 detections of each category and image, sorted by both and by score.

    Detections of equal score keep their order, as with pycocotools' mergesort.
    """
    order = np.lexsort((-detections.score, detections.image, detections.category))
    return order[ranks(detections.category[order], detections.image[order]) < MOST]


def ranks(category: NDArray[np.integer], image: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the position of each entry among those of the same category and image, which must follow each other."""
    place = np.arange(len(image))
    first = np.ones(len(image), dtype=bool)
    first[1:] = (category[1:] != category[:-1]) | (image[1:] != image[:-1])
    return place - np.maximum.accumulate(np.where(first, place, 0))


def overlapping(objects: Objects, detections: Detections, thresholds: NDArray[np.float64]) -> Pairs:
    """Return the pairs of objects and detections that may match.

    Args:
        objects: in order.
        detections: in order.
        thresholds: least IoUs of matches, of which the smallest counts.
    """
    from pycocotools import mask

    least = _least_iou(thresholds).min()
    images = 1 + max(objects.image.max(initial=0), detections.image.max(initial=0))
    of_objects, of_detections = (of.category * images + of.image for of in (objects, detections))
    groups = np.intersect1d(of_objects, of_detections)
    ends = [np.searchsorted(of, groups, side) for of in (of_objects, of_detections) for side in ("left", "right")]
    found: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    for start, end, first, last in zip(*(of.tolist() for of in ends), strict=True):
        shapes, others = detections.shapes[first:last], objects.shapes[start:end]
        if shapes.ndim == 1:  # masks
            shapes, others = shapes.tolist(), others.tolist()
        iou = mask.iou(shapes, others, objects.crowd[start:end])
        at, of = np.nonzero(iou >= least)
        found.append((at + first, of + start, iou[at, of]))
    none = np.zeros(0, dtype=np.intp)
    detection, of_object, iou = map(np.concatenate, zip((none, none, np.zeros(0)), *found, strict=True))
    return Pairs(detection, of_object, iou, ranks(detections.category, detections.image)[detection])


def match(
    objects: Objects, detections: Detections, pairs: Pairs, thresholds: NDArray[np.float64], area: Sequence[float]
) -> Matched:
    """Match objects and detections, ignoring crowds and what is outside of a range of areas.

    Args:
        objects: in order.
        detections: in order.
        pairs: of both, from `overlapping`.
        thresholds: (T,) least IoU of a match.
        area: least and largest area in square pixels.
    """
    outside, ignored_objects = ((of.area < area[0]) | (of.area > area[1]) for of in (detections, objects))
    ignored_objects |= objects.crowd
    chosen = _choose(pairs, thresholds, ignored_objects, objects.crowd, len(outside))
    ignored = np.where(chosen >= 0, np.append(ignored_objects, False)[chosen], outside)
    return Matched(chosen, ignored, ignored_objects)


def _choose(
    pairs: Pairs,
    thresholds: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
    detections: int,
) -> NDArray[np.intp]:
    """Return the index of the object that each detection is matched to, (T, D); -1 without."""
    least = _least_iou(thresholds)[:, None]
    chosen = np.full((len(thresholds), detections), -1)
    taken = np.zeros((len(thresholds), len(ignored)), dtype=bool)
    # The preferred object is not ignored and has the highest IoU; of equal ones, it is the last.
    order = np.lexsort((-pairs.object, -pairs.iou, ignored[pairs.object], pairs.detection, pairs.rank))
    detection, of_object, iou = pairs.detection[order], pairs.object[order], pairs.iou[order]
    steps = np.flatnonzero(np.diff(pairs.rank[order], prepend=-1, append=-1))
    for start, end in zip(steps[:-1].tolist(), steps[1:].tolist(), strict=True):
        step, count = slice(start, end), end - start
        first = np.flatnonzero(np.diff(detection[step], prepend=-1))
        free = (iou[step] >= least) & ~taken[:, of_object[step]]
        best = np.minimum.reduceat(np.where(free, np.arange(count), count), first, axis=1)
        t, n = np.nonzero(best < count)
        match = of_object[step][best[t, n]]
        chosen[t, detection[step][first[n]]] = match
        taken[t, match] = ~crowd[match]
    return chosen


def _least_iou(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pycocotools' least IoUs of matches: at a threshold of 1, rounding errors are accepted."""
    return np.minimum(thresholds, 1 - 1e-10)
