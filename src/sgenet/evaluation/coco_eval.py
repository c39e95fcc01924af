"""COCO evaluation: pycocotools' metrics, and the matches from which AP can be recomputed for resampled images.

Matching detections to ground truth is the slow part and treats each image separately, so it is done once. `Matches`
stores the result; `ap` and `bootstrap_ap` then compute the AP of any re-weighting of the images.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgenet.errors import InputError
from sgenet.evaluation.coco_files import read
from sgenet.evaluation.resampling import RECALLS, average_precision
from sgenet.runtime.arrays import read_arrays
from sgenet.runtime.files import atomic_path

# Metric -> its area range and IoU thresholds, as indices: all, small, medium, large; 0.50, 0.55 ... 0.95.
AP_METRICS = {
    "ap": (0, slice(0, 10)),
    "ap50": (0, slice(0, 1)),
    "ap75": (0, slice(5, 6)),
    "ap_small": (1, slice(0, 10)),
    "ap_medium": (2, slice(0, 10)),
    "ap_large": (3, slice(0, 10)),
}
_MOST = 2**20  # objects of a category, in matches on disk
METRICS = (*AP_METRICS, "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")


@dataclass(frozen=True, eq=False)
class Matches:
    """Result of COCO's matching, for D detections of K categories in I images.

    The first axes are A = 4 area ranges (all, small, medium, large) and T = 10 IoU thresholds (0.50 to 0.95).
    The detections (the best 100 per image and category) are sorted by category and descending score, ties in
    pycocotools' order. A detection is a true positive if matched and not ignored, a false positive if neither.
    """

    image_ids: NDArray[np.int64]  # (I,)
    categories: NDArray[np.str_]  # (K,) names
    image: NDArray[np.int32]  # (D,) index into image_ids
    category: NDArray[np.int32]  # (D,) index into categories
    score: NDArray[np.float64]  # (D,)
    matched: NDArray[np.bool_]  # (A, T, D)
    ignored: NDArray[np.bool_]  # (A, T, D)
    truths: NDArray[np.int32]  # (A, K, I) objects to be found

    def save(self, path: str | Path, masks: "Matches | None" = None) -> None:
        """Write an .npz file atomically; arrays of `masks` are added with the prefix `mask_`."""
        kinds = {"": self} if masks is None else {"": self, "mask_": masks}
        arrays = {kind + field.name: getattr(one, field.name) for kind, one in kinds.items() for field in fields(one)}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path, kind: str = "") -> "Matches":
        """Read a file of `save`; `kind` "mask_" reads the matches of masks. InputError if the file is not valid."""
        names = [field.name for field in fields(cls)]
        arrays = read_arrays(path, [kind + name for name in names], "the matches of an evaluation")
        matches = cls(**{name: arrays[kind + name] for name in names})
        count, of_pairs = matches.score.shape, (4, len(matches.categories), len(matches.image_ids))
        shapes = {"image": count, "category": count, "truths": of_pairs}
        shapes |= {"matched": (4, 10, *count), "ignored": (4, 10, *count)}
        for name, shape in shapes.items():
            if (found := getattr(matches, name).shape) != shape:
                raise InputError(f"{path}: {kind}{name}: found the shape {found}, expected {shape}")
        if problem := matches._problem():
            raise InputError(f"{path}: {kind}{problem}, expected the matches of an evaluation")
        return matches

    def _problem(self) -> str | None:
        """Describe invalid content: wrong types, an index out of range, more matches in an image than objects."""
        kinds = {"image_ids": "i", "image": "i", "category": "i", "truths": "i", "matched": "b", "ignored": "b"}
        for name, wanted in (kinds | {"score": "f", "categories": "U"}).items():
            if (found := getattr(self, name).dtype).kind != wanted:
                return f"{name}: found {found}"
        images, categories = len(self.image_ids), len(self.categories)
        if self.image_ids.ndim != 1 or self.categories.ndim != 1 or self.score.ndim != 1:
            return "image_ids, categories and score: found more than one axis"
        for name, end in {"image": images, "category": categories}.items():
            index = getattr(self, name)
            if len(index) and not 0 <= index.min() <= index.max() < end:
                return f"{name}: found an index that is not below {end}"
        if (np.diff(self.category) < 0).any() or not np.isfinite(self.score).all():
            return "category and score: found them out of order, or no finite numbers"
        if self.truths.size and (self.truths.min() < 0 or self.truths.sum(axis=-1, dtype=np.float64).max() > _MOST):
            return f"truths: found numbers below 0, or more than {_MOST:,} objects of a category"
        place = self.category.astype(np.int64) * images + self.image
        for area in range(4):
            for hits in self.matched[area] & ~self.ignored[area]:
                counts = np.bincount(place[hits], minlength=categories * images)
                if (counts > self.truths[area].ravel()).any():
                    return "matched: found more matches in an image than objects"
        return None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The twelve COCO metrics and each category's AP in percent (None: no objects to find), and the matches."""

    metrics: dict[str, float | None]
    per_category: dict[str, float | None]
    matches: Matches


def evaluate(
    annotations: Path,
    detections: Path | list[dict[str, Any]],
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
    from pycocotools.cocoeval import COCOeval

    truth, found = read(annotations, detections, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = COCOeval(_coco(truth), _coco(found), iou_type)
        small, large = area_limits
        coco_eval.params.areaRng = [[0, 1e10], [0, small], [small, large], [large, 1e10]]
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    names = {category["id"]: category["name"] for category in truth["categories"]}
    categories = [names[id] for id in coco_eval.params.catIds]
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]  # (T, R, K) for all areas, 100 detections
    per_category = [float(precision[:, :, k].mean()) for k in range(len(categories))]
    return Evaluation(
        metrics=dict(zip(METRICS, map(_percent, coco_eval.stats.tolist()), strict=True)),
        per_category=dict(zip(categories, map(_percent, per_category), strict=True)),
        matches=_matches(coco_eval, categories),
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


def _coco(dataset: dict[str, Any]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco
