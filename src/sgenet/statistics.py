"""How sure a number is, and whether one run beats another: intervals and paired comparisons, in points.

Points are points of percent. Two runs are always compared on the same images (or the same seeds): what makes
an image hard is then common to both and drops out of the difference.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgenet.detection.coco_eval import Matches, bootstrap_ap


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
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    # The first row is the data set itself.
    weights = np.concatenate([np.ones((1, n), dtype=drawn.dtype), drawn])
    truth = hashlib.sha256()
    for part in (matches.image_ids, matches.categories, matches.truths):
        truth.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
    return ResampledAP(bootstrap_ap(matches, weights, metrics), truth.hexdigest(), n)


def ap_gains(baseline: ResampledAP, other: ResampledAP, confidence: float) -> dict[str, Gain]:
    """Differences of the AP metrics that both have, on the same images; one with nothing to find is left out.

    Interval: percentiles of a paired bootstrap, which draws the same images for both (Efron and Tibshirani 1993,
    chapter 13). Deterministic for a seed.

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
    """Difference of the means over seeds, paired by seed, with Student's t interval of the differences.

    Fewer than three seeds get no interval: one has no spread, and two leave one degree of freedom, where 95 %
    reaches 12.7 standard errors to either side and says nothing.

    Args:
        baseline, other: one value in percent a seed, in the same order of seeds.
    """
    from scipy.special import stdtrit

    _check_confidence(confidence)
    before, after = _vector(baseline), _vector(other)
    n = _paired(before, after)
    differences = after - before
    value = float(differences.mean())
    if n < 3:
        return Gain(value, None, None, confidence, n, "difference of means, too few seeds for an interval")
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * differences.std(ddof=1) / np.sqrt(n))
    return Gain(value, value - half, value + half, confidence, n, "paired t interval over seeds")


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
    low, high = None, None
    if images > 1 and len(resampled):
        low, high = np.percentile(resampled, [50 * (1 - confidence), 50 * (1 + confidence)]).tolist()
    return Gain(value, low, high, confidence, images, method)


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
