"""The benchmarks of the pipeline: what a replication's records tell, and evaluations that are the same work."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import commands, evaluation, pipeline, records
from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate

ROOT = Path(__file__).parents[2]


def _log(name, seconds="0:01:40.000000", cores=2, date="2026-03-01 12:00:00"):
    Path(".snakemake/log").mkdir(parents=True, exist_ok=True)
    text = (
        f"SNAKEMAKE\n=========\n  Date: {date}\n  Host: vm\n\nProvided cores: {cores}\nsteps\nElapsed time: {seconds}\n"
    )
    Path(".snakemake/log", f"{name}.log").write_text(text)


def _timing(run, train, evaluation, finished="2026-03-01 12:01:00"):
    local = datetime.fromisoformat(finished).astimezone()  # logs tell local time, records UTC
    path = Path("results/demo/evaluation", run, "seed-0/timing.json")
    path.parent.mkdir(parents=True)
    at = local.astimezone(UTC).isoformat(timespec="seconds")
    steps = {"train": train, "evaluate": evaluation}
    path.write_text(json.dumps({step: {"seconds": seconds, "finished": at} for step, seconds in steps.items()}))
    return path


def test_share_of_a_replication(project):
    _timing("classification/resnet50", 40.0, 10.0)
    _timing("detection/retinanet/sge-resnet50", 80.5, 19.5)
    _log("1", cores=4, date="2026-02-28 12:00:00")
    _log("2")
    _log("3", date="2026-03-01 13:00:00")
    found = [(row.variant, row.seconds, row.ratio) for row in records.share_of_demo()]
    assert found == [("all", 200, 1), ("training and evaluating", 150, 0.75), ("neither", 50, 0.25)]


def test_threads_of_a_job_count(project):
    project("params/scales/demo.yaml", lambda scale: scale.update(threads=2))
    _timing("classification/resnet50", 40.0, 10.0)
    _log("1", seconds="1 day, 0:00:00")
    assert [row.seconds for row in records.share_of_demo()][:2] == [2 * 86400, 100]


@pytest.mark.parametrize("finished", ["2026-03-01 11:59:00", "2026-03-01 12:02:00", None])
def test_a_replication_that_no_log_covers(project, finished):
    _log("1")
    if finished:
        _timing("classification/resnet50", 40.0, 10.0)
        _timing("classification/resnet101", 40.0, 10.0, finished)
    (row,) = records.share_of_demo()
    assert row.seconds is None and row.note.startswith("not available: ")


@pytest.mark.parametrize(
    "content", ["[1]", '{"train": 3}', '{"train": {"seconds": "x", "finished": "2026"}}', '{"train": {"seconds": 1}}']
)
def test_a_damaged_record(project, content):
    path = _timing("classification/resnet50", 40.0, 10.0)
    path.write_text(content)
    with pytest.raises(InputError, match="timing.json: found no seconds or finished"):
        records.share_of_demo()


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_both_evaluations_are_the_same_work(tmp_path, iou_type):
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip((truth, found), evaluation.scenes(30, iou_type), strict=True):
        path.write_text(json.dumps(content))
    ours = list(evaluate(truth, found, iou_type).metrics.values())
    expected = [100 * value for value in evaluation.pycocotools(truth, found, iou_type)]
    assert ours == pytest.approx(expected, abs=1e-9)
    assert 10 < ours[0] < 90  # neither all nor nothing is found


def test_evaluations_take_turns():
    rows = evaluation.evaluation(30, 1)
    assert [row.variant for row in rows] == ["pycocotools", "sgenet", "sgenet coco-eval"] * 2
    assert rows[0].what == "evaluation of boxes of 30 images, 80 categories, 600 detections"
    assert rows[3].what == "evaluation of masks of 30 images, 80 categories, 600 detections"
    assert all(row.processor is not None and min(row.processor) > 0 for row in rows)


def test_a_command_that_fails(tmp_path):
    with pytest.raises(InputError, match="found exit status 3 .the reason., expected 0"):
        commands.run([sys.executable, "-c", "print('first\\nthe reason'); exit(3)"], tmp_path)


def test_elsewhere_than_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Snakefile: missing"):
        pipeline.bench()
    Path("Snakefile").touch()
    with pytest.raises(InputError, match="no git repository"):
        pipeline._copy_project(tmp_path / "copy")


def test_a_copy_of_the_project_is_set_to_smoke(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(pipeline, "TABLES", ["ablation-normalization"])
    pipeline._copy_project(tmp_path / "copy")
    assert json.loads((tmp_path / "copy/params/pipeline.yaml").read_text())["scale"] == "smoke"
    assert (tmp_path / "copy/Snakefile").read_bytes() == (ROOT / "Snakefile").read_bytes()
    assert not (tmp_path / "copy/results").exists()
    told = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path / "copy", capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "")


@pytest.mark.soak
def test_pipeline(tmp_path, monkeypatch):
    """All of it, on a replication of one table."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("bench.output.RESULTS", tmp_path)
    for name, value in {"TURNS": 1, "IMAGES": 20, "TABLES": ["ablation-normalization"]}.items():
        monkeypatch.setattr(pipeline, name, value)
    pipeline.bench()
    with open(next(tmp_path.glob("pipeline-*.csv")), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["what"] != records.WHAT]
    assert [(row["what"], row["variant"]) for row in rows][:-6] == [
        ("start-up", "python -c pass"), ("start-up", "sgenet --help"),
        ("snakemake --dry-run", "2 runs"), ("snakemake --dry-run", "6 runs"), ("snakemake --dry-run", "48 runs"),
        ("nothing to do, 2 runs", "snakemake"), ("nothing to do, 2 runs", "dvc repro"),
    ]  # fmt: skip
    assert all(float(row["median_seconds"]) > 0 for row in rows)
    assert len(os.listdir(tmp_path)) == 2
