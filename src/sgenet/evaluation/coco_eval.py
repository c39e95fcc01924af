"""COCO evaluation: its twelve metrics, and the matches from which AP can be recomputed for resampled images.

Matching detections to ground truth treats each image separately, so it is done once. `Matches` stores the result; `ap`
and `bootstrap_ap` then compute the AP of any re-weighting of the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgenet.data.coco_fields import Annotation, Detection
from sgenet.evaluation.coco_files import Scenes, of_image, read
from sgenet.evaluation.curves import interpolate, precision, recall
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.matching import MOST, detections_in_order, match, objects_in_order, overlapping
from sgenet.evaluation.resampling import RECALLS, average_precision

_ALL_AREAS = 0.0, 1e10  # square pixels
_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' numbers; np.arange has others
# Metric -> its area range and IoU thresholds, as indices: all, small, medium, large; 0.50, 0.55 ... 0.95.
AP_METRICS = {
    "ap": (0, slice(0, 10)),
    "ap50": (0, slice(0, 1)),
    "ap75": (0, slice(5, 6)),
    "ap_small": (1, slice(0, 10)),
    "ap_medium": (2, slice(0, 10)),
    "ap_large": (3, slice(0, 10)),
}
METRICS = (*AP_METRICS, "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The twelve COCO metrics and each category's AP in percent (None: no objects to find), and the matches."""

    metrics: dict[str, float | None]
    per_category: dict[str, float | None]
    matches: Matches


def evaluate(
    annotations: Path,
    detections: Path | Sequence[Detection],
    iou_type: str = "bbox",
    area_limits: tuple[float, float] = (32**2, 96**2),
) -> Evaluation:
    """Evaluate detections; the metrics equal pycocotools'.

    A detection's area is that of its box for "bbox" and of its mask for "segm", even if it has both (as in mmdet;
    pycocotools' loadRes would use the box).

    Args:
        annotations: a COCO annotation file.
        detections: a COCO result file, or its content.
        iou_type: "bbox" or "segm".
        area_limits: upper limit of small and lower limit of large areas, in square pixels.

    Raises:
        InputError: a file cannot be read, or an entry cannot be evaluated.
    """
    if iou_type not in ("bbox", "segm"):
        raise ValueError(f"iou_type: found {iou_type!r}, expected bbox or segm")
    if not 0 < area_limits[0] < area_limits[1] < 1e10:
        raise ValueError(f"area_limits: found {area_limits!r}, expected two growing areas")
    small, large = area_limits
    matches = _match(read(annotations, detections, iou_type), [_ALL_AREAS, (0, small), (small, large), (large, 1e10)])
    levels = precision(matches)
    per_category = map(_mean, np.moveaxis(levels[0], -1, 0))
    return Evaluation(
        metrics=metrics_of(matches, levels),
        per_category=dict(zip(matches.categories.tolist(), per_category, strict=True)),
        matches=matches,
    )


@dataclass(frozen=True)
class ImageMatches:
    """The matches of one image: positions of its correct and false detections and of its missed objects.

    A detection of a crowd is neither correct nor false, and a crowd is never missed.
    """

    correct: frozenset[int]
    false: frozenset[int]
    missed: frozenset[int]


def match_image(objects: Sequence[Annotation], detections: Sequence[Detection], iou: float = 0.5) -> ImageMatches:
    """Match the boxes of one image.

    Args:
        objects: all of one image.
        detections: of the same image; of each category only the best 100 are matched.
        iou: least intersection over union of a match.
    """
    truth, found = of_image(objects, detections)
    truths, founds = objects_in_order(truth), detections_in_order(found)
    truth, found, thresholds = truth.take(truths), found.take(founds), np.array([iou])
    matched = match(truth, found, overlapping(truth, found, thresholds), thresholds, _ALL_AREAS)
    counted, hit = ~matched.ignored[0], matched.object[0] >= 0
    seen = np.isin(np.arange(len(truths)), matched.object[0])
    return ImageMatches(
        correct=frozenset(founds[counted & hit].tolist()),
        false=frozenset(founds[counted & ~hit].tolist()),
        missed=frozenset(truths[~seen & ~matched.ignored_objects].tolist()),
    )


def ap(matches: Matches, weights: NDArray[np.integer] | None = None, metric: str = "ap") -> float:
    """AP in percent, NaN if there are no objects to find; `weights` (I,): number of times that each image counts."""
    if weights is None:
        weights = np.ones(len(matches.image_ids), dtype=np.int64)
    return float(bootstrap_ap(matches, np.asarray(weights)[None], (metric,))[metric][0])


def bootstrap_ap(
    matches: Matches, weights: NDArray[np.integer], metrics: Sequence[str] = tuple(AP_METRICS)
) -> dict[str, NDArray[np.float64]]:
    """AP in percent, (B,) for each metric, of B resamples of the images; NaN if there are no objects to find.

    Each equals pycocotools' result for a data set that contains image i weights[b, i] times.

    Args:
        matches: of D detections in I images.
        weights: (B, I) whole numbers.
        metrics: names from AP_METRICS.

    Raises:
        ValueError: an unknown metric, or weights of another shape or kind.
    """
    if unknown := set(metrics) - set(AP_METRICS):
        raise ValueError(f"metrics: found {sorted(unknown)}, expected some of {', '.join(AP_METRICS)}")
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != len(matches.image_ids):
        raise ValueError(f"weights: found the shape {weights.shape}, expected (B, {len(matches.image_ids)})")
    if not np.issubdtype(weights.dtype, np.integer) or (weights < 0).any():
        raise ValueError("weights: expected whole numbers, none negative")
    needed: dict[int, set[int]] = {}
    for metric in metrics:
        area, thresholds = AP_METRICS[metric]
        needed.setdefault(area, set()).update(range(10)[thresholds])
    total, present = np.zeros((4, 10, len(weights))), np.zeros((4, len(weights)))
    starts = np.searchsorted(matches.category, np.arange(len(matches.categories) + 1))
    # This type represents the counts of detections and objects exactly.
    counts = max(len(matches.score), int(matches.truths[0].sum()))
    drawn: NDArray[np.floating] = weights.T.astype(
        np.float32 if int(weights.max(initial=0)) * counts < 2**24 else np.float64, order="C"
    )
    for k, (start, stop) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        image = matches.image[start:stop]
        for area, thresholds_of_area in needed.items():
            truths = (matches.truths[area, k].astype(drawn.dtype) @ drawn).astype(np.int64)
            present[area] += truths > 0
            at = np.array(sorted(thresholds_of_area))
            matched, ignored = (of[area, at, start:stop] for of in (matches.matched, matches.ignored))
            total[area, at] += average_precision(drawn, image, matched, ignored, truths)
    with np.errstate(invalid="ignore"):  # 0 / 0 gives the NaN of the docstring
        return {
            metric: 100 * total[area, thresholds].mean(axis=0) / present[area]
            for metric, (area, thresholds) in ((metric, AP_METRICS[metric]) for metric in metrics)
        }


def precision_recall(matches: Matches, iou: float = 0.5) -> NDArray[np.float64]:
    """Precision at COCO's 101 levels of recall, (101,): the mean over the categories with objects; NaN without any.

    As in pycocotools for all areas; the mean over the levels is the AP at this IoU threshold. ValueError unless the
    threshold is one of 0.50, 0.55 ... 0.95.
    """
    t = round(20 * iou) - 10
    if not 0 <= t < 10 or abs(iou - 0.5 - t / 20) > 1e-9:
        raise ValueError(f"iou: found {iou}, expected one of 0.50, 0.55 ... 0.95")
    curves = []
    for k in np.flatnonzero(truths := matches.truths[0].sum(axis=1)):
        matched, ignored = (of[0, t, matches.category == k][None] for of in (matches.matched, matches.ignored))
        curves.append(interpolate(matched, ignored, truths[k])[0])
    return np.mean(curves, axis=0) if curves else np.full(len(RECALLS), np.nan)


def _match(scenes: Scenes, areas: Sequence[tuple[float, float]]) -> Matches:
    """Match all detections, for each range of areas."""
    objects = scenes.objects.take(objects_in_order(scenes.objects))
    detections = scenes.detections.take(detections_in_order(scenes.detections))
    pairs = overlapping(objects, detections, _THRESHOLDS)
    found = [match(objects, detections, pairs, _THRESHOLDS, area) for area in areas]
    size = len(scenes.categories), len(scenes.image_ids)
    place = np.ravel_multi_index((objects.category, objects.image), size)
    cells = size[0] * size[1]
    truths = [np.bincount(place[~of.ignored_objects], minlength=cells).astype(np.int32) for of in found]
    order = np.lexsort((-detections.score, detections.category))  # stable, as pycocotools' mergesort
    return Matches(
        image_ids=scenes.image_ids,
        categories=np.array(scenes.categories, dtype=np.str_),
        image=detections.image[order].astype(np.int32),
        category=detections.category[order].astype(np.int32),
        score=detections.score[order],
        matched=np.stack([of.object[:, order] >= 0 for of in found]),
        ignored=np.stack([of.ignored[:, order] for of in found]),
        truths=np.stack(truths).reshape(-1, *size),
    )


def metrics_of(matches: Matches, levels: NDArray[np.float64] | None = None) -> dict[str, float | None]:
    """Return the twelve metrics in percent, None where undefined; `levels` is `precision(matches)` if it is known."""
    if levels is None:
        levels = precision(matches)
    found = [_mean(levels[area, thresholds]) for area, thresholds in AP_METRICS.values()]
    recalls = {most: recall(matches, most) for most in (1, 10, MOST)}
    found += [
        _mean(recalls[most][area]) for most, area in ((1, 0), (10, 0), (MOST, 0), (MOST, 1), (MOST, 2), (MOST, 3))
    ]
    return dict(zip(METRICS, found, strict=True))


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean over the categories with objects in percent; None without any."""
    defined = values[~np.isnan(values)]
    return 100 * float(defined.mean()) if len(defined) else None
