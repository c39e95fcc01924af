"""Average precision of runs on bootstrap resamples of the images, and paired comparisons, in percentage points."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgenet.evaluation.coco_eval import bootstrap_ap
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.statistics import ImageGain, check_confidence


@dataclass(frozen=True, eq=False)
class ResampledAP:
    """AP of one run in percent, by metric: (1 + samples,), first on its images, then on each resample of them.

    `truth` is a digest of the ground truth, to ensure that runs are compared on the same objects. With several
    `trainings`, the values are means over them.
    """

    ap: dict[str, NDArray[np.float64]]
    truth: str
    images: int
    trainings: int = 1


def resample_ap(matches: Matches, metrics: Sequence[str], samples: int, seed: int = 0) -> ResampledAP:
    """AP of a run on resamples of its images: whole images drawn with replacement.

    The draw depends only on the number of images and the seed, so it is the same for every run on these images.

    Raises:
        ValueError: an unknown metric, or no samples.
    """
    if samples < 1:
        raise ValueError(f"samples: found {samples}, expected 1 or more")
    n = len(matches.image_ids)
    truth = hashlib.sha256()
    for part in (matches.image_ids, matches.categories, matches.truths):
        truth.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
    return ResampledAP(bootstrap_ap(matches, _weights(n, samples, seed), metrics), truth.hexdigest(), n)


def mean_ap(runs: Sequence[ResampledAP]) -> ResampledAP:
    """Mean over trainings of the AP metrics that all of them have: on the images, and on each resample of them.

    Raises:
        ValueError: the runs have different ground truths or numbers of resamples.
    """
    first = runs[0]
    for run in runs[1:]:
        _check_resamples(first, run)
    metrics = [metric for metric in first.ap if all(metric in run.ap for run in runs)]
    means = {metric: np.mean([run.ap[metric] for run in runs], axis=0) for metric in metrics}
    return ResampledAP(means, first.truth, first.images, len(runs))


def ap_gain(baseline: ResampledAP, other: ResampledAP, metric: str, confidence: float) -> ImageGain | None:
    """Difference of an AP metric between two runs on the same images; None if there are no objects to find.

    Interval: percentiles of a paired bootstrap, which draws the same images for both (Efron and Tibshirani 1993,
    chapter 13). p: twice the fraction of resamples on the smaller side of zero; the data set itself is counted on both
    sides, so that p is never 0 (Davison and Hinkley 1997, section 4.2). Deterministic for a seed.

    Raises:
        ValueError: the runs have different ground truths or numbers of resamples.
    """
    return _gain(_difference(baseline, other, metric), other, confidence)


def ap_gain_difference(
    baseline: ResampledAP, other: ResampledAP, metric: str, than: str, confidence: float
) -> ImageGain | None:
    """Gain of AP metric `metric` minus the gain of AP metric `than`, by the same paired bootstrap.

    None if one of them has no objects to find. Raises as `ap_gain` does.
    """
    difference = _difference(baseline, other, metric) - _difference(baseline, other, than)
    return _gain(difference, other, confidence)


@functools.lru_cache(maxsize=1)  # consecutive runs use the same weights
def _weights(n: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Number of times that each of n images counts, (1 + samples, n): in the data set (once), then in each resample."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    weights = np.concatenate([np.ones((1, n), dtype=drawn.dtype), drawn])
    weights.flags.writeable = False
    return weights


def _difference(baseline: ResampledAP, other: ResampledAP, metric: str) -> NDArray[np.float64]:
    _check_resamples(baseline, other)
    return other.ap[metric] - baseline.ap[metric]


def _check_resamples(one: ResampledAP, other: ResampledAP) -> None:
    if one.truth != other.truth:
        raise ValueError("truths: the two differ, expected matches against the same ground truth")
    samples = [len(next(iter(run.ap.values()), ())) - 1 for run in (one, other)]
    if samples[0] != samples[1]:
        raise ValueError(f"samples: found {samples[0]} and {samples[1]}, expected equal numbers")


def _gain(difference: NDArray[np.float64], other: ResampledAP, confidence: float) -> ImageGain | None:
    check_confidence(confidence)
    value, resampled = float(difference[0]), difference[1:]
    if np.isnan(value):
        return None
    method = f"paired bootstrap over images, percentiles of {len(resampled)} resamples"
    if other.trainings > 1:
        method = f"mean of {other.trainings} trainings, {method}"
    # A resample may contain no object of a rare kind; the AP of both runs is then undefined.
    resampled = resampled[~np.isnan(resampled)]
    low, high, p = None, None, None
    if other.images > 1 and len(resampled):
        low, high = np.percentile(resampled, [50 * (1 - confidence), 50 * (1 + confidence)]).tolist()
        fewer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
        p = min(1.0, 2 * (fewer + 1) / (len(resampled) + 1))
    return ImageGain(value, low, high, confidence, other.images, method, p)
