"""Gains over trainings: what another training with another seed would change, estimated from all rows of a column.

The target of an interval is the expected gain over trainings on this validation set. The sampling error of the images
is another question, with an interval of its own (`statistics`, `bootstrap`).

A seed decides what all rows share (initial weights of common layers, order of the images), so it is a block, and a row
is a treatment: value = row + seed + residual. The variance of the residuals is that of one training; it is pooled over
rows and over blocks, since two or three seeds of a single pair say little about it. The analysis of variance of a
randomised block design is that of any textbook (Montgomery, Design and Analysis of Experiments, chapter 4).
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgenet.evaluation.statistics import check_confidence

FEWEST_SEEDS = 3  # trainings of both rows, for an interval of their difference
POWER = 0.8
MOST_SEEDS = 1000  # larger experiments are not feasible
Values = Mapping[str, Mapping[int, float]]  # by row (a model), the value of each seed


@dataclass(frozen=True)
class SeedVariance:
    """Variance of one training, in points squared.

    `value` is that about its row and seed, with `df` degrees of freedom. It decides how much gains vary whose rows have
    the same seeds. `total`, never smaller, is that about its row alone, as of trainings that share no seed.
    """

    value: float
    df: float
    total: float


@dataclass(frozen=True)
class Gain:
    """Mean difference of two rows over the seeds that both have, in percentage points.

    `low`, `high`, `p`, `error` (standard error) and `df` (degrees of freedom) are None where there are fewer than
    FEWEST_SEEDS seeds; `p` is two-sided, of no difference. `seeds` is the number of seeds. `variance` and `total` are
    those of one training, as in SeedVariance.
    """

    value: float
    seeds: int
    confidence: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    error: float | None = None
    df: float | None = None
    variance: float | None = None
    total: float | None = None

    @property
    def direction(self) -> Literal["higher", "lower", "undecided"]:
        """Position of the interval: "higher" or "lower" than 0; "undecided" if it contains 0 or is None."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "undecided"
        return "higher" if self.low > 0 else "lower"

    @property
    def smallest(self) -> float | None:
        """The smallest difference that these trainings show with a probability of POWER, in points; None as `low`."""
        from scipy.special import nctdtrinc

        if self.error is None or self.df is None:
            return None
        limit = _quantile(self.df, self.confidence)
        return self.error * float(nctdtrinc(self.df, 1 - POWER, limit))

    def differs(self, bound: float, share: float = 0.0) -> Literal["above", "below"] | None:
        """On which side of a bound the expected gain is, at the gain's confidence; None if that is not known.

        Args:
            bound: in points.
            share: of a published gain in the bound. The published gain is that of one training of each row, with no
                seed in common. The variance of each is taken to be that of one training here.
        """
        if self.error is None or self.df is None or self.total is None:
            return None
        error = float(np.sqrt(self.error**2 + 2 * share**2 * self.total))
        half = float(_quantile(self.df, self.confidence)) * error
        return "above" if self.value - bound > half else "below" if bound - self.value > half else None


def seed_variance(blocks: Sequence[Values]) -> SeedVariance | None:
    """Pool the variance of one training over blocks of rows; None if no block has two rows with two common seeds.

    A block holds the rows that are alike in what else affects the variance (detector and depth). Its residuals are
    those of the additive model of row and seed, by least squares, as not every row needs to have every seed. Detectors
    that start from the same classifier share its residual, so residuals of equal rows and seeds in two blocks may be
    correlated, which leaves fewer degrees of freedom: those of a sum of squares with this variance (Satterthwaite 1946,
    doi:10.2307/3002019).

    Args:
        blocks: rows of each block; a row's name is that of its model, so that equal names share classifiers. Trainings
            that did not learn should be left out, as they are not like the others.
    """
    found = [residuals for block in blocks if (residuals := _residuals(block)) is not None]
    if not found:
        return None
    total, degrees = sum(_product(one, one) for one, _ in found), sum(df for _, df in found)
    shared = sum(
        _product(one, two) ** 2 / min(df, other) for (one, df), (two, other) in itertools.permutations(found, 2)
    )
    value = total / degrees
    df = degrees / (1 + degrees * shared / total**2) if total else degrees
    return SeedVariance(value, df, max(value, _row_variance(blocks)))


def seed_gain(
    baseline: Mapping[int, float], other: Mapping[int, float], variance: SeedVariance | None, confidence: float
) -> Gain | None:
    """The gain of one row over another, with Student's t interval and test; None if they have no seed in common.

    Args:
        baseline: value of each seed, in percent.
        other: the same of the row that is compared with it.
        variance: of one training, of the column that both are of.
        confidence: of the interval, a fraction between 0 and 1.
    """
    from scipy.special import stdtr

    check_confidence(confidence)
    common = sorted(baseline.keys() & other.keys())
    if not common:
        return None
    value, n = float(np.mean([other[seed] - baseline[seed] for seed in common])), len(common)
    if n < FEWEST_SEEDS or variance is None:
        return Gain(value, n, confidence)
    error = float(np.sqrt(2 * variance.value / n))
    half = float(_quantile(variance.df, confidence)) * error
    p = 2 * float(stdtr(variance.df, -abs(value) / error)) if error else float(value == 0)
    low, high = value - half, value + half
    return Gain(value, n, confidence, low, high, p, error, variance.df, variance.value, variance.total)


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's t interval of the mean of a row's trainings, in their unit; None below FEWEST_SEEDS."""
    check_confidence(confidence)
    n = len(values)
    if n < FEWEST_SEEDS:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(n))
    half = float(_quantile(n - 1, confidence)) * error
    return mean - half, mean + half


def prediction_interval(values: Sequence[float], confidence: float, floor: float = 0.0) -> tuple[float, float] | None:
    """Student's t interval of the value of one further training; None below FEWEST_SEEDS.

    Of normal values, a further one is outside with probability 1 - `confidence`.

    Args:
        values: of the other trainings.
        confidence: of the interval, a fraction between 0 and 1.
        floor: the smallest standard deviation that is used.
    """
    check_confidence(confidence)
    n = len(values)
    if n < FEWEST_SEEDS:
        return None
    mean, deviation = float(np.mean(values)), max(floor, float(np.std(values, ddof=1)))
    half = float(_quantile(n - 1, confidence)) * deviation * float(np.sqrt(1 + 1 / n))
    return mean - half, mean + half


def needed_seeds(gain: Gain, published: float) -> int | None:
    """Seeds with which a true gain of the published size would exclude half of it, with a probability of POWER.

    None if more than MOST_SEEDS would be needed, as where the run-to-run variance of the published gain alone is too
    large, or if the gain has no interval or no variance.
    """
    from scipy.special import nctdtr

    if not gain.variance or gain.total is None or gain.df is None or published == 0:
        return None
    n: NDArray[np.int64] = np.arange(FEWEST_SEEDS, MOST_SEEDS + 1)
    df = gain.df / (gain.seeds - 1) * (n - 1)  # as many rows would be trained with more seeds
    error = np.sqrt(2 * gain.variance / n + gain.total / 2)
    missed = nctdtr(df, abs(published) / 2 / error, _quantile(df, gain.confidence))
    enough = n[~(missed > 1 - POWER)]  # NaN: a probability too small for nctdtr
    return int(enough[0]) if len(enough) else None


@dataclass(frozen=True)
class PublishedGain:
    """A published gain, and the values by seed of the two rows that reproduce it.

    Gains with a row or a classifier in common have equal `part`s, such as those of all detectors with the same pair of
    classifiers, or of modules with the same baseline.
    `variance` is that of one training.
    """

    published: float
    baseline: Mapping[int, float]
    other: Mapping[int, float]
    variance: float
    part: Hashable


@dataclass(frozen=True)
class Ratio:
    """Reproduced over published gain, over several gains; the interval is None with fewer than FEWEST_SEEDS seeds."""

    value: float
    low: float | None
    high: float | None
    gains: int
    df: float | None


def gain_ratio(gains: Sequence[PublishedGain], confidence: float) -> Ratio | None:
    """Slope through the origin of reproduced against published gains, weighted by the inverse of their variances.

    The slope is a weighted sum of the trainings' values. In each part, the sum of one seed's values is one observation,
    so its variance over the seeds includes what the gains of the part share. It is pooled over the parts, relative to
    the variance that independent gains would have. The interval is for the expected gains over the published ones as
    printed.

    Returns:
        None if no gain can be used: published as zero, without a variance, or without a seed that its part has in
        common.
    """
    check_confidence(confidence)
    usable = [gain for gain in gains if gain.published and gain.variance > 0 and gain.baseline.keys() & gain.other]
    scale = sum(gain.published**2 / gain.variance for gain in usable)
    parts: dict[Hashable, list[PublishedGain]] = {}
    for gain in usable:
        parts.setdefault(gain.part, []).append(gain)
    value = independent = squares = 0.0
    df, fewest = 0, MOST_SEEDS
    for own in parts.values():
        seeds = sorted(set.intersection(*(gain.baseline.keys() & gain.other.keys() for gain in own)))
        if not seeds:
            return None
        weighted = np.zeros(len(seeds))
        for gain in own:
            differences = [gain.other[seed] - gain.baseline[seed] for seed in seeds]
            weighted += gain.published / gain.variance / scale * np.array(differences)
        expected = 2 * sum(gain.published**2 / gain.variance for gain in own) / scale**2  # of one seed's sum
        value += float(weighted.mean())
        independent += expected / len(seeds)
        squares += float(((weighted - weighted.mean()) ** 2).sum()) / expected
        df, fewest = df + len(seeds) - 1, min(fewest, len(seeds))
    if not parts:
        return None
    if fewest < FEWEST_SEEDS:
        return Ratio(value, None, None, len(usable), None)
    half = float(_quantile(df, confidence) * np.sqrt(independent * squares / df))
    return Ratio(value, value - half, value + half, len(usable), df)


Residuals = dict[tuple[str, int], float]


def _residuals(block: Values) -> tuple[Residuals, int] | None:
    """Residuals of the additive model by row and seed, and their degrees of freedom; None if there are none."""
    cells = [(row, seed, value) for row, values in block.items() for seed, value in values.items()]
    rows = {row: number for number, row in enumerate(dict.fromkeys(row for row, _, _ in cells))}
    seeds = {seed: number for number, seed in enumerate(dict.fromkeys(seed for _, seed, _ in cells))}
    design: NDArray[np.float64] = np.zeros((len(cells), len(rows) + len(seeds)))
    for number, (row, seed, _) in enumerate(cells):
        design[number, rows[row]] = design[number, len(rows) + seeds[seed]] = 1
    values = np.array([value for _, _, value in cells], dtype=np.float64)
    effects, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    df = len(cells) - int(rank)
    if df <= 0:
        return None
    left = values - design @ effects
    return {(row, seed): float(own) for (row, seed, _), own in zip(cells, left, strict=True)}, df


def _row_variance(blocks: Sequence[Values]) -> float:
    """Variance of the trainings of a row about their mean, pooled over the rows."""
    rows = [np.array(list(values.values())) for block in blocks for values in block.values()]
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in rows if len(row))
    return squares / sum(len(row) - 1 for row in rows if len(row))


def _product(one: Residuals, two: Residuals) -> float:
    return sum(value * two[cell] for cell, value in one.items() if cell in two)


def _quantile(df: ArrayLike, confidence: float) -> Any:
    """Half the width of a two-sided interval by Student's t distribution, in standard errors."""
    from scipy.special import stdtrit

    return stdtrit(df, (1 + confidence) / 2)
