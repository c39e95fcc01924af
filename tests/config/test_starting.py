"""Where trainings start from, and learning rates in proportion to the batch: what decides, and what is refused."""

from pathlib import Path

import pytest

from sgenet.config.replication import load_replication
from sgenet.config.tries import change
from sgenet.errors import InputError

SGE, DETECTOR = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"


def start(run_id, *options, scale="paper"):
    return change(load_replication(scale).run(run_id), options)


@pytest.mark.parametrize(("run_id", "default"), [(SGE, "scratch"), (DETECTOR, "classifier")])
def test_the_default_written_out_is_the_same_training(project, run_id, default):
    run = start(run_id)
    named = start(run_id, f"starts_from={default}")
    assert named.identity == run.identity and named.starts_from == run.starts_from
    assert "starts_from" not in run.settings.plain()


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("released", "data/released/sge-resnet50.safetensors"),
        ("torchvision", "data/released/torchvision/resnet50.pth"),
        ("w/a.pth", "w/a.pth"),
        ("${WEIGHTS}/a.pt", "/w/a.pt"),
        ("~/a.pth.tar", "/home/me/a.pth.tar"),
    ],
)
@pytest.mark.parametrize("run_id", [SGE, DETECTOR])
def test_a_file_of_weights_is_named_by_a_word_or_a_path(project, monkeypatch, run_id, option, file):
    monkeypatch.setenv("WEIGHTS", "/w")
    monkeypatch.setenv("HOME", "/home/me")
    run = start(run_id, f"starts_from={option}")
    assert run.weights == Path(file) and run.starts_from is None
    assert run.missing_weights.startswith(f"{file}: missing (starts_from: {option}), expected ")
    assert run.identity["starts_from"] == "file"  # wherever it is


def test_torchvisions_file_may_keep_its_name(project):
    run, folder = start(SGE, "starts_from=torchvision"), Path("data/released/torchvision")
    folder.mkdir(parents=True)
    (folder / "resnet50-11ad3fa6.pth").touch()
    assert run.weights == folder / "resnet50-11ad3fa6.pth" and run.missing_weights is None
    (folder / "resnet50-0676ba61.pth").touch()
    assert run.missing_weights == (
        f"{folder}: found resnet50-0676ba61.pth, resnet50-11ad3fa6.pth (starts_from: torchvision), expected one "
        "file of resnet50"
    )
    (folder / "resnet50.pth").touch()
    assert run.weights == folder / "resnet50.pth" and run.missing_weights is None
    assert start(SGE, f"starts_from={folder}").missing_weights.startswith(f"{folder}: not a file (")


def test_a_detector_with_another_start_needs_no_classifier(project):
    project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(starts_from="scratch"))
    replication = load_replication("smoke", tables=["coco-retinanet"])
    assert {run.task for run in replication.runs.values()} == {"detection"}
    assert {run.identity["starts_from"] for run in replication.runs.values()} == {None}


def test_a_row_may_start_elsewhere(project):
    def begin(table):
        table["rows"][0]["settings"] = {"starts_from": "a.pth"}

    project("params/tables/coco-retinanet.yaml", begin)
    runs = load_replication("smoke", tables=["coco-retinanet"]).runs
    assert runs["detection/retinanet/resnet50"].weights == Path("a.pth")
    assert runs[DETECTOR].starts_from == SGE and "classification/resnet50" not in runs


@pytest.mark.parametrize(
    ("run_id", "options", "sentence"),
    [
        (SGE, ["starts_from=torchvison"], "--set starts_from: found 'torchvison', expected scratch, "),
        (SGE, ["starts_from=classifier"], "--set starts_from: found 'classifier', which only a detector starts from"),
        (SGE, ["starts_from=torchvision"], "--set starts_from: found torchvision at width 8, expected width 64"),
        (DETECTOR, ["starts_from=released"], "--set starts_from: found released at width 8, expected width 64"),
        (SGE, ["optimizer.lr={per: 0, value: 1}"], "--set optimizer.lr.per: found 0, expected at least 1"),
        (SGE, ["optimizer.lr={per: 256}"], "--set optimizer.lr.value: missing"),
        (SGE, ["optimizer.lr={per: 256, value: 0}"], "--set optimizer.lr.value: found 0, expected more than 0"),
    ],
)
def test_what_is_refused(project, run_id, options, sentence):
    with pytest.raises(InputError) as error:
        start(run_id, *options, scale="smoke")
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(("batch", "rate"), [(256, 0.1), (1024, 0.4), (32, 0.0125)])
def test_a_learning_rate_scales_with_the_batch(project, batch, rate):
    sizes = [f"batch_size={batch}", "device_batch_size=32"]
    run = start(SGE, "optimizer.lr={per: 256, value: 0.1}", *sizes)
    assert run.settings.learning_rate == rate
    assert run.identity == start(SGE, f"optimizer.lr={rate}", *sizes).identity
