"""Intervals and paired comparisons against closed forms, published examples and simulated coverage."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from sgenet.evaluation.statistics import ImageGain, accuracy_gain, difference_interval, holm, mean_accuracy_gain, wilson


def excludes_zero(gain: ImageGain) -> bool:
    return gain.low > 0 or gain.high < 0


def pairs(both: int, lost: int, gained: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of correctness: images that both, only the baseline, only the other, neither got right."""
    counts = [both, lost, gained, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (81, 263), (10, 10)])
def test_wilson_closed_form(successes: int, n: int) -> None:
    z, share = stats.norm.ppf(0.975), successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert wilson(successes, n, 0.95) == pytest.approx((100 * (middle - half), 100 * (middle + half)))


def test_wilson_published() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I: 81 of 263.
    assert wilson(81, 263, 0.95) == pytest.approx((25.53, 36.62), abs=0.005)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n, 0.95)


def test_accuracy_gain_published() -> None:
    # Bentur et al. 2009, as in Fagerland et al. (2013, doi:10.1186/1471-2288-13-91): mid-p McNemar 0.039, exact 0.070.
    gain = accuracy_gain(*pairs(both=1, lost=7, gained=1, neither=12), confidence=0.95)
    assert gain.p == pytest.approx(0.039, abs=5e-4)
    assert gain.value == pytest.approx(-600 / 21)
    assert gain.n == 21
    # The documented example of ci.prop.ps in the R package statpsych, by one of the interval's authors.
    gain = accuracy_gain(*pairs(both=6, lost=4, gained=26, neither=12), confidence=0.95)
    assert (gain.low, gain.high) == pytest.approx((25.48067, 62.51933), abs=1e-5)
    assert gain.low > 0


@pytest.mark.parametrize(("gained", "lost"), [(26, 4), (3, 5), (6, 6), (1, 0), (0, 4), (1, 1), (40, 22), (700, 640)])
def test_mid_p_by_its_definition(gained: int, lost: int) -> None:
    """The chance of a larger disagreement between the two counts, and half that of one as large."""
    n, size = gained + lost, abs(gained - lost)
    chances = stats.binom.pmf(np.arange(n + 1), n, 0.5)
    sizes = np.abs(2 * np.arange(n + 1) - n)
    expected = chances[sizes > size].sum() + chances[sizes == size].sum() / 2
    gain = accuracy_gain(*pairs(both=6, lost=lost, gained=gained, neither=12), confidence=0.95)
    assert gain.p == pytest.approx(expected)
    assert "mid-p" in gain.method


def test_mid_p_keeps_its_level_and_agrees_with_the_interval() -> None:
    rng, rejected, disagree = np.random.default_rng(0), 0, 0
    for counts in rng.multinomial(400, (0.8, 0.04, 0.04, 0.12), size=1000):
        gain = accuracy_gain(*pairs(*counts), confidence=0.95)
        rejected += gain.p < 0.05
        disagree += (gain.p < 0.05) != excludes_zero(gain)
    assert 0.03 <= rejected / 1000 <= 0.065 and disagree <= 20


def test_accuracy_gain_of_a_mean_of_trainings() -> None:
    rng = np.random.default_rng(0)
    baseline, other = rng.random((2, 300)) < 0.6, rng.random((2, 300)) < 0.7
    gain = mean_accuracy_gain(baseline, other, 0.9)
    per_image = [100 * (sum(other[:, i]) - sum(baseline[:, i])) / 2 for i in range(300)]
    error = np.std(per_image, ddof=1) / np.sqrt(300)
    assert gain.value == pytest.approx(np.mean(per_image)) == 100 * (other.mean() - baseline.mean())
    assert (gain.low, gain.high) == pytest.approx(stats.norm.interval(0.9, gain.value, error))
    assert gain.p == pytest.approx(2 * stats.norm.sf(abs(gain.value) / error))
    assert gain.n == 300 and gain.method.startswith("mean of 2 trainings")


def test_accuracy_gain_of_a_mean_covers_the_sampling_error_of_the_images() -> None:
    """Whether two trainings are right depends on the image, so they are alike, and their mean tells no more images."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(500):
        skill = rng.beta(0.6, 0.4, 200)
        before, after = rng.random((2, 200)) < skill, rng.random((2, 200)) < skill
        inside += not excludes_zero(mean_accuracy_gain(before, after, 0.9))
    assert 0.86 <= inside / 500 <= 0.94


def test_accuracy_gain_of_a_mean_at_the_ends() -> None:
    yes = np.ones((2, 5), dtype=bool)
    same = mean_accuracy_gain(yes, yes, 0.95)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    single = mean_accuracy_gain(~yes[:, :1], yes[:, :1], 0.95)
    assert (single.value, single.low, single.high, single.p) == (100, None, None, None)
    for one, other in [(yes, yes[:1]), (yes, yes.astype(float)), (yes[0], yes[0]), (yes[:, :0], yes[:, :0])]:
        with pytest.raises(ValueError, match="expected"):
            mean_accuracy_gain(one, other, 0.95)


def test_accuracy_gain_at_the_ends() -> None:
    same = accuracy_gain(*pairs(both=5, lost=0, gained=0, neither=5), confidence=0.95)
    assert (same.value, same.p) == (0, 1)
    assert same.low == -same.high < 0
    best = accuracy_gain(*pairs(both=0, lost=0, gained=9, neither=0), confidence=0.95)
    assert best.value == best.high == 100
    assert best.low > 0


@pytest.mark.parametrize("shares", [(0.6, 0.1, 0.1, 0.2), (0.7, 0.05, 0.15, 0.1), (0.9, 0.0, 0.05, 0.05)])
def test_accuracy_gain_coverage(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    true = 100 * (shares[2] - shares[1])
    gains = [accuracy_gain(*pairs(*rng.multinomial(100, shares)), confidence=0.9) for _ in range(500)]
    coverage = np.mean([gain.low <= true <= gain.high for gain in gains])
    assert 0.87 <= coverage <= 0.96


def test_accuracy_gain_refuses() -> None:
    yes = np.ones(3, dtype=bool)
    with pytest.raises(ValueError, match="3 and 4"):
        accuracy_gain(yes, np.ones(4, dtype=bool), 0.95)
    with pytest.raises(ValueError, match="booleans"):
        accuracy_gain(yes, np.ones(3), 0.95)
    with pytest.raises(ValueError, match="one or more"):
        accuracy_gain(yes[:0], yes[:0], 0.95)
    with pytest.raises(ValueError, match="confidence"):
        accuracy_gain(yes, yes, 95)


def test_holm_by_hand() -> None:
    # In order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which may not fall below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.02, None, 0.01]) == [None, pytest.approx(0.02), None, pytest.approx(0.02)]
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([]) == [] and holm([None]) == [None]
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.5, 1.5])


def test_holm_equals_closed_testing() -> None:
    """Holm is the closed test of Bonferroni: the largest size x smallest p over all sets that hold the test."""
    p = np.random.default_rng(0).beta(0.5, 3, 5).tolist()
    sets = [chosen for size in range(1, 6) for chosen in itertools.combinations(range(5), size)]
    expected = [max(min(1, len(s) * min(p[i] for i in s)) for s in sets if index in s) for index in range(5)]
    assert holm(p) == pytest.approx(expected)


def test_holm_controls_the_error_of_a_column() -> None:
    """Five modules over one baseline, none of them better: any false alarm in at most 10 % of the columns."""
    rng, alarms, plain = np.random.default_rng(0), 0, 0
    for _ in range(400):
        baseline = rng.normal(size=4)
        p = [stats.ttest_rel(rng.normal(size=4), baseline).pvalue for _ in range(5)]
        alarms += min(holm(p)) <= 0.1
        plain += min(p) <= 0.1
    assert alarms <= 0.13 * 400
    assert plain >= 0.25 * 400


def test_import_stays_light() -> None:
    """A report computes intervals without loading torch, mmdet or scipy first."""
    code = "import sys, sgenet.evaluation.statistics as _; print({'torch', 'mmdet', 'scipy.stats'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_difference_interval_is_welchs() -> None:
    """Of two samples' means, it is the interval of scipy's Welch test."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=5), rng.normal(1, 3, size=9)
    bounds = [stats.t.interval(0.9, len(x) - 1, loc=x.mean(), scale=stats.sem(x)) for x in (one, two)]
    expected = stats.ttest_ind(two, one, equal_var=False).confidence_interval(0.9)
    assert difference_interval(bounds[0], bounds[1], (4, 8), 0.9) == pytest.approx((expected.low, expected.high))
    assert difference_interval((1.0, 1.0), (3.0, 3.0), (4, 8), 0.9) == (2.0, 2.0)
