"""Confidence intervals and paired comparisons of runs, in percentage points.

Two runs are always compared on the same images (or the same seeds): the difficulty of an image is then common to both
and cancels in the difference.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_SEEDS = 3  # for an interval: two leave one degree of freedom, where 95 % is 12.7 standard errors to either side
MOST_NEEDED = 1_000_000  # images or seeds; larger experiments are not feasible


@dataclass(frozen=True)
class Gain:
    """Other minus baseline in percentage points, its confidence interval, and the method.

    `low`, `high` and `p` are None if the data do not support an interval: with fewer than three seeds, or a single
    image for AP. `p` is two-sided; the null hypothesis is no difference. `n` is the number of units compared and `of`
    their kind; the interval covers the sampling error of these units.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float
    n: int
    method: str
    p: float | None = None
    of: Literal["images", "seeds"] = "images"

    @property
    def direction(self) -> str:
        """Position of the interval: "higher" or "lower" than 0; "undecided" if it contains 0 or is None."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "undecided"
        return "higher" if self.low > 0 else "lower"

    @property
    def another(self) -> tuple[float, float] | None:
        """Prediction interval of the result of one more training.

        Over seeds it is Student's prediction interval. Over images it is the confidence interval, which does not cover
        the run-to-run variance.
        """
        if self.low is None or self.high is None:
            return None
        half = (self.high - self.low) / 2 * (float(np.sqrt(self.n + 1)) if self.of == "seeds" else 1.0)
        middle = (self.high + self.low) / 2
        return middle - half, middle + half


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


def accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> Gain:
    """Difference of two accuracies on the same images.

    Interval: adjusted Wald of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one image to each kind
    of disagreement. Fagerland, Lydersen and Laake (2014, doi:10.1002/sim.6148) recommend it among others for paired
    proportions, and it is defined if the two never disagree. p: mid-p McNemar test, which the same authors (2013,
    doi:10.1186/1471-2288-13-91) recommend over the exact test, which is conservative. Near the limit of significance,
    interval and p may disagree; verdicts use the interval.

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
    return Gain(
        value=100 * (gained - lost) / n,
        low=100 * max(-1.0, float(up - down - half)),
        high=100 * min(1.0, float(up - down + half)),
        confidence=confidence,
        n=n,
        method="Bonett-Price adjusted Wald interval, mid-p McNemar test",
        p=_mid_p(gained, lost),
    )


def mean_accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> Gain:
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
        return Gain(value, None, None, confidence, n, method)
    error = float(differences.std(ddof=1) / np.sqrt(n))
    half = float(ndtri((1 + confidence) / 2)) * error
    p = 2 * float(ndtr(-abs(value) / error)) if error else float(value == 0)
    return Gain(value, max(-100.0, value - half), min(100.0, value + half), confidence, n, f"{method} and test", p)


def seed_gain(baseline: Sequence[float], other: Sequence[float], confidence: float) -> Gain:
    """Difference of the means over seeds, paired by seed, with Student's t interval and test of the differences.

    With fewer than FEWEST_SEEDS there is neither interval nor test.

    Args:
        baseline: one value in percent per seed.
        other: one value in percent per seed, in the same order of seeds.
        confidence: of the interval, a fraction between 0 and 1.
    """
    from scipy.special import stdtr

    before, after = _vector(baseline), _vector(other)
    n = _paired(before, after)
    differences = after - before
    value = float(differences.mean())
    bounds = seed_interval(differences, confidence)
    if bounds is None:
        method = "difference of means, too few seeds for an interval"
        return Gain(value, None, None, confidence, n, method, of="seeds")
    error = float(differences.std(ddof=1)) / np.sqrt(n)
    p = 2 * float(stdtr(n - 1, -abs(value) / error)) if error else float(value == 0)
    return Gain(value, *bounds, confidence, n, "paired t interval and test over seeds", p, of="seeds")


def seed_interval(values: ArrayLike, confidence: float) -> tuple[float, float] | None:
    """Student's t interval of the mean over seeds, in the unit of `values`; None below FEWEST_SEEDS."""
    from scipy.special import stdtrit

    check_confidence(confidence)
    vector = _vector(values)
    n = len(vector)
    if n < FEWEST_SEEDS:
        return None
    mean, half = float(vector.mean()), float(stdtrit(n - 1, (1 + confidence) / 2) * vector.std(ddof=1) / np.sqrt(n))
    return mean - half, mean + half


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


def needed(gain: Gain, published: float, power: float = 0.8) -> int | None:
    """Total number of images or seeds (`gain.of`) needed to detect the published gain with this power.

    The test is two-sided at the gain's confidence, with the observed variance: over images by the normal approximation
    to the paired difference, over seeds by the noncentral t distribution of the paired t test. A significant result
    with the wrong sign counts as missed.

    Returns:
        the smallest such number; None above MOST_NEEDED, without an interval, with zero observed variance, or if the
        published gain is zero.
    """
    if not 0 < power < 1:
        raise ValueError(f"power: found {power}, expected a fraction between 0 and 1")
    if gain.low is None or gain.high is None or gain.high <= gain.low or published == 0:
        return None
    half = (gain.high - gain.low) / 2
    count = _needed_seeds if gain.of == "seeds" else _needed_images
    return count(half * float(np.sqrt(gain.n)) / abs(published), gain, power)


def _needed_images(half: float, gain: Gain, power: float) -> int | None:
    """`half`: half the width of the interval for a single image, in units of the published gain."""
    from scipy.special import ndtri

    found = (half * (1 + ndtri(power) / ndtri((1 + gain.confidence) / 2))) ** 2
    return max(1, int(np.ceil(found))) if found <= MOST_NEEDED else None


def _needed_seeds(half: float, gain: Gain, power: float) -> int | None:
    from scipy.special import nctdtr, stdtrit

    level = (1 + gain.confidence) / 2
    effect = float(stdtrit(gain.n - 1, level)) / half  # in standard deviations of a seed

    def enough(n: int) -> bool:
        missed = nctdtr(n - 1, effect * np.sqrt(n), stdtrit(n - 1, level))
        return not missed > 1 - power  # NaN: a probability too small for nctdtr, below 1e-50

    if not enough(MOST_NEEDED):
        return None
    return bisect_left(range(MOST_NEEDED), True, lo=FEWEST_SEEDS, key=enough)


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


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("expected a sequence of finite numbers")
    return vector


def check_confidence(confidence: float) -> None:
    """ValueError unless `confidence` is a fraction between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}, expected a fraction between 0 and 1")
