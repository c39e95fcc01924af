"""`sgenet status`: states with their reasons, running trainings, time left by closed forms, what earlier code made."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime

import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.pipeline.status import State, survey
from sgenet.pipeline.status_text import to_text
from sgenet.pipeline.unfinished import folders_of
from sgenet.provenance.identity import Artifacts
from sgenet.runtime import locks
from sgenet.runtime.files import read_json, write_json, write_text
from support import finished

TABLE = "coco-retinanet"
SGE, RETINA = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"


def load(code=None):
    return load_replication("smoke", 3, [TABLE], code)


@pytest.fixture
def replication(project):
    """Everything of one table is done, with three seeds."""
    replication = load()
    finished.finish_everything(replication)
    return replication


def remove_run(run, seed, *, trained=False):
    """Remove the results of a run, or of its evaluation alone."""
    for folder in (paths.evaluation, *(() if trained else (paths.training,))):
        for path in folder("smoke", run, seed).iterdir():
            path.unlink()


def states(status):
    return Counter(item.state for seeds in status.runs.values() for item in seeds)


def row_of(status, run):
    return next(row for table in status.tables for row in table.rows if row.run == run)


def test_missing_starting_weights_are_the_reason(replication, project):
    project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(starts_from="w/a.pth"))
    items = survey(load()).runs[RETINA]
    assert {item.state for item in items} == {State.STALE}
    assert all(item.reason.endswith("; w/a.pth: missing (starts_from: w/a.pth), expected a file of weights, "
                                    ".safetensors or of torch.save") for item in items)  # fmt: skip
    remove_run(RETINA, 1)
    item = survey(load()).runs[RETINA][1]
    assert item.state is State.MISSING and item.reason.startswith("w/a.pth: missing")


def test_a_training_that_did_not_learn_is_listed(replication, capsys):
    for seed in (0, 2):
        write_text(paths.training("smoke", RETINA, seed) / "history.csv", f"epoch,loss\n1,1\n2,{seed + 2}\n")
    items = survey(load()).runs[RETINA]
    assert [item.state for item in items] == [State.DONE] * 3 and items[1].unlearned is None
    text = to_text(survey(load()))
    why = "the training loss of the last epoch, {}, is above that of the first, 1"
    assert f"did not learn: 2 of the trainings that are done\n  {RETINA} seed 0: {why.format(2)}\n" in text
    assert f"  {RETINA} seed 2: {why.format(4)}\n\ndisk " in text


def test_nothing_is_due_where_everything_is_current(replication):
    status = survey(replication)
    assert set(states(status)) == {State.DONE} and {row.done for row in status.tables[0].rows} == {3}
    assert {item.state for item in status.singles} == {State.DONE}
    assert status.due == 0 and status.time_left.steps == 0 and status.earlier_code.results == 0
    runs = 3 * len(replication.runs)
    assert status.commits == {finished.COMMIT: 2 * runs + 2}  # complexity and activations
    assert "next       all results are current" in to_text(status)


def test_a_changed_parameter_is_the_reason_of_all_rows_once(replication, project):
    def change(scale):
        scale["classification"]["optimizer"]["lr"] = 0.5

    project("params/scales/smoke.yaml", change)
    status = survey(load())
    assert set(states(status)) == {State.STALE} and row_of(status, RETINA).done == 0
    text = to_text(status)
    assert text.count("  made with other settings: optimizer.lr 0.005, now 0.5\n") == 1
    assert text.count("made from another training, which is outdated: made with other settings") == 1
    assert "snakemake --cores all --config scale=smoke seeds=3 tables=coco-retinanet" in text.splitlines()[-1]
    assert len(text.splitlines()) < 40


def test_a_row_is_as_its_worst_seed(replication):
    remove_run(RETINA, 1)
    remove_run(RETINA, 2, trained=True)
    status = survey(load())
    row = row_of(status, RETINA)
    assert (row.state, row.done) == (State.MISSING, 1)
    assert [item.reason for item in status.runs[RETINA]] == [None, None, "trained, not evaluated"]
    assert f"{RETINA} (1 of 3 seeds)" in to_text(status)
    (paths.data_folder("smoke", "detection") / "x").unlink()
    (paths.data_folder("smoke", "detection")).rmdir()
    (item,) = (item for item in survey(load()).singles if item.state is not State.DONE)
    assert (item.name, item.state, item.reason) == ("data of detection", State.STALE, "detection is missing")


def test_a_run_with_more_seeds_than_others(replication, project):
    project("params/scales/smoke.yaml", lambda scale: scale.update(seeds={SGE: 5}))
    status = survey(load())
    runs = len(replication.runs)
    assert {run: len(items) for run, items in status.runs.items()} == dict.fromkeys(replication.runs, 3) | {SGE: 5}
    assert states(status) == {State.DONE: 3 * runs, State.MISSING: 2}
    (single,) = (item for item in status.singles if item.state is not State.DONE)
    assert (single.name, single.reason) == ("activations", "made from another number of trainings: 3, now 5")
    text = to_text(status)
    head = f"scale smoke, 3 to 5 trainings a run: {3 * runs} of {3 * runs + 2} are done and evaluated\n"
    assert text.startswith(head) and f"missing\n  {SGE} (2 of 5 seeds)" in text
    assert to_text(survey(load_replication("smoke", 1, ["imagenet"]))).startswith("scale smoke, 1 to 5 trainings")


def test_a_result_that_cannot_be_read_is_stale(replication):
    (paths.evaluation("smoke", SGE, 1) / "metrics.json").write_text("{")
    item = survey(load()).runs[SGE][1]
    assert item.state is State.STALE and "metrics.json: line 1 is not JSON" in item.reason


def test_failed_steps_show_the_end_of_their_log(replication):
    remove_run(RETINA, 0)
    log = paths.run_log("smoke", "train", RETINA, 0)
    write_text(log, "epoch 1/2\nsgenet: the loss is nan\n\nsgenet: exit status 2\n")
    paths.complexity("smoke").unlink()
    write_text(paths.log("smoke", "complexity"), "no space left\nsgenet: exit status 2\n")
    status = survey(load())
    item = status.runs[RETINA][0]
    assert (item.state, item.log) == (State.FAILED, str(log))
    assert item.reason == "training ended with exit status 2: sgenet: the loss is nan"
    assert [item.name for item in status.singles if item.state is State.FAILED] == ["complexity"]
    assert row_of(status, RETINA).state is State.FAILED
    assert f"log: {log}" in to_text(status)


def test_a_training_runs_while_it_has_locked_its_checkpoints(replication):
    remove_run(SGE, 2)
    artifacts = Artifacts(load())
    folder = max(folders_of(artifacts, artifacts.training(replication.run(SGE), 2)))
    lock = locks.acquire(paths.resume_lock(folder), "it")
    os.utime(paths.resume_lock(folder), (86400, 86400))
    item, text = (status := survey(load())).runs[SGE][2], to_text(status)
    assert item.state is State.RUNNING and item.reason is None
    assert datetime.fromisoformat(item.since).timestamp() == 86400
    assert f"running\n  {SGE} seed 2 since 1970-01-0" in text
    locks.release(lock)
    assert survey(load()).runs[SGE][2].state is State.MISSING
    other = folder.with_name("seed-1-0123456789abcdef")
    with locks.lock(paths.resume_lock(other), "it"):
        status = survey(load())
        assert status.runs[SGE][1].state is State.RUNNING and "other parameters" in status.runs[SGE][1].reason
        assert status.runs[SGE][0].state is State.DONE
    locks.release(locks.acquire(paths.resume_lock(other), "it"))  # not locked by any survey


def test_time_left_is_that_of_finished_runs_of_the_model_by_epochs(replication, project):
    remove_run(RETINA, 0)
    remove_run(RETINA, 1, trained=True)
    left = survey(load()).time_left
    assert (left.seconds, left.steps, left.unknown) == (60 + 6 + 6, 3, 0) and left.sources == ["finished runs"]
    project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(epochs=5))  # one before
    runs = sum(run.task == "detection" for run in replication.runs.values())
    assert survey(load()).time_left.seconds == 3 * runs * (5 * 60 + 6)


def test_epochs_of_a_checkpoint_are_not_left(replication):
    remove_run(SGE, 0)  # of two epochs
    artifacts = Artifacts(load())
    finished.save_checkpoint(max(folders_of(artifacts, artifacts.training(replication.run(SGE), 0))), 1)
    finished.save_checkpoint(paths.RESUME / "smoke/classification_sge-resnet50/seed-0-0123456789abcdef", 2)
    assert survey(load()).time_left.seconds == 60 / 2 + 6


def test_the_plan_estimates_runs_of_models_that_were_never_trained(project):
    replication = load()
    finished.prepare(replication)
    status = survey(replication)
    assert status.time_left.unknown == status.time_left.steps == 2 * 3 * len(replication.runs)
    assert "time left  unknown: `sgenet plan --scale smoke` estimates it" in to_text(status)
    kinds = {"task": "classification", "detector": None, "model": "sge-resnet50"}
    row = {**kinds, "epochs": 4, "training_seconds": 100.0, "evaluation_seconds": 10.0}
    write_json(paths.plan("smoke"), {"work": [row]})
    left = survey(replication).time_left
    assert left.seconds == 3 * (50 + 10) and left.sources == ["sgenet plan"] and left.unknown == left.steps - 6
    write_json(paths.plan("smoke"), {"work": [{"of": "another version"}]})
    assert survey(replication).time_left.unknown == left.steps


def test_results_of_earlier_code_are_counted_not_due(replication):
    path = paths.training("smoke", SGE, 1) / "training.json"
    record = read_json(path)
    record["identity"]["sources"]["training/engine.py"] = "0"
    write_json(path, record)
    status = survey(load())
    assert set(states(status)) == {State.DONE}
    assert (status.earlier_code.results, status.earlier_code.files) == (1, ["training/engine.py"])
    assert status.earlier_code.command.endswith("code=strict") and status.earlier_code.command in to_text(status)
    strict = survey(load("strict"))
    assert strict.runs[SGE][1].state is State.STALE and "code: strict" in strict.runs[SGE][1].reason


def test_the_command_needs_no_torch_and_changes_nothing(replication, tmp_path):
    remove_run(RETINA, 0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = (
        "import sys; from sgenet.cli import main\n"
        "status = main(['status', '--scale', 'smoke', '--json'])\n"
        "assert not {'torch', 'torchvision', 'mmdet', 'pandas'} & set(sys.modules); sys.exit(status)"
    )
    environment = {"SGENET_SEEDS": "3", "SGENET_TABLES": TABLE, "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    made = json.loads(done.stdout)
    keys = ["scale", "seeds", "tables", "runs", "singles", "outliers", "earlier_code", "time_left", "disk"]
    assert list(made) == [*keys, "commits", "due", "command"] and made["due"] == 1
    assert made["runs"][RETINA][0]["state"] == "missing" and made["disk"]["results"] > 0


def test_the_screen_of_a_new_checkout(project, capsys):
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert "and " in text and text.rstrip().endswith("snakemake --cores all") and len(text.splitlines()) <= 24
