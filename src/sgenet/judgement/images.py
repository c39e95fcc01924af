"""What a result states of single images, read and checked: correct predictions, and AP on resamples of the images."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.evaluation.bootstrap import ResampledAP, resample_ap
from sgenet.evaluation.coco_eval import AP_METRICS, precision_recall
from sgenet.evaluation.matches import Matches
from sgenet.runtime.arrays import read_arrays

# Accuracies that are a share of the validation images: metric -> array of predictions, how many of its classes count.
PROPORTIONS = {"top1": ("best_top5", 1), "top5": ("best_top5", 5), "top1_last": ("last_top5", 1)}
MASKS = "mask_"  # before the name of a metric, and of an array of matches
IOUS = {"ap50": 0.5, "ap75": 0.75}  # the metric that is the area below the curve -> IoU threshold

Metrics = Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class PerImage:
    """What a result states of single images.

    Attributes:
        labels: digest of the true classes; empty for a detector.
        correct: whether each image is right (N,), by metric of PROPORTIONS.
        resampled: AP on resamples of the images, of boxes ("") and of masks (MASKS).
        precision: at COCO's 101 levels of recall (101,), by metric of IOUS; of the first result of a run alone.
    """

    labels: str = ""
    correct: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    resampled: Mapping[str, ResampledAP] = field(default_factory=dict)
    precision: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def of_matches(metric: str) -> bool:
    """Whether the metric of any resample of the images can be computed from matches."""
    return bare(metric) in AP_METRICS


def kind_of(metric: str) -> str:
    """MASKS of a metric of masks, "" of one of boxes."""
    return MASKS if metric.startswith(MASKS) else ""


def bare(metric: str) -> str:
    """The metric's name among those of its kind."""
    return metric.removeprefix(MASKS)


def read_predictions(folder: Path, metrics: Metrics) -> PerImage:
    """The predictions of a classifier.

    Raises:
        InputError: they are missing or unreadable, or disagree with the metrics.
    """
    measured = [metric for metric in PROPORTIONS if metrics.get(metric) is not None]
    if not measured:
        return PerImage()
    path = folder / paths.PREDICTIONS
    arrays = _read(path, ["label", *dict.fromkeys(PROPORTIONS[metric][0] for metric in measured)])
    correct = {metric: _correct(path, arrays, metric, metrics) for metric in measured}
    return PerImage(hashlib.sha256(arrays["label"].astype(np.int64).tobytes()).hexdigest(), correct)


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    expected = "the arrays of an evaluation"
    arrays = read_arrays(path, names, expected)
    for name, array in arrays.items():
        if array.dtype.kind != "i":
            raise InputError(f"{path}: {name}: found {array.dtype}, expected {expected}")
    return arrays


def _correct(path: Path, arrays: Mapping[str, np.ndarray], metric: str, metrics: Metrics) -> NDArray[np.bool_]:
    name, classes = PROPORTIONS[metric]
    labels, predictions, images = arrays["label"], arrays[name], metrics.get("images")
    if labels.ndim != 1 or predictions.ndim != 2 or len(labels) != len(predictions):
        found = f"found the shapes {labels.shape} and {predictions.shape}, expected (N,) and (N, 5)"
        raise InputError(f"{path}: label and {name}: {found}")
    if images is not None and len(labels) != images:
        raise InputError(f"{path}: found {len(labels)} images, expected {images} as in metrics.json")
    correct: NDArray[np.bool_] = (predictions[:, :classes] == labels[:, None]).any(axis=1)
    value, printed = 100 * float(correct.sum()) / max(len(correct), 1), metrics[metric]
    if printed is None or not abs(value - printed) <= 1e-3:
        raise InputError(f"{path}: {metric} is {value:.3f}, expected {printed} as in metrics.json")
    return correct


def read_matches(folder: Path, metrics: Metrics, wanted: Sequence[str], samples: int, *, curves: bool) -> PerImage:
    """The matches of a detector, resampled for the wanted metrics; `curves`: with its precision by recall.

    Raises:
        InputError: they are missing or unreadable, or give other metrics.
    """
    measured = [metric for metric in wanted if of_matches(metric) and metrics.get(metric) is not None]
    resampled: dict[str, ResampledAP] = {}
    precision: dict[str, NDArray[np.float64]] = {}
    for kind in ("", MASKS):
        if names := [bare(metric) for metric in measured if kind_of(metric) == kind]:
            matches = _matches(folder / paths.MATCHES, metrics, kind)
            resampled[kind] = resample_ap(matches, names, samples)
            for name in names:
                _check(folder / paths.MATCHES, kind + name, float(resampled[kind].ap[name][0]), metrics)
            if curves and not kind:
                precision = {name: precision_recall(matches, iou) for name, iou in IOUS.items()}
    return PerImage(resampled=resampled, precision=precision)


def _matches(path: Path, metrics: Metrics, kind: str) -> Matches:
    matches, expected = Matches.load(path, kind), metrics.get("images")
    if expected is not None and len(matches.image_ids) != expected:
        found = f"found {len(matches.image_ids)} images, expected {expected} as in metrics.json"
        raise InputError(f"{path}: {kind}image_ids: {found}")
    return matches


def _check(path: Path, metric: str, found: float, metrics: Metrics) -> None:
    expected = metrics[metric]
    if expected is None or not abs(found - expected) <= 1e-3:
        raise InputError(f"{path}: {metric}: found {found:.3f}, expected {expected} as in metrics.json")
