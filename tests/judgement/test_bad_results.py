"""Results that are missing or cannot be used: one sentence each, and the rest is judged."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.report import build
from support import results as make
from support.results import BASE, RETINA, SGE, cell, judged

BASELINE, ONE = ("not judged", "a baseline"), ("not judged", "one training of each row")


def test_baseline_was_not_run(replication: Replication) -> None:
    make.metrics_path(BASE).unlink()
    assert build(replication) == []
    assert cell(0, 0, "top1")["verdict"] == "not run"
    assert judged(0, 1, "top1") == ("not judged", "no value of its baseline")
    assert cell(0, 1, "top1")["reproduced"]["value"] == 70


def test_metrics_of_another_run(replication: Replication) -> None:
    path = make.metrics_path(SGE)
    path.write_text(path.read_text().replace(f'"{SGE}"', '"another"', 1))
    assert build(replication) == [f"{path}: run: found 'another', expected '{SGE}'"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not JSON"),
        ('{"run": "classification/sge-res', "is not JSON"),
        ("[]", "found [], expected a mapping"),
        ('{"run": "another"}', "scale: missing"),
    ],
)
def test_unreadable_metrics(replication: Replication, content: str, sentence: str) -> None:
    make.metrics_path(SGE).write_text(content)
    (problem,) = build(replication)
    assert problem.startswith(str(make.metrics_path(SGE))) and sentence in problem
    assert cell(0, 1, "top1") | {"published": None} == {
        "published": None,
        "reproduced": None,
        "released": None,
        "verdict": "failed",
        "reason": "",
        "origin": None,
    }
    assert judged(0, 0, "top1") == BASELINE
    assert '<h2 id="problems">' in Path("reports/demo/index.html").read_text()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 101.0, "70", True])
def test_impossible_metric(replication: Replication, bad: Any) -> None:
    make.edit_metrics(SGE, top1=bad)
    (problem,) = build(replication)
    expected = (
        "a number from 0 to 100" if bad in (-1, 101) else "a number" if bad in ("70", True) else "a finite number"
    )
    assert problem.endswith(f"metrics.top1: found {bad!r}, expected {expected}")
    assert cell(0, 1, "top1")["verdict"] == "failed"


def test_missing_metric(replication: Replication) -> None:
    value = json.loads(make.metrics_path(SGE).read_text())
    del value["metrics"]["top5"]
    make.write(make.metrics_path(SGE), value)
    assert build(replication) == [f"{make.metrics_path(SGE)}: metrics.top5: missing, expected a number or null"]
    assert cell(0, 1, "top5")["verdict"] == "failed"


def test_metric_without_meaning(replication: Replication) -> None:
    make.edit_metrics(RETINA, ap_small=None)
    assert build(replication) == []
    assert judged(1, 1, "ap_small") == ("not judged", "not defined on these images")
    assert judged(1, 1, "ap") == ONE


@pytest.mark.parametrize(("run", "file"), [(SGE, "predictions.npz"), (RETINA, "matches.npz")])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_unusable_pairs(replication: Replication, run: str, file: str, damage: str) -> None:
    path = paths.evaluation("demo", run, 0) / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    (problem,) = build(replication)
    assert problem.startswith(str(path))
    table, column = (0, "top1") if run == SGE else (1, "ap")
    assert (cell(table, 1, column)["verdict"], cell(table, 1, column)["reproduced"]) == ("failed", None)
    assert judged(table, 0, column) == BASELINE


def test_predictions_of_other_numbers(replication: Replication) -> None:
    make.edit_metrics(SGE, top1=71.0)
    (problem,) = build(replication)
    assert "top1 is 70.000, expected 71.0 as in metrics.json" in problem
    make.edit_metrics(SGE, top1=70.0)
    make.edit_metrics(RETINA, ap=50.0)
    (problem,) = build(replication)
    assert "expected 50.0 as in metrics.json" in problem


def test_bad_counts(replication: Replication) -> None:
    make.write(paths.complexity("demo"), "{")
    (problem,) = build(replication)
    assert problem.startswith("results/demo/complexity.json")
    assert cell(0, 0, "params")["verdict"] == "failed"
    assert judged(0, 1, "top1") == ONE


@pytest.mark.parametrize(
    ("key", "bad", "sentence"),
    [
        ("params", 0, "found 0, expected at least 1 (trainable parameters)"),
        ("input", None, "found None, expected a list (height and width of the input in pixels)"),
        ("part", None, "found None, expected text (network, or backbone)"),
    ],
)
def test_incomplete_counts(replication: Replication, key: str, bad: Any, sentence: str) -> None:
    path = paths.complexity("demo")
    value = json.loads(path.read_text())
    value["models"][SGE][key] = bad
    make.write(path, value)
    assert build(replication) == [f"{path}: models.{SGE}.{key}: {sentence}"]


def test_a_history_with_a_formula_for_a_column(replication: Replication) -> None:
    make.write(paths.training("demo", SGE, 0) / "history.csv", "epoch,loss,=1+1\n1,2,3\n")
    (problem,) = build(replication)
    assert "history.csv: found the column '=1+1', expected names such as loss_rpn_cls" in problem


def test_bad_history_and_manifest(replication: Replication) -> None:
    make.write(paths.training("demo", SGE, 0) / "history.csv", "epoch,loss\n1,nan\n")
    make.write(paths.manifest("demo", "detection"), "[1]")
    history, manifest = build(replication)
    assert "epoch 1, loss: found 'nan', expected a finite number" in history
    found = "the whole file: found [1], expected a mapping"
    assert manifest == f"data/demo/detection.json: {found}; run `sgenet prepare detection --scale demo` again"
    assert judged(0, 1, "top1") == ONE
