"""How sure a number is, and whether one run beats another: intervals and paired comparisons, in points.

Points are points of percent. Two runs are always compared on the same images (or the same seeds): what makes
an image hard is then common to both and drops out of the difference.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgenet.detection.coco_eval import Matches, bootstrap_ap

FEWEST_SEEDS = 3  # for an interval: two leave one degree of freedom, where 95 % is 12.7 standard errors to either side
MOST_NEEDED = 1_000_000  # images or seeds; beyond it no experiment is a plan


@dataclass(frozen=True)
class Gain:
    """Other minus baseline in points of percent, its interval, and how it was judged.

    `low`, `high` and `p` are None where the data allow no interval worth printing: fewer than three seeds, or a
    single image for AP. `p` is two-sided, of no difference at all. `n` counts what was compared, `of` says what that
    was, and so what the interval covers the choice of.
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
        """Where the interval lies: "higher" or "lower" than 0; "undecided" if it holds 0 or there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "undecided"
        return "higher" if self.low > 0 else "lower"


@dataclass(frozen=True, eq=False)
class ResampledAP:
    """AP of one run, by metric: of its images first, then of each resample of them (1 + samples,), in percent.

    `truth` is a digest of what was to be found, so that two runs are compared on the same.
    """

    ap: dict[str, NDArray[np.float64]]
    truth: str
    images: int


def wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion in percent (1927, doi:10.1080/01621459.1927.10502953)."""
    from scipy.special import ndtri  # scipy.stats takes a second to import

    _check_confidence(confidence)
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"found {successes} successes out of {n}, expected no more than n, and n above 0")
    z, share = float(ndtri((1 + confidence) / 2)), successes / n
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low, high = (middle - half) / scale, (middle + half) / scale
    return 100 * (low if successes else 0.0), 100 * (high if successes < n else 1.0)


def accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> Gain:
    """Difference of two accuracies on the same images.

    Interval: adjusted Wald of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one image to
    either kind of disagreement; one of those that Fagerland, Lydersen and Laake (2014, doi:10.1002/sim.6148)
    recommend for paired proportions, and defined where the two never disagree. p: exact McNemar test.

    Args:
        baseline, other: (n,) whether each image was classified correctly.
    """
    from scipy.special import bdtr, ndtri

    _check_confidence(confidence)
    baseline, other = np.asarray(baseline), np.asarray(other)
    if baseline.dtype != bool or other.dtype != bool or baseline.ndim != 1:
        raise ValueError("expected two vectors of booleans, one entry an image")
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
        method="Bonett-Price adjusted Wald interval, exact McNemar test",
        p=min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))),  # symmetric, so twice one tail
    )


def resample_ap(matches: Matches, metrics: Sequence[str], samples: int, seed: int = 0) -> ResampledAP:
    """AP of a run on resamples of its images: whole images drawn with replacement.

    The draw depends on the number of images and the seed alone, so it is the same for every run on these images.

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


def ap_gains(baseline: ResampledAP, other: ResampledAP, confidence: float) -> dict[str, Gain]:
    """Differences of the AP metrics that both have, on the same images; one with nothing to find is left out.

    Interval: percentiles of a paired bootstrap, which draws the same images for both (Efron and Tibshirani 1993,
    chapter 13). p: twice the share of resamples on the smaller side of zero, the data set itself counted as one more
    on either side, so that it is never 0 (Davison and Hinkley 1997, section 4.2). Deterministic for a seed.

    Raises:
        ValueError: the two were not matched against the same ground truth, or not drawn as often.
    """
    metrics = [metric for metric in other.ap if metric in baseline.ap]
    differences = {metric: _difference(baseline, other, metric) for metric in metrics}
    gains = {metric: _bootstrap_gain(differences[metric], other.images, confidence) for metric in metrics}
    return {metric: gain for metric, gain in gains.items() if gain}


def ap_gain_difference(
    baseline: ResampledAP, other: ResampledAP, metric: str, than: str, confidence: float
) -> Gain | None:
    """How much larger the gain of one AP metric is than that of another, by the same paired bootstrap.

    None where one of them has nothing to find. Raises as `ap_gains` does.
    """
    difference = _difference(baseline, other, metric) - _difference(baseline, other, than)
    return _bootstrap_gain(difference, other.images, confidence)


def seed_gain(baseline: Sequence[float], other: Sequence[float], confidence: float) -> Gain:
    """Difference of the means over seeds, paired by seed, with Student's t interval and test of the differences.

    Fewer than FEWEST_SEEDS get neither.

    Args:
        baseline, other: one value in percent a seed, in the same order of seeds.
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

    _check_confidence(confidence)
    vector = _vector(values)
    n = len(vector)
    if n < FEWEST_SEEDS:
        return None
    mean, half = float(vector.mean()), float(stdtrit(n - 1, (1 + confidence) / 2) * vector.std(ddof=1) / np.sqrt(n))
    return mean - half, mean + half


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for being several: Holm's step-down procedure (1979, www.jstor.org/stable/4615733).

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at alpha, however
    the tests depend on each other. None, a comparison without a test, stays None and counts for nothing.
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
    """How many images, or seeds (`gain.of`), in all would tell the published gain from zero, with this power.

    Two-sided at the gain's confidence, with the spread seen here: over images by the normal approximation to the
    paired difference, over seeds by the paired t test's own distribution, the noncentral t. A result that is
    significant with the wrong sign counts as missed.

    Returns:
        the smallest such number; None above MOST_NEEDED, without an interval, where no spread was seen, or where
        nothing is published to be told from zero.
    """
    if not 0 < power < 1:
        raise ValueError(f"power: found {power}, expected a fraction between 0 and 1")
    if gain.low is None or gain.high is None or gain.high <= gain.low or published == 0:
        return None
    half = (gain.high - gain.low) / 2
    count = _needed_seeds if gain.of == "seeds" else _needed_images
    return count(half * float(np.sqrt(gain.n)) / abs(published), gain, power)


def _needed_images(half: float, gain: Gain, power: float) -> int | None:
    """`half`: half the width that the interval of one image would have, in published gains."""
    from scipy.special import ndtri

    found = (half * (1 + ndtri(power) / ndtri((1 + gain.confidence) / 2))) ** 2
    return max(1, int(np.ceil(found))) if found <= MOST_NEEDED else None


def _needed_seeds(half: float, gain: Gain, power: float) -> int | None:
    from scipy.special import nctdtr, stdtrit

    level = (1 + gain.confidence) / 2
    effect = float(stdtrit(gain.n - 1, level)) / half  # in standard deviations of a seed

    def enough(n: int) -> bool:
        missed = nctdtr(n - 1, effect * np.sqrt(n), stdtrit(n - 1, level))
        return not missed > 1 - power  # NaN is a chance too small for nctdtr, below 1e-50

    if not enough(MOST_NEEDED):
        return None
    too_few, found = FEWEST_SEEDS - 1, MOST_NEEDED
    while found - too_few > 1:
        middle = (too_few + found) // 2
        too_few, found = (too_few, middle) if enough(middle) else (middle, found)
    return found


@functools.lru_cache(maxsize=1)  # one run after the other asks for the same
def _weights(n: int, samples: int, seed: int) -> NDArray[np.int64]:
    """How often each of n images counts (1 + samples, n): once in the data set itself, then in each resample."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    weights = np.concatenate([np.ones((1, n), dtype=drawn.dtype), drawn])
    weights.flags.writeable = False
    return weights


def _difference(baseline: ResampledAP, other: ResampledAP, metric: str) -> NDArray[np.float64]:
    if baseline.truth != other.truth:
        raise ValueError("truths: the two differ, expected matches against the same ground truth")
    before, after = baseline.ap[metric], other.ap[metric]
    if len(before) != len(after):
        raise ValueError(f"samples: found {len(before) - 1} and {len(after) - 1}, expected as many")
    return after - before


def _bootstrap_gain(difference: NDArray[np.float64], images: int, confidence: float) -> Gain | None:
    _check_confidence(confidence)
    value, resampled = float(difference[0]), difference[1:]
    if np.isnan(value):
        return None
    method = f"paired bootstrap over images, percentiles of {len(resampled)} resamples"
    # A resample may hold no object of a rare kind; then neither run has an AP, and neither is favoured.
    resampled = resampled[~np.isnan(resampled)]
    low, high, p = None, None, None
    if images > 1 and len(resampled):
        low, high = np.percentile(resampled, [50 * (1 - confidence), 50 * (1 + confidence)]).tolist()
        fewer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
        p = min(1.0, 2 * (fewer + 1) / (len(resampled) + 1))
    return Gain(value, low, high, confidence, images, method, p)


def _paired(baseline: NDArray, other: NDArray) -> int:
    if baseline.shape != other.shape or not len(baseline):
        raise ValueError(f"found {len(baseline)} and {len(other)} values, expected as many, and one or more")
    return len(baseline)


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("expected a sequence of finite numbers")
    return vector


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}, expected a fraction between 0 and 1")
