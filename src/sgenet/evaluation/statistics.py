"""Sampling error of the validation images: intervals of an accuracy, and of the difference of two, in points.

The trainings are fixed; what other trainings would give is in `trainings`. Two runs are always compared on the same
images: the difficulty of an image is then common to both and cancels in the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageGain:
    """Other minus baseline in percentage points, with an interval for the sampling error of n images, and the method.

    `low`, `high` and `p` are None if there is a single image. `p` is two-sided; the null hypothesis is no difference.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float
    n: int
    method: str
    p: float | None = None


def wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion in percent (1927, doi:10.1080/01621459.1927.10502953)."""
    from scipy.special import ndtri  # scipy.stats takes a second to import

    check_confidence(confidence)
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"found {successes} successes out of {n}, expected no more than n, and n above 0")
    z, share = float(ndtri((1 + confidence) / 2)), successes / n
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low, high = (middle - half) / scale, (middle + half) / scale
    return 100 * (low if successes else 0.0), 100 * (high if successes < n else 1.0)


def accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> ImageGain:
    """Difference of two accuracies on the same images.

    Interval: adjusted Wald of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one image to each kind
    of disagreement. Fagerland, Lydersen and Laake (2014, doi:10.1002/sim.6148) recommend it among others for paired
    proportions, and it is defined if the two never disagree. p: mid-p McNemar test, which the same authors (2013,
    doi:10.1186/1471-2288-13-91) recommend over the exact test, which is conservative. Near the limit of significance,
    interval and p may disagree.

    Args:
        baseline: (n,) whether the baseline classified each image correctly.
        other: (n,) the same of the run that is compared with it.
        confidence: of the interval, a fraction between 0 and 1.
    """
    from scipy.special import ndtri

    check_confidence(confidence)
    baseline, other = np.asarray(baseline), np.asarray(other)
    if baseline.dtype != bool or other.dtype != bool or baseline.ndim != 1:
        raise ValueError("expected two vectors of booleans, one entry per image")
    n = _paired(baseline, other)
    gained, lost = int((other & ~baseline).sum()), int((baseline & ~other).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = ndtri((1 + confidence) / 2) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return ImageGain(
        value=100 * (gained - lost) / n,
        low=100 * max(-1.0, float(up - down - half)),
        high=100 * min(1.0, float(up - down + half)),
        confidence=confidence,
        n=n,
        method="Bonett-Price adjusted Wald interval, mid-p McNemar test",
        p=_mid_p(gained, lost),
    )


def mean_accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> ImageGain:
    """Difference of two mean accuracies of the same few trainings each, on the same images.

    Normal interval and test of the mean over images of each image's difference, which is a mean over the trainings.
    These differences are not binary, as `accuracy_gain` and McNemar's test require. The interval covers the sampling
    error of the images; the trainings are treated as fixed. With a single image there is no interval.

    Args:
        baseline: (trainings, n) whether each training of the baseline classified each image correctly.
        other: (trainings, n) the same of the run that is compared with it.
        confidence: of the interval, a fraction between 0 and 1.
    """
    from scipy.special import ndtr, ndtri

    check_confidence(confidence)
    if baseline.dtype != bool or other.dtype != bool or baseline.ndim != 2 or baseline.shape != other.shape:
        raise ValueError("expected two tables of booleans of equal shape, a row per training and a column per image")
    trainings, n = baseline.shape
    if not trainings or not n:
        raise ValueError(f"found {trainings} trainings and {n} images, expected one or more of each")
    differences = 100 * (other.astype(np.float64) - baseline).mean(axis=0)
    value, method = float(differences.mean()), f"mean of {trainings} trainings, paired normal interval over images"
    if n == 1:
        return ImageGain(value, None, None, confidence, n, method)
    error = float(differences.std(ddof=1) / np.sqrt(n))
    half = float(ndtri((1 + confidence) / 2)) * error
    p = 2 * float(ndtr(-abs(value) / error)) if error else float(value == 0)
    return ImageGain(value, max(-100.0, value - half), min(100.0, value + half), confidence, n, f"{method} and test", p)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for multiple comparisons: Holm's step-down procedure (1979, www.jstor.org/stable/4615733).

    Rejecting hypotheses whose adjusted value is at most alpha bounds the family-wise error rate by alpha, for any
    dependence between the tests. None (a comparison without a test) stays None and is not counted.
    """
    known = {index: value for index, value in enumerate(p) if value is not None}
    if not all(0 <= value <= 1 for value in known.values()):
        raise ValueError(f"p: found {list(known.values())}, expected values from 0 to 1")
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(known, key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[index]))
        adjusted[index] = largest
    return adjusted


def difference_interval(
    one: tuple[float, float], two: tuple[float, float], df: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """Return the interval of the second value minus the first, from Student t intervals of two independent estimates.

    The degrees of freedom are Satterthwaite's, as in Welch's test.

    Args:
        one: interval of the first value, symmetric about it.
        two: interval of the second.
        df: degrees of freedom of each.
        confidence: of all three intervals.
    """
    from scipy import stats

    level = (1 + confidence) / 2
    spread = [(high - low) / 2 / stats.t.ppf(level, own) for (low, high), own in zip((one, two), df, strict=True)]
    variance = sum(error**2 for error in spread)
    together = sum(error**4 / own for error, own in zip(spread, df, strict=True))
    half = stats.t.ppf(level, variance**2 / together) * variance**0.5 if variance else 0.0
    middle = (sum(two) - sum(one)) / 2
    return middle - half, middle + half


def _mid_p(gained: int, lost: int) -> float:
    """Two-sided mid-p of McNemar's test: probability of a larger disagreement plus half that of an equal one.

    1 if the two never disagree.
    """
    from scipy.special import bdtr

    fewer, n = min(gained, lost), gained + lost
    if gained == lost:
        return 1 - float(bdtr(fewer, n, 0.5) - bdtr(fewer - 1, n, 0.5)) / 2 if n else 1.0
    return float(bdtr(fewer, n, 0.5) + (bdtr(fewer - 1, n, 0.5) if fewer else 0.0))  # twice the tail less its last term


def _paired(baseline: NDArray, other: NDArray) -> int:
    if baseline.shape != other.shape or not len(baseline):
        raise ValueError(f"found {len(baseline)} and {len(other)} values, expected equal numbers of one or more")
    return len(baseline)


def check_confidence(confidence: float) -> None:
    """ValueError unless `confidence` is a fraction between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}, expected a fraction between 0 and 1")
