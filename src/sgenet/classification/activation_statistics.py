"""Statistics of the lengths of feature vectors before and after SGE, with intervals over images.

The paper does not define the variance of the activation values in figure 4. Here it is the variance of the lengths. A
gate below 1 nearly always reduces the variance of the values themselves, because batch normalisation keeps their mean
near 0, while the variance of the lengths may grow or shrink. A constant gate reduces it too, so the relative variance
(variance over squared mean length), which a constant gate does not change, is reported as well.

The background is, for each group, the half of an image's positions whose vectors are shortest before SGE. Defining it
as the positions unlike the group's mean vector would be circular: SGE damps these wherever gamma is above 0.
"""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1000  # bootstrap resamples of the images for an interval
CONFIDENCE = 0.95

DESCRIPTIONS = {
    "variance_ratio": "variance of a group's vector length over an image's positions, mean over images, after over"
    " before SGE, geometric mean over groups; a gate that is equal everywhere lowers it",
    "relative_variance_ratio": "relative variance, that is variance over squared mean, of a group's vector length over"
    " an image's positions, after over before SGE, geometric mean over groups; a gate that is equal everywhere leaves"
    " it at 1",
    "growing_groups": "share of the groups whose relative variance is larger after than before SGE",
    "background_length_change": "mean length after minus before SGE at background positions, the half of an image's"
    " positions with the group's shortest vectors before SGE; a gate is below 1 and shortens every vector",
    "background_over_foreground_change": "mean length after over before SGE at background positions, over the same at"
    " the other positions; below 1 the background is shortened more",
}


def summarise(lengths: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Summarise each image for the statistics, so that 50,000 images fit into memory.

    Args:
        lengths: (2, N, G, H, W), H * W above 1.

    Returns:
        mean and variance over the positions, (N, 2, G) each, and the means over all groups of the background and of
        the other positions, (N, 2, 2). If the number of positions is odd, the middle one is not background; among
        equal lengths, the first positions are background.
    """
    flat = np.moveaxis(lengths.reshape(*lengths.shape[:3], -1), 0, 1)  # (N, 2, G, H*W)
    order = flat[:, :1].argsort(axis=3, kind="stable")
    ranked = np.take_along_axis(flat, np.broadcast_to(order, flat.shape), axis=3)
    half = flat.shape[3] // 2
    halves = [ranked[..., :half].mean((2, 3)), ranked[..., half:].mean((2, 3))]
    return flat.mean(3), flat.var(3), np.stack(halves, axis=2)


def statistics(
    means: NDArray[np.float64], variances: NDArray[np.float64], halves: NDArray[np.float64]
) -> dict[str, dict[str, Any]]:
    """The statistics of DESCRIPTIONS, from the output of `summarise`; groups that are constant before SGE are left out.

    Intervals are percentiles of a bootstrap over whole images, with the same images for before and after.

    Raises:
        ValueError: no group varies, or all vectors have length 0.
    """
    varying = variances[:, 0].any(0)
    variance, mean, half = resampled_means(variances[..., varying], means[..., varying], halves)
    if not varying.any() or not half.all():
        raise ValueError("found feature vectors that have no length or are equally long everywhere")
    relative = variance / mean**2
    change = half[:, 1] / half[:, 0]
    values = {
        "variance_ratio": _geometric_mean(variance[:, 1] / variance[:, 0]),
        "relative_variance_ratio": _geometric_mean(relative[:, 1] / relative[:, 0]),
        "growing_groups": (relative[:, 1] > relative[:, 0]).mean(1),
        "background_length_change": half[:, 1, 0] - half[:, 0, 0],
        "background_over_foreground_change": change[:, 0] / change[:, 1],
    }
    return {name: _interval(value, len(means)) for name, value in values.items()}


def resampled_means(*arrays: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Means over the images, the first axis of each array, in SAMPLES bootstrap resamples common to all arrays.

    Each result is (1 + SAMPLES, ...): first the mean of the original images, then those of the resamples. The draw is
    deterministic.
    """
    rng, n = np.random.default_rng(0), len(arrays[0])
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(SAMPLES))
    means = [[np.tensordot(weights / n, array, axes=1) for array in arrays] for weights in chain([np.ones(n)], drawn)]
    return [np.stack(resamples) for resamples in zip(*means, strict=True)]


def _interval(values: NDArray[np.float64], n: int) -> dict[str, Any]:
    """Percentile interval; `values` are the estimate and then its resamples."""
    low, high = np.percentile(values[1:], [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]).tolist()
    return {"value": float(values[0]), "low": low, "high": high, "confidence": CONFIDENCE, "n": n}


def _geometric_mean(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Geometric mean of each row: a doubled and a halved group average to 1."""
    with np.errstate(divide="ignore"):  # a group that no longer varies gives 0
        return np.exp(np.log(ratios).mean(1))
