"""The whole replication at scale `smoke`, as a user runs it: every row of every table is trained and evaluated."""

import json
import re
import shutil
import signal

import numpy as np
import pytest

from support import stub
from support.checkout import ELSEWHERE, content, files_of
from support.kills import (
    EPOCHS,
    TRAINING,
    junk,
    kill,
    set_epochs,
    start_endless,
    stop,
    watched,
)

RUNS = {"classification": 21, "detection": 21}
PLAIN = ("classification/resnet50", "detection/retinanet/resnet50")  # the runs of the one row that is killed


def test_snakemake_makes_everything(replication):
    replication.check_complete(RUNS)
    assert list((replication.folder / "wandb").glob("offline-run-*"))
    assert not list(junk(replication.folder))


def test_dvc_has_nothing_to_do_then_retrains_what_a_parameter_changes(replication, new_real_checkout):
    checkout = new_real_checkout(replication)
    checkout.nothing_to_do()
    before = {path: content(checkout.folder / path) for path in files_of(checkout.folder) if path.parts[0] == "results"}
    path = "params/tables/ablation-normalization.yaml"
    checkout.edit(path, lambda table: table["rows"][1]["settings"].update(optimizer={"lr": 0.004}))
    output = checkout("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["classify", "detect", "evaluate", "report"]
    changed = {path.parts[2:-2] for path, old in before.items() if content(checkout.folder / path) != old}
    run = ("classification", "sge-resnet50-no-norm")
    assert changed == {run, ("evaluation", *run)}
    assert "Nothing to be done" in checkout("snakemake", "--dry-run")


@pytest.fixture
def one(new_real_checkout, tmp_path):
    """A checkout for one row, whose processes can be killed, without results."""
    checkout = new_real_checkout()
    checkout.choose_one_detector()
    with watched(checkout, tmp_path, "params/tables/one.yaml") as copy:
        yield copy


RESULTS = {"best.safetensors", "last.safetensors", "history.csv", "metrics.json", "predictions.npz"}


def check_results(checkout, replication):
    """The two runs of the row gave what they gave in the whole replication."""
    compared = [p for p in files_of(checkout.folder) if p.parts[0] == "results" and p.name in RESULTS]
    assert len(compared) == (3 + 2) + (2 + 1)  # of a classifier, which has predictions, and of a detector
    for path in compared:
        assert content(checkout.folder / path) == content(replication.folder / path), path


def check_continued(checkout, replication, *options):
    """The same command completes the replication as if nothing had happened."""
    output = checkout("snakemake", *options)
    assert "unlock" not in output.lower()
    assert "Traceback" not in output
    check_results(checkout, replication)
    assert not list(junk(checkout.folder))
    checkout.nothing_to_do()


def test_a_training_killed_in_its_second_epoch_and_a_killed_report_are_continued(one, replication):
    kill(one, "snakemake", at=r"before replace .*classification_resnet50/.*/epoch-0002")
    kill(one, "snakemake", at=r"before replace .*reports/smoke/index.html")
    assert "continues after epoch 1" in (one.folder / TRAINING).read_text()
    check_continued(one, replication)


FIRST = "results/smoke/evaluation/classification/resnet50/seed-0/metrics.json"  # before any scene is drawn


@pytest.mark.slow
def test_a_training_ends_with_its_workflow_and_neither_cores_nor_order_nor_environment_change_a_byte(one, replication):
    one.environment |= ELSEWHERE
    snakemake, dvc = ("snakemake",), ("dvc", "repro")
    for command, number in ((snakemake, signal.SIGINT), (dvc, signal.SIGTERM), (snakemake, signal.SIGKILL)):
        process = start_endless(one, *command)
        stop(one, process, number)
    for made in (".resume", "data/smoke"):  # of other settings than those of the replication, and in another order
        shutil.rmtree(one.folder / made)
    set_epochs(one, EPOCHS)
    one("env", "SGENET_WARM=", "snakemake", "--cores", "1", FIRST)  # each step by itself, no fork
    check_continued(one, replication, "--cores", "1")
    for name in ("data/smoke/classification.json", "data/smoke/detection.json"):
        assert (one.folder / name).read_bytes() == (replication.folder / name).read_bytes()


@pytest.mark.soak
def test_two_whole_replications_are_the_same(replication, new_real_checkout):
    other = new_real_checkout()
    other.environment |= ELSEWHERE
    for table in ("ablation-init", "ablation-groups", "coco-retinanet", "coco-two-stage", "imagenet"):  # from the end
        other("snakemake", "--cores", "1", "--config", f"tables={table}")
    other("dvc", "repro")
    other.same_results(replication.folder, other.folder)


def keys(value, at=""):
    """The places of a document; what is known of a machine depends on whether torch was imported."""
    if isinstance(value, dict) and not at.endswith(".machine"):
        return {place for key, member in value.items() for place in keys(member, f"{at}.{key}")}
    return {at}


def history_columns(folder):
    return (folder / "history.csv").read_text().splitlines()[0]


def array_names(path):
    with np.load(path) as arrays:
        return {name: arrays[name].ndim for name in arrays}


@pytest.mark.parametrize("run", PLAIN)
def test_the_stub_writes_what_the_steps_write(replication, undisturbed, run):
    """Tests of the workflow rest on it."""
    for folder in (f"results/smoke/{run}/seed-0", f"results/smoke/evaluation/{run}/seed-0"):
        real, made_up = replication.folder / folder, undisturbed.folder / folder
        assert sorted(path.name for path in real.iterdir()) == sorted(path.name for path in made_up.iterdir())
        for path in real.glob("*.npz"):
            assert array_names(path) == array_names(made_up / path.name), path
        for path in real.glob("*.json"):
            documents = [json.loads((place / path.name).read_text()) for place in (real, made_up)]
            if path.name == "detections.json":
                documents = [found[0] for found in documents]
            if path.name != ".made.json":
                assert keys(documents[0]) == keys(documents[1]), path
    if run == PLAIN[0]:
        folder = f"results/smoke/{run}/seed-0"
        assert history_columns(replication.folder / folder) == history_columns(undisturbed.folder / folder)
    training = json.loads((undisturbed.folder / f"results/smoke/{run}/seed-0/training.json").read_text())
    assert training["device"] == stub.DEVICE


def test_the_stub_counts_and_times_what_the_steps_count_and_time(replication, new_checkout):
    checkout = new_checkout()
    train = ("train", "classification/sge-resnet50")
    for command in (("prepare", "classification"), train, ("activations",), ("complexity",), ("latency",)):
        checkout("sgenet", *command)
    for name in ("complexity.json", "evaluation/activations.json", "evaluation/latency.json"):
        real, made_up = (json.loads((of.folder / "results/smoke" / name).read_text()) for of in (replication, checkout))
        assert keys(real) == keys(made_up), name
