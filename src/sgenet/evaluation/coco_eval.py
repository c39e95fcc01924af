"""COCO evaluation: pycocotools' metrics, and the matches from which AP can be recomputed for resampled images.

Matching detections to ground truth is the slow part and treats each image separately, so it is done once. `Matches`
stores the result; `ap` and `bootstrap_ap` then compute the AP of any re-weighting of the images.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgenet.data.coco_fields import Annotation, Detection
from sgenet.evaluation.coco_files import Dataset, found_of, read, truth_of
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.resampling import RECALLS, average_precision

_ALL_AREAS = [0.0, 1e10]  # square pixels
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
    """Evaluate detections with pycocotools.

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
    truth, found = read(annotations, detections, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = _create_eval(truth, found, iou_type)
        small, large = area_limits
        coco_eval.params.areaRng = [_ALL_AREAS, [0, small], [small, large], [large, 1e10]]
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    names = {category["id"]: category["name"] for category in truth["categories"]}
    categories = [names[number] for number in coco_eval.params.catIds]
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]  # (T, R, K) for all areas, 100 detections
    per_category = [float(precision[:, :, k].mean()) for k in range(len(categories))]
    return Evaluation(
        metrics=dict(zip(METRICS, map(_percent, coco_eval.stats.tolist()), strict=True)),
        per_category=dict(zip(categories, map(_percent, per_category), strict=True)),
        matches=_matches(coco_eval, categories),
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
    """Match the boxes of one image with pycocotools.

    Args:
        objects: all of one image.
        detections: of the same image; of each category only the best 100 are matched.
        iou: least intersection over union of a match.
    """
    truth, found = truth_of(objects, "bbox"), found_of(detections, "bbox")
    images, categories = (
        [{"id": number} for number in {entry[field] for entry in (*truth, *found)}]
        for field in ("image_id", "category_id")
    )
    dataset: Dataset = {"images": images, "categories": categories, "annotations": truth}
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = _create_eval(dataset, {**dataset, "annotations": found}, "bbox")
        coco_eval.params.areaRng, coco_eval.params.iouThrs = [_ALL_AREAS], np.array([iou])
        coco_eval.evaluate()
    correct, false, missed = set[int](), set[int](), set[int]()
    for entry in filter(None, coco_eval.evalImgs):
        for number, match, ignored in zip(entry["dtIds"], entry["dtMatches"][0], entry["dtIgnore"][0], strict=True):
            if not ignored:
                (correct if match else false).add(number - 1)
        for number, match, ignored in zip(entry["gtIds"], entry["gtMatches"][0], entry["gtIgnore"], strict=True):
            if not match and not ignored:
                missed.add(number - 1)
    return ImageMatches(frozenset(correct), frozenset(false), frozenset(missed))


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
        hits = np.cumsum(matches.matched[0, t, (matches.category == k) & ~matches.ignored[0, t]])
        precision = hits / (np.arange(1, len(hits) + 1) + np.spacing(1))
        highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)  # at this recall or higher
        curves.append(highest[np.searchsorted(hits / truths[k], RECALLS)])
    return np.mean(curves, axis=0) if curves else np.full(len(RECALLS), np.nan)


def _matches(coco_eval: Any, categories: list[str]) -> Matches:
    """Gather COCOeval.evalImgs, which runs over categories, area ranges and images."""
    image_ids = coco_eval.params.imgIds
    size = (len(categories), 4, len(image_ids))
    truths = np.zeros(size, dtype=np.int32)
    found: list[list[tuple[Any, ...]]] = [[], [], [], []]
    for at, entry in zip(np.ndindex(size), coco_eval.evalImgs, strict=True):
        if entry is None:
            continue
        category, area, image = at
        truths[at] = np.count_nonzero(entry["gtIgnore"] == 0)
        count = len(entry["dtScores"])
        indices = np.full(count, image), np.full(count, category)
        found[area].append((*indices, entry["dtScores"], entry["dtMatches"] > 0, entry["dtIgnore"]))
    none: tuple[Any, ...] = (np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((10, 0)), np.zeros((10, 0)))
    columns = [[np.concatenate(part, axis=-1) for part in zip(none, *rows, strict=True)] for rows in found]
    image, category, score = columns[0][:3]
    order = np.lexsort((-score, category))  # stable, as pycocotools' mergesort
    return Matches(
        image_ids=np.array(image_ids, dtype=np.int64),
        categories=np.array(categories, dtype=np.str_),
        image=image[order].astype(np.int32),
        category=category[order].astype(np.int32),
        score=score[order],
        matched=np.stack([column[3][:, order] for column in columns]).astype(bool),
        ignored=np.stack([column[4][:, order] for column in columns]).astype(bool),
        truths=np.ascontiguousarray(truths.swapaxes(0, 1)),
    )


def _percent(value: float) -> float | None:
    return None if value == -1 else 100 * value


def _create_eval(truth: Dataset, found: Dataset, iou_type: str) -> Any:
    """Return a COCOeval of two data sets."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    both = []
    for dataset in (truth, found):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        both.append(coco)
    return COCOeval(*both, iou_type)
