"""How sure a number is, and whether one run beats another: intervals and paired comparisons, in points.

Points are points of percent. Two runs are always compared on the same images (or the same seeds): what makes
an image hard is then common to both and drops out of the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgenet.detection.coco_eval import AP_METRICS, Matches, bootstrap_ap


@dataclass(frozen=True)
class Gain:
    """Other minus baseline in points of percent, its interval, and how it was judged.

    `low` and `high` are None where the data allow no interval worth printing: fewer than three seeds, or a
    single image. `n` counts the images, or the seeds, that were compared.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float
    n: int
    method: str
    p: float | None = None

    @property
    def direction(self) -> str:
        """Where the interval lies: "higher" or "lower" than 0; "undecided" if it holds 0 or there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "undecided"
        return "higher" if self.low > 0 else "lower"


def wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion in percent (1927, doi:10.1080/01621459.1927.10502953)."""
    from scipy.stats import binomtest

    _check_confidence(confidence)
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"found {successes} successes out of {n}, expected no more than n, and n above 0")
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def accuracy_gain(baseline: NDArray[np.bool_], other: NDArray[np.bool_], confidence: float) -> Gain:
    """Difference of two accuracies on the same images.

    Interval: adjusted Wald of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one image to
    either kind of disagreement; one of those that Fagerland, Lydersen and Laake (2014, doi:10.1002/sim.6148)
    recommend for paired proportions, and defined where the two never disagree. p: exact McNemar test.

    Args:
        baseline, other: (n,) whether each image was classified correctly.
    """
    from scipy.stats import binomtest, norm

    _check_confidence(confidence)
    baseline, other = np.asarray(baseline), np.asarray(other)
    if baseline.dtype != bool or other.dtype != bool or baseline.ndim != 1:
        raise ValueError("expected two vectors of booleans, one entry an image")
    n = _paired(baseline, other)
    gained, lost = int((other & ~baseline).sum()), int((baseline & ~other).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = norm.ppf((1 + confidence) / 2) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return Gain(
        value=100 * (gained - lost) / n,
        low=100 * max(-1.0, float(up - down - half)),
        high=100 * min(1.0, float(up - down + half)),
        confidence=confidence,
        n=n,
        method="Bonett-Price adjusted Wald interval, exact McNemar test",
        p=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
    )


def ap_gain(baseline: Matches, other: Matches, metric: str, confidence: float, samples: int, seed: int = 0) -> Gain:
    """Difference of one AP metric; see `ap_gains`, whose numbers it gives."""
    gains = _ap_gains(baseline, other, (metric,), confidence, samples, seed)
    if metric not in gains:
        raise ValueError(f"metric: the annotations hold nothing that {metric} could find")
    return gains[metric]


def ap_gains(baseline: Matches, other: Matches, confidence: float, samples: int, seed: int = 0) -> dict[str, Gain]:
    """Differences of all six AP metrics on the same images; a metric with nothing to find is left out.

    Interval: percentiles of a paired bootstrap, which draws whole images with replacement, the same for both
    (Efron and Tibshirani 1993, chapter 13). Deterministic for a seed.

    Raises:
        ValueError: the two were not matched against the same ground truth.
    """
    return _ap_gains(baseline, other, tuple(AP_METRICS), confidence, samples, seed)


def seed_gain(baseline: Sequence[float], other: Sequence[float], confidence: float) -> Gain:
    """Difference of the means over seeds, paired by seed, with Student's t interval of the differences.

    Fewer than three seeds get no interval: one has no spread, and two leave one degree of freedom, where 95 %
    reaches 12.7 standard errors to either side and says nothing.

    Args:
        baseline, other: one value in percent a seed, in the same order of seeds.
    """
    from scipy.stats import t

    _check_confidence(confidence)
    before, after = _vector(baseline), _vector(other)
    n = _paired(before, after)
    differences = after - before
    value = float(differences.mean())
    if n < 3:
        return Gain(value, None, None, confidence, n, "difference of means, too few seeds for an interval")
    half = float(t.ppf((1 + confidence) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return Gain(value, value - half, value + half, confidence, n, "paired t interval over seeds")


def _ap_gains(
    baseline: Matches, other: Matches, metrics: tuple[str, ...], confidence: float, samples: int, seed: int
) -> dict[str, Gain]:
    _check_confidence(confidence)
    if samples < 1:
        raise ValueError(f"samples: found {samples}, expected 1 or more")
    for name in ("image_ids", "categories", "truths"):
        if not np.array_equal(getattr(baseline, name), getattr(other, name)):
            raise ValueError(f"{name}: the two differ, expected matches against the same ground truth")
    n = len(baseline.image_ids)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    # The first row is the data set itself.
    weights = np.concatenate([np.ones((1, n), dtype=drawn.dtype), drawn])
    before, after = bootstrap_ap(baseline, weights, metrics), bootstrap_ap(other, weights, metrics)
    method = f"paired bootstrap over images, percentiles of {samples} resamples"
    gains = {}
    for metric in metrics:
        difference = after[metric] - before[metric]
        value, resampled = float(difference[0]), difference[1:]
        if np.isnan(value):
            continue
        # A resample may hold no object of a rare kind; then neither run has an AP, and neither is favoured.
        resampled = resampled[~np.isnan(resampled)]
        low, high = None, None
        if n > 1 and len(resampled):
            low, high = np.percentile(resampled, [50 * (1 - confidence), 50 * (1 + confidence)]).tolist()
        gains[metric] = Gain(value, low, high, confidence, n, method)
    return gains


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
