"""The interval of a run's value: over images with one training, over seeds from three."""

from pathlib import Path

import pytest
from scipy import stats

from sgenet.report.gains import value_interval
from sgenet.report.results import Result, RunResults


def run(metric: str, *values: float | None) -> RunResults:
    by_seed = {seed: Result(seed, {metric: value, "images": 400}, {}, Path()) for seed, value in enumerate(values)}
    return RunResults("made/up", by_seed)


def test_of_one_training_over_images() -> None:
    wilson = stats.binomtest(280, 400).proportion_ci(0.9, "wilson")
    assert value_interval(run("top1", 70.0), "top1", 0.9) == pytest.approx((100 * wilson.low, 100 * wilson.high))
    assert value_interval(run("ap", 70.0), "ap", 0.9) is None
    assert value_interval(run("top1", None), "top1", 0.9) is None


@pytest.mark.parametrize("metric", ["top1", "ap"])
def test_of_several_trainings_over_seeds(metric: str) -> None:
    values = [70.0, 72.5, 71.5]
    expected = stats.t.interval(0.9, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert value_interval(run(metric, *values), metric, 0.9) == pytest.approx(expected)
    assert value_interval(run(metric, *values[:2]), metric, 0.9) is None
    assert value_interval(run(metric, *values[:2], None), metric, 0.9) is None
    assert value_interval(run(metric), metric, 0.9) is None
