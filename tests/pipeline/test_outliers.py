"""Planted learning curves: a diverging seed is reported, a normal spread rarely, and only by comparable histories."""

import json

import numpy as np
import pytest
from scipy import stats

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.tasks import TASKS
from sgenet.pipeline.outliers import CONFIDENCE, compare
from sgenet.pipeline.status import State, survey
from sgenet.pipeline.status_text import to_text
from sgenet.pipeline.unfinished import folders_of
from sgenet.provenance.identity import Artifacts
from sgenet.runtime import locks
from sgenet.runtime.files import read_json, write_json, write_text
from support import finished

SGE, RETINA = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"
TOP1 = {seed: [20.0, 40.0 + seed / 10, 60.0 + seed / 5] for seed in range(5)}


def load(seeds=5):
    return load_replication("smoke", seeds, ["coco-retinanet"])


@pytest.fixture
def replication(project):
    """Everything of one table is done with five seeds, whose Top-1 and losses are close to each other."""
    project("params/scales/smoke.yaml", lambda scale: [scale[task].update(epochs=3) for task in TASKS])
    replication = load()
    finished.finish_everything(replication)
    for task in TASKS:
        path = paths.manifest("smoke", task)
        splits = dict.fromkeys(("train", "val"), {"images": 1000})
        write_json(path, read_json(path) | {"splits": splits})
    for run in replication.runs:
        for seed in range(5):
            write_history(paths.training("smoke", run, seed), TOP1[seed])
    return replication


def write_history(folder, top1):
    rows = [f"{epoch},{5 - value / 20},{value}\n" for epoch, value in enumerate(top1, 1)]
    write_text(folder / paths.HISTORY, "epoch,loss,top1\n" + "".join(rows))


def outliers():
    return [(one.run, one.seed) for one in survey(load()).outliers]


@pytest.mark.parametrize("others", [[50.0, 51.0, 53.0], [70.0, 70.2, 70.1, 69.9, 70.4]])
def test_the_band_is_a_prediction_interval_at_the_same_epoch(others):
    n, deviation = len(others), np.std(others, ddof=1)
    low, high = stats.t.interval(CONFIDENCE, n - 1, np.mean(others), deviation * np.sqrt(1 + 1 / n))
    curves = {seed: [1.0, value] for seed, value in enumerate(others, 1)} | {8: [1.0], 9: []}
    for value, outside in ((low - 0.01, True), (low + 0.01, False), (high - 0.01, False), (high + 0.01, True)):
        found = [one for one in compare({0: [1.0, value], **curves}, images=10_000) if one.seed == 0]
        assert len(found) == outside
        if found:
            (one,) = found
            assert (one.epoch, one.value, one.others) == (2, value, n)
            assert (one.low, one.high) == pytest.approx((max(0, low), min(100, high)))


def test_two_other_seeds_are_too_few():
    assert not list(compare({0: [0.0], 1: [70.0], 2: [70.1]}, images=1000))
    assert not list(compare({0: [1.0, 0.0], 1: [1.0, 70.0], 2: [1.0, 70.1], 3: [1.0]}, images=1000))


@pytest.mark.parametrize("images", [12, 1000, 50_000, None])
def test_curves_that_are_alike_are_inside(images):
    own = 2.3001 if images is None else 100 * round(0.7 * images) / images
    step = 0.0005 if images is None else 100 / images
    assert not list(compare(dict.fromkeys(range(6), [own]), images))
    assert not list(compare({0: [own + step], **dict.fromkeys(range(1, 6), [own])}, images))


@pytest.mark.parametrize("seeds", [4, 5, 8])
def test_a_normal_spread_is_outside_no_more_often_than_stated(seeds):
    """Over 1,000 sets, with the number of seeds outside within what chance allows (mean + 4 standard deviations)."""
    values = np.random.default_rng(seeds).normal(70, 0.2, size=(1000, seeds))
    found = sum(len(list(compare({seed: [value] for seed, value in enumerate(row)}, 50_000))) for row in values)
    expected = 1000 * seeds * (1 - CONFIDENCE)
    assert found <= expected + 4 * np.sqrt(expected)


@pytest.mark.parametrize(("seeds", "lost"), [(4, 40.0), (5, 15.0), (8, 7.0)])
def test_a_seed_that_diverges_is_found(seeds, lost):
    """`lost` is in standard deviations of the other seeds: few of them give a wide band."""
    values = np.random.default_rng(seeds).normal(70, 0.2, size=(200, seeds))
    values[:, 0] -= 2 * lost * 0.2
    found = [[one.seed for one in compare({seed: [value] for seed, value in enumerate(row)}, 50_000)] for row in values]
    assert np.mean([seeds == [0] for seeds in found]) > 0.7


def test_a_seed_that_diverges_is_in_the_status(replication, capsys, monkeypatch):
    assert outliers() == []
    write_history(paths.training("smoke", SGE, 3), [20.0, 30.0, 35.0])
    (one,) = survey(load()).outliers
    assert (one.run, one.seed, one.epoch, one.value, one.others) == (SGE, 3, 3, 35.0, 4)
    assert one.low < 60.0 < one.high and one.metric == "top1"
    history = paths.training("smoke", SGE, 3) / "history.csv"
    line = f"  {SGE} seed 3, epoch 3 of 3: Top-1 35.00, {one.low:.2f} to {one.high:.2f} expected from the 4 other seeds"
    heading = "outside the band of the other seeds: 1 training\n"
    assert f"{heading}{line}; look at {history}\n" in to_text(survey(load()))
    log = paths.run_log("smoke", "train", SGE, 3)
    write_text(log, "epoch 1/2\n")
    monkeypatch.setenv("SGENET_SEEDS", "5")
    monkeypatch.setenv("SGENET_TABLES", "coco-retinanet")
    assert main(["status", "--scale", "smoke", "--json"]) == 0
    (same,) = json.loads(capsys.readouterr().out)["outliers"]
    assert same["read"] == str(log) and same["low"] == one.low and same["confidence"] == CONFIDENCE
    assert survey(load(seeds=3)).outliers == []


def test_a_detector_is_judged_by_its_training_loss(replication):
    write_history(paths.training("smoke", RETINA, 1), [20.0, 40.0, 30.0])
    (one,) = survey(load()).outliers
    assert (one.run, one.seed, one.metric, one.value) == (RETINA, 1, "loss", 3.5)
    assert "epoch 3 of 3: training loss 3.5, " in to_text(survey(load()))


def test_a_training_that_runs_is_compared_at_its_epoch(replication):
    for path in paths.training("smoke", SGE, 2).iterdir():
        path.unlink()
    artifacts = Artifacts(load())
    training = artifacts.training(replication.run(SGE), 2)
    folder = max(folders_of(artifacts, training))
    with locks.lock(paths.resume_lock(folder), "it"):
        write_history(folder, [20.0, 40.2])
        assert outliers() == []
        write_history(folder, [20.0, 11.0])
        status = survey(load())
        assert status.runs[SGE][2].state is State.RUNNING
        (one,) = status.outliers
        assert (one.seed, one.epoch, one.read) == (2, 2, str(folder / "history.csv"))
    write_history(folder.with_name("seed-2-0123456789abcdef"), [20.0, 11.0])
    (folder / "history.csv").unlink()
    assert outliers() == []  # that of other parameters is not compared


def test_stale_histories_and_trainings_that_did_not_learn_are_not_compared(replication, project):
    write_history(paths.training("smoke", SGE, 0), [20.0, 5.0, 1.0])  # its loss rises
    status = survey(load())
    assert status.outliers == [] and "the training loss of the last epoch" in status.runs[SGE][0].unlearned
    write_history(paths.training("smoke", SGE, 0), [20.0, 30.0, 35.0])
    assert outliers() == [(SGE, 0)]
    project("params/scales/smoke.yaml", lambda scale: scale["classification"]["optimizer"].update(lr=0.5))
    assert outliers() == []


@pytest.mark.parametrize(
    "content", ["", "epoch,loss,top1\n1,nan,nan\n", "epoch,loss\n1,1\n", "epoch,loss,top1\n1,1,x\n"]
)
def test_a_history_that_cannot_be_read_is_not_compared(replication, content):
    write_text(paths.training("smoke", SGE, 0) / "history.csv", content)
    assert outliers() == []
