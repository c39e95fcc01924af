"""Paired bootstrap of AP against loops over the same resamples, and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from sgenet.evaluation.bootstrap import ap_gain, ap_gain_difference, mean_ap, resample_ap
from sgenet.evaluation.coco_eval import ap
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.statistics import ImageGain

METRICS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def matches(seed: int, skill: float, images: int = 40) -> Matches:
    """Three detections an image of two categories, right with probability `skill`; every object is medium."""
    rng = np.random.default_rng(seed)
    count = 3 * images
    category, score = np.sort(rng.integers(0, 2, count)), rng.random(count)
    order = np.lexsort((-score, category))
    image = rng.permutation(np.repeat(np.arange(images), 3))
    hit = rng.random(count) < skill * np.linspace(1, 0.5, 10)[:, None]
    none = np.zeros_like(hit)
    truths = np.zeros((2, images), dtype=np.int32) + 3
    return Matches(
        image_ids=np.arange(images),
        categories=np.array(["a", "b"]),
        image=image[order].astype(np.int32),
        category=category[order].astype(np.int32),
        score=score[order],
        matched=np.stack([hit, none, hit, none]),
        ignored=np.stack([none, ~none, none, ~none]),
        truths=np.stack([truths, 0 * truths, truths, 0 * truths]),
    )


def test_ap_gains_are_a_paired_bootstrap() -> None:
    runs = matches(1, 0.5), matches(2, 0.9)
    baseline, other = (resample_ap(run, METRICS, samples=60, seed=7) for run in runs)
    found = {metric: ap_gain(baseline, other, metric, confidence=0.9) for metric in METRICS}
    gains = {metric: gain for metric, gain in found.items() if gain}
    assert set(gains) == {"ap", "ap50", "ap75", "ap_medium"}  # nothing small or large to find
    drawn = np.random.default_rng(7).multinomial(40, np.full(40, 1 / 40), size=60)
    differences = {}
    for metric, gain in gains.items():
        differences[metric] = [ap(runs[1], row, metric) - ap(runs[0], row, metric) for row in drawn]
        assert (gain.low, gain.high) == pytest.approx(tuple(np.percentile(differences[metric], [5, 95])))
        assert gain.value == pytest.approx(ap(runs[1], metric=metric) - ap(runs[0], metric=metric))
        assert gain.low > 0
        below = sum(difference <= 0 for difference in differences[metric])
        assert gain.p == pytest.approx(2 * (below + 1) / 61)
    more = ap_gain_difference(baseline, other, "ap50", "ap75", confidence=0.9)
    assert more is not None and more.value == pytest.approx(gains["ap50"].value - gains["ap75"].value)
    expected = np.percentile(np.subtract(differences["ap50"], differences["ap75"]), [5, 95])
    assert (more.low, more.high) == pytest.approx(tuple(expected))
    assert ap_gain_difference(baseline, other, "ap", "ap_small", confidence=0.9) is None


def test_ap_gains_depend_on_the_seed_alone() -> None:
    def gain(seed: int, metrics: tuple[str, ...] = METRICS) -> ImageGain:
        pair = [resample_ap(run, metrics, 60, seed) for run in (matches(1, 0.5), matches(2, 0.9))]
        return ap_gain(*pair, "ap50", confidence=0.9)

    assert gain(7) == gain(7) == gain(7, ("ap50",)) != gain(8)


def test_ap_gain_of_a_run_over_itself() -> None:
    run = resample_ap(matches(1, 0.5), ("ap",), samples=20)
    gain = ap_gain(run, run, "ap", confidence=0.95)
    assert (gain.value, gain.low, gain.high, gain.p, gain.n) == (0, 0, 0, 1, 40)


def test_ap_gain_coverage() -> None:
    """Detections that share images but no skill: the interval holds 0 about as often as it says."""
    inside, p = [], []
    for seed in range(60):
        pair = [resample_ap(matches(2 * seed + run, 0.6), ("ap50",), samples=200) for run in (0, 1)]
        gain = ap_gain(*pair, "ap50", confidence=0.8)
        inside.append(gain.low <= 0 <= gain.high)
        p.append(gain.p)
    assert 0.65 <= np.mean(inside) <= 0.93
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_ap_gain_with_too_little() -> None:
    pair = [resample_ap(matches(run, 0.5, images=1), ("ap",), samples=20) for run in (1, 2)]
    single = ap_gain(*pair, "ap", confidence=0.95)
    assert (single.low, single.high, single.p) == (None, None, None)
    with pytest.raises(ValueError, match="samples"):
        resample_ap(matches(1, 0.5), ("ap",), samples=0)
    run = resample_ap(matches(1, 0.5), ("ap",), samples=20)
    with pytest.raises(ValueError, match="ground truth"):
        ap_gain(run, resample_ap(matches(2, 0.9, images=39), ("ap",), samples=20), "ap", confidence=0.95)
    with pytest.raises(ValueError, match="samples: found 20 and 30"):
        ap_gain(run, resample_ap(matches(2, 0.9), ("ap",), samples=30), "ap", confidence=0.95)
    with pytest.raises(ValueError, match="ground truth"):
        mean_ap([run, resample_ap(matches(2, 0.9, images=39), ("ap",), samples=20)])


def test_mean_ap_of_two_trainings_is_one_paired_bootstrap() -> None:
    runs = [[matches(1, 0.5), matches(3, 0.6)], [matches(2, 0.7), matches(4, 0.9)]]
    before, after = (mean_ap([resample_ap(run, ("ap", "ap50"), 60, seed=7) for run in pair]) for pair in runs)
    gain = ap_gain(before, after, "ap", confidence=0.9)
    values = []
    for weights in (None, *np.random.default_rng(7).multinomial(40, np.full(40, 1 / 40), size=60)):
        means = [sum(ap(run, weights) for run in pair) / 2 for pair in runs]
        values.append(means[1] - means[0])
    assert gain.value == pytest.approx(values[0])
    assert (gain.low, gain.high) == pytest.approx(tuple(np.percentile(values[1:], [5, 95])))
    assert gain.n == 40 and gain.method.startswith("mean of 2 trainings, paired bootstrap")
