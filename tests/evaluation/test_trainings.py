"""The analysis over trainings against textbooks, scipy's tests, dummy regressions and simulations."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from sgenet.evaluation.trainings import (
    Gain,
    PublishedGain,
    SeedVariance,
    gain_ratio,
    mean_interval,
    needed_seeds,
    prediction_interval,
    seed_gain,
    seed_variance,
)

RNG = np.random.default_rng
# Montgomery, Design and Analysis of Experiments, example 4.1: yield by pressure (rows) and batch of resin (blocks).
GRAFTS = [
    [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
]


def by_seed(table, missing=()):
    """Rows named a, b, ... of a table with a column per seed; `missing` are (row, seed)."""
    return {
        row: {seed: float(value) for seed, value in enumerate(values) if (row, seed) not in missing}
        for row, values in zip("abcdefghijkl", table, strict=False)
    }


def gain(value=1.0, seeds=3, error=0.1, df=4.0, variance=0.015, total=0.015):
    half = float(stats.t.ppf(0.975, df)) * error
    return Gain(value, seeds, 0.95, value - half, value + half, 0.5, error, df, variance, total)


def test_variance_of_a_textbook_example():
    found = seed_variance([by_seed(GRAFTS)])
    assert (found.df, round(found.value, 2)) == (15, 7.33)


@pytest.mark.parametrize(("rows", "seeds"), [(2, 2), (2, 3), (6, 3), (5, 10)])
def test_variance_of_complete_data(rows, seeds):
    table = RNG(rows).normal(size=(rows, seeds)) + RNG(1).normal(size=seeds) + 10 * np.arange(rows)[:, None]
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    found, df = seed_variance([by_seed(table)]), (rows - 1) * (seeds - 1)
    assert (found.value, found.df) == (pytest.approx((left**2).sum() / df), pytest.approx(df))
    assert found.total == pytest.approx(max(found.value, table.var(axis=1, ddof=1).mean()))


@pytest.mark.parametrize(
    "missing", [[("a", 0)], [("a", 0), ("b", 3), ("c", 1)], [("a", 0), ("a", 1), ("b", 2), ("b", 3)]]
)
def test_variance_of_incomplete_data_is_that_of_a_regression_on_dummies(missing):
    block = by_seed(RNG(0).normal(size=(4, 4)), missing)
    cells = [(row, seed) for row, values in block.items() for seed in values]
    design = np.array([[1, *(row == r for r in "bcd"), *(seed == s for s in (1, 2, 3))] for row, seed in cells], float)
    values = np.array([block[row][seed] for row, seed in cells])
    left = values - design @ np.linalg.solve(design.T @ design, design.T @ values)
    found, df = seed_variance([block]), len(cells) - 7
    assert (found.value, found.df) == (pytest.approx(left @ left / df), pytest.approx(df))


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"a": {0: 1.0, 1: 2.0}},
        {"a": {0: 1.0}, "b": {0: 2.0}},
        {"a": {0: 1.0, 1: 2.0}, "b": {2: 3.0, 3: 5.0}},
        {"a": {0: 1.0, 1: 2.0}, "b": {1: 3.0, 2: 5.0}},
        {"a": {0: 1.0, 1: 2.0}, "b": {}},
    ],
)
def test_no_variance_without_two_rows_of_two_common_seeds(block):
    assert seed_variance([block]) is None
    known = by_seed(GRAFTS)
    assert seed_variance([block, known]).value == pytest.approx(seed_variance([known]).value)


def test_equal_values_have_no_variance():
    same = {"a": {0: 1.0, 1: 1.0, 2: 1.0}, "b": {0: 2.0, 1: 2.0, 2: 2.0}}
    variance = seed_variance([same])
    assert (variance.value, variance.total, variance.df) == (*[pytest.approx(0, abs=1e-20)] * 2, 2)
    exact = SeedVariance(0.0, 2.0, 0.0)
    up, none = (seed_gain(same["a"], same[row], exact, 0.95) for row in "ba")
    assert (up.value, up.low, up.high, up.p, up.smallest, up.direction) == (1, 1, 1, 0, 0, "higher")
    assert (none.value, none.p, none.direction) == (0, 1, "undecided")
    assert (up.differs(0.9), up.differs(1.0), up.differs(1.1)) == ("above", None, "below")
    assert needed_seeds(up, 1.0) is None


def test_variance_of_blocks_without_common_rows_is_pooled():
    one, two = RNG(0).normal(size=(2, 5)), RNG(1).normal(size=(3, 4))
    blocks = [by_seed(one), {row.upper(): values for row, values in by_seed(two).items()}]
    alone = [seed_variance([block]) for block in blocks]
    found = seed_variance(blocks)
    assert found.df == pytest.approx(4 + 6)
    assert found.value == pytest.approx((4 * alone[0].value + 6 * alone[1].value) / 10)


def test_blocks_that_repeat_each_other_add_no_degrees_of_freedom():
    block = by_seed(RNG(0).normal(size=(3, 4)))
    shifted = {row: {seed: value + 10 for seed, value in values.items()} for row, values in block.items()}
    found = seed_variance([block, shifted, block])
    assert (found.value, found.df) == (pytest.approx(seed_variance([block]).value), pytest.approx(6))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_degrees_of_freedom_are_those_of_the_estimate(share):
    """A variance with df degrees of freedom varies by 2 / df of its square; blocks share a part of their residuals."""
    rng, found = RNG(3), []
    for _ in range(1500):
        common = rng.normal(size=(4, 4)) * np.sqrt(share)
        blocks = [by_seed(common + np.sqrt(1 - share) * rng.normal(size=(4, 4))) for _ in range(3)]
        found.append(seed_variance(blocks))
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(1, abs=0.03)
    # The correlation is estimated and squared, which by chance takes some degrees of freedom where there is none.
    assert 0.75 * 2 / values.var() < np.mean([one.df for one in found]) < 1.05 * 2 / values.var()


def test_total_variance_includes_the_seeds():
    rng = RNG(0)
    found = [seed_variance([by_seed(rng.normal(size=(5, 4)) + 2 * rng.normal(size=4))]) for _ in range(2000)]
    assert np.mean([one.value for one in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([one.total for one in found]) == pytest.approx(1 + 4, rel=0.05)
    assert all(one.total >= one.value for one in found)


@pytest.mark.parametrize("seeds", [3, 4, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_gain_of_a_single_pair_is_the_paired_t_test(seeds, confidence):
    one, other = RNG(seeds).normal(70, 1, (2, seeds))
    pair = by_seed([one, other])
    found = seed_gain(pair["a"], pair["b"], seed_variance([pair]), confidence)
    expected = stats.ttest_rel(other, one)
    assert (found.p, found.df, found.seeds) == (pytest.approx(expected.pvalue), pytest.approx(expected.df), seeds)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(confidence)))
    assert found.value == pytest.approx(np.mean(other - one)) and found.confidence == confidence
    assert found.error == pytest.approx(stats.sem(other - one))


def test_the_gain_of_a_pair_among_many_has_the_error_of_all():
    """Against the contrast of a two-way analysis of variance: t of two treatments with the residual mean square."""
    block = by_seed(GRAFTS)
    found = seed_gain(block["a"], block["d"], seed_variance([block]), 0.95)
    value, error = np.mean(GRAFTS[3]) - np.mean(GRAFTS[0]), np.sqrt(2 * 109.886 / 15 / 6)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 15, value, error), abs=1e-3)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(value) / error, 15), rel=1e-3)


def test_the_variance_is_that_of_all_rows():
    """Where rows differ, intervals of the rows that vary most are too narrow, and the others' too wide."""
    rng, scale, inside = RNG(0), np.array([1.4, 1.4, 0.7, 0.7, 1, 1, 1, 1, 1])[:, None], []
    for _ in range(1500):
        rows = by_seed(rng.normal(size=(9, 5)) * scale)
        variance = seed_variance([rows])
        inside.append([seed_gain(rows[a], rows[b], variance, 0.95).direction == "undecided" for a, b in ("ab", "cd")])
    (most, least), mean_square = np.mean(inside, axis=0), np.mean(scale**2)
    for found, sd in [(most, 1.4), (least, 0.7)]:
        limit = stats.t.ppf(0.975, 32) * np.sqrt(mean_square) / sd
        assert found == pytest.approx(2 * stats.norm.cdf(limit) - 1, abs=0.03)


def test_a_gain_is_over_common_seeds():
    variance = SeedVariance(0.5, 8.0, 0.7)
    found = seed_gain({0: 1.0, 1: 2.0, 2: 3.0, 7: 99.0}, {2: 6.0, 1: 3.0, 0: 3.0, 8: 0.0}, variance, 0.95)
    assert (found.value, found.seeds, found.total) == (2, 3, 0.7)
    assert found.error == pytest.approx(np.sqrt(2 * 0.5 / 3))
    assert seed_gain({0: 1.0}, {1: 1.0}, variance, 0.95) is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_have_no_interval(seeds):
    values = {seed: 1.0 + seed for seed in range(seeds)}
    found = seed_gain(values, dict.fromkeys(values, 4.0), SeedVariance(0.5, 8.0, 0.5), 0.95)
    assert found == Gain(3.0 - 0.5 * (seeds - 1), seeds, 0.95) and found.direction == "undecided"
    assert found.smallest is None and found.differs(0) is None and needed_seeds(found, 1.0) is None
    assert mean_interval(list(values.values()), 0.95) is None
    assert prediction_interval(list(values.values()), 0.95) is None


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_is_a_fraction(confidence):
    for call in (
        lambda: seed_gain({0: 1.0}, {0: 1.0}, None, confidence),
        lambda: mean_interval([1.0, 2.0, 3.0], confidence),
        lambda: prediction_interval([1.0, 2.0, 3.0], confidence),
        lambda: gain_ratio([], confidence),
    ):
        with pytest.raises(ValueError, match="confidence"):
            call()


@pytest.mark.parametrize("seeds", [3, 10])
def test_mean_interval(seeds):
    values = RNG(seeds).normal(size=seeds).tolist()
    assert mean_interval(values, 0.9) == pytest.approx(
        stats.t.interval(0.9, seeds - 1, np.mean(values), stats.sem(values))
    )


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_further_training_is_in_its_prediction_interval_as_often_as_it_says(seeds):
    values = RNG(seeds).normal(70, 0.2, size=(20_000, seeds + 1))
    bounds = np.array([prediction_interval(row, 0.9) for row in values[:, 1:]])
    inside = (bounds[:, 0] <= values[:, 0]) & (values[:, 0] <= bounds[:, 1])
    assert inside.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.9 * 0.1 / 20_000))
    low, high = prediction_interval(seeds * [70.0], 0.9, floor=0.5)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.95, seeds - 1) * 0.5 * np.sqrt(1 + 1 / seeds))


@pytest.mark.parametrize("df", [2.0, 10.8, 200.0])
def test_the_smallest_gain_is_shown_with_the_power_that_is_named(df):
    found = gain(error=0.1, df=df).smallest
    assert stats.nct.sf(stats.t.ppf(0.975, df), df, found / 0.1) == pytest.approx(0.8, abs=1e-6)
    rng = RNG(0)
    t = (found + 0.1 * rng.normal(size=20_000)) / (0.1 * np.sqrt(rng.chisquare(df, 20_000) / df))
    assert np.mean(t > stats.t.ppf(0.975, df)) == pytest.approx(0.8, abs=0.01)


def test_differs_takes_the_share_of_a_published_gain():
    """Its two trainings share no seed, so each varies as a training does about its row."""
    one = gain(value=1.0, error=0.1, df=5.0, variance=0.015, total=0.04)
    for share in (0.0, 0.5, 1.0):
        half = stats.t.ppf(0.975, 5) * np.sqrt(0.1**2 + share**2 * 2 * 0.04)
        assert [one.differs(1 - sign * half * 1.001, share) for sign in (1, -1)] == ["above", "below"]
        assert [one.differs(1 - sign * half * 0.999, share) for sign in (1, -1)] == [None, None]
    assert (one.differs(one.low), one.differs(one.high)) == (None, None)


@pytest.mark.parametrize(("published", "total"), [(1.2, 0.0144), (0.6, 0.0144), (0.7, 0.0192), (50, 0.0144)])
def test_needed_seeds_is_the_fewest_with_enough_power(published, total):
    """By scipy's noncentral t: rows, and so degrees of freedom a seed, stay as they are."""
    one = gain(seeds=3, df=8.0, variance=0.0144, total=total)

    def power(n: int) -> float:
        df, error = 4 * (n - 1), np.sqrt(2 * one.variance / n + 2 * one.total / 4)
        return stats.nct.sf(stats.t.ppf(0.975, df), df, abs(published) / 2 / error)

    needed = needed_seeds(one, published)
    assert needed == needed_seeds(one, -published) == next(n for n in range(3, 1001) if power(n) >= 0.8)


def test_needed_seeds_where_no_number_is_enough():
    assert needed_seeds(gain(variance=0.0144, total=0.0144), 0.2) is None  # below the noise of the published gain
    assert needed_seeds(gain(), 0.0) is None


def test_needed_seeds_by_simulation():
    one = gain(seeds=5, df=20.0, variance=0.02, total=0.03)
    n, published, rng = needed_seeds(one, 0.9), 0.9, RNG(0)
    excluded = 0
    for _ in range(4000):
        value = published + rng.normal(0, np.sqrt(2 * 0.02 / n))
        noisy = published + rng.normal(0, np.sqrt(2 * 0.03))
        df = 5 * (n - 1)
        estimate = rng.chisquare(df) / df
        trial = dataclasses.replace(
            one, value=value, error=np.sqrt(2 * 0.02 * estimate / n), df=df, variance=0.02 * estimate,
            total=0.03 * estimate,
        )  # fmt: skip
        excluded += trial.differs(noisy / 2, 0.5) == "above"
    assert 0.78 <= excluded / 4000 <= 0.9


def published_gains(seeds: int, parts: tuple[str, ...], seed: int = 0) -> list[PublishedGain]:
    rng = RNG(seed)
    return [
        PublishedGain(
            published, dict(enumerate(rng.normal(70, 0.3, seeds))),
            dict(enumerate(rng.normal(70 + published, 0.3, seeds))), variance, part,
        )
        for part, published, variance in zip(itertools.cycle(parts), (1.2, 0.6, -0.4, 1.5), (0.1, 0.2, 0.1, 0.4))
    ]  # fmt: skip


def differences(one: PublishedGain) -> np.ndarray:
    return np.array([one.other[seed] - one.baseline[seed] for seed in sorted(one.baseline)])


@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("parts", [("R50",), ("R50", "R101")])
def test_ratio_is_a_least_squares_slope(seeds, parts):
    gains = published_gains(seeds, parts)
    weight = 1 / np.sqrt([one.variance for one in gains])
    published = np.array([one.published for one in gains])
    reproduced = np.array([differences(one).mean() for one in gains])
    (slope,), *_ = np.linalg.lstsq((weight * published)[:, None], weight * reproduced, rcond=None)
    found = gain_ratio(gains, 0.95)
    assert (found.value, found.gains) == (pytest.approx(slope), 4)
    assert (found.low is None) == (seeds == 1)
    assert found.df == (None if seeds == 1 else len(parts) * (seeds - 1))


def test_ratio_of_one_part_has_the_t_interval_of_the_slopes_of_the_seeds():
    gains = published_gains(4, ("R50",))
    weights = np.array([one.published / one.variance for one in gains])
    slopes = weights @ np.array([differences(one) for one in gains])
    slopes = slopes / sum(one.published**2 / one.variance for one in gains)
    found = gain_ratio(gains, 0.9)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.9, 3, slopes.mean(), stats.sem(slopes)))


def test_ratio_uses_what_it_can():
    gains = published_gains(3, ("R50",))
    useless = [dataclasses.replace(gains[0], published=0.0), dataclasses.replace(gains[0], variance=0.0),
               dataclasses.replace(gains[0], other={7: 1.0})]  # fmt: skip
    assert gain_ratio([*gains, *useless], 0.95) == gain_ratio(gains, 0.95)
    assert gain_ratio(useless, 0.95) is gain_ratio([], 0.95) is None
    apart = dataclasses.replace(gains[1], baseline={7: 70.0}, other={7: 71.0})
    assert gain_ratio([gains[0], apart], 0.95) is None  # one part without a common seed
    assert gain_ratio([gains[0], dataclasses.replace(apart, part="R101")], 0.95).low is None  # one seed in a part
