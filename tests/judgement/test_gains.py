"""The interval of a run's value, over images with one training and over trainings from three; and what is pooled."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.trainings import Gain
from sgenet.judgement.gains import Gains
from sgenet.judgement.results import Found, Result, RunResults, read_found
from support import results as make


def run(metric: str, *values: float | None) -> RunResults:
    by_seed = {seed: Result(seed, {metric: value, "images": 400}, {}, Path()) for seed, value in enumerate(values)}
    return RunResults("made/up", by_seed)


@pytest.fixture
def gains(replication: Replication) -> Gains:
    return Gains(replication, Found({}))


def test_of_one_training_over_images(gains: Gains) -> None:
    wilson = stats.binomtest(280, 400).proportion_ci(0.95, "wilson")
    assert gains.value_interval(run("top1", 70.0), "top1") == pytest.approx((100 * wilson.low, 100 * wilson.high))
    assert gains.value_interval(run("ap", 70.0), "ap") is None
    assert gains.value_interval(run("top1", None), "top1") is None


@pytest.mark.parametrize("metric", ["top1", "ap"])
def test_of_several_trainings_over_seeds(gains: Gains, metric: str) -> None:
    values = [70.0, 72.5, 71.5]
    expected = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert gains.value_interval(run(metric, *values), metric) == pytest.approx(expected)
    assert gains.value_interval(run(metric, *values[:2]), metric) is None
    assert gains.value_interval(run(metric, *values[:2], None), metric) is None
    assert gains.value_interval(run(metric), metric) is None


def test_the_variance_is_pooled_over_the_rows_of_a_family(repository: Path) -> None:
    """Two depths in blocks of their own; what did not learn is left out; detectors are another family."""
    models = ("resnet50", "sge-resnet50", "se-resnet50", "resnet101", "sge-resnet101")
    rows = [
        {"label": model, "run": model} | ({"baseline": "resnet50"} if model == "sge-resnet50" else {})
        for model in models
    ]
    make.write_table("one", make.CLASSIFICATION | {"rows": rows})
    make.write_claims([])
    replication = load_replication(seeds=3)
    make.make_results(replication)
    values = dict(zip(models, np.random.default_rng(0).integers(260, 340, (5, 3)) / 4, strict=True))
    for model, of_seeds in values.items():
        for seed, value in enumerate(of_seeds):
            make.make_run("demo", f"classification/{model}", seed, make.IMAGES, value / 100)

    def gain() -> Gain:
        found = read_found(replication)
        return Gains(replication, found).over(found.runs[make.BASE], found.runs[make.SGE], "top1")

    def residuals(*models: str) -> float:
        """Sum of squares about row and seed of a complete block."""
        block = np.array([values[model] for model in models])
        left = block - block.mean(1, keepdims=True) - block.mean(0) + block.mean()
        return float((left**2).sum())

    squares = residuals(*models[:3]) + residuals(*models[3:])
    assert (gain().variance, gain().df) == (pytest.approx(squares / 6), pytest.approx(6))
    rising = "epoch,loss,lr,top1,top5\n1,2.0,0.1,70,80\n2,2.5,0.1,70,80\n"
    make.write(paths.training("demo", "classification/se-resnet50", 1) / "history.csv", rising)
    squares = residuals(*models[:2]) + residuals(*models[3:])
    assert (gain().variance, gain().df) == (pytest.approx(squares / 4), pytest.approx(4))
