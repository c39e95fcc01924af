"""A training that did not learn: its number stays, marked, and nothing is judged by it."""

import csv
import re
from pathlib import Path

import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.report import build
from support import results as make
from support.results import BASE, SGE, cell, comparison

RISING = "epoch,loss,lr,top1,top5\n1,2.0,0.1,70,80\n2,2.5,0.1,70,80\n"
WHY = "the training loss of the last epoch, 2.5, is above that of the first, 2"


def _unlearn(run: str, seed: int = 0) -> None:
    make.write(paths.training("demo", run, seed) / "history.csv", RISING)


def _line(row: str, column: str) -> dict[str, str]:
    with open("reports/demo/tables/one.csv", newline="", encoding="utf-8") as file:
        return next(line for line in csv.DictReader(file) if (line["row"], line["column"]) == (row, column))


def test_the_number_is_marked_and_not_judged(replication: Replication) -> None:
    _unlearn(SGE)
    assert build(replication) == []  # it is a result, no problem
    top1 = cell(0, 1, "top1")
    assert top1["verdict"] == "did not learn" and top1["reproduced"]["did_not_learn"] is True
    assert top1["reproduced"]["value"] == 70 and top1["reproduced"]["gain"]["value"] == 10
    assert cell(0, 1, "top5")["verdict"] == "did not learn"
    assert cell(0, 0, "top1")["verdict"] == "baseline" and cell(0, 1, "gflops")["verdict"] == "differs"
    page = Path("reports/demo/index.html").read_text()
    assert '<small class="wrap">did not learn</small>' in page and f"Did not learn: seed 0: {WHY}." in page
    assert "; not judged, because a training did not learn: 1; " in page
    assert (
        _line("SGE-ResNet50", "top1")["verdict"] == "did not learn" and not _line("SGE-ResNet50", "top1")["adjusted_p"]
    )
    markdown, latex = (Path("reports/demo/tables", f"one.{kind}").read_text() for kind in ("md", "tex"))
    assert "did not learn last 69.00" in markdown
    letter = re.search(r"\b(\w): did not learn\.", latex)
    assert letter and rf"70.00\textsuperscript{{{letter[1]}}}" in latex


def test_a_comparison_with_a_baseline_that_did_not_learn_is_withheld(replication: Replication) -> None:
    _unlearn(BASE)
    build(replication)
    assert [cell(0, row, "top1")["verdict"] for row in (0, 1)] == ["did not learn", "baseline did not learn"]
    assert "did_not_learn" not in cell(0, 1, "top1")["reproduced"]
    assert f"Did not learn: seed 0: {WHY}." in Path("reports/demo/index.html").read_text()


@pytest.mark.parametrize("run", [SGE, BASE])
def test_claims_are_undecided(replication: Replication, run: str) -> None:
    build(replication)
    assert comparison()["claims"][0]["verdict"] == "holds in this training"
    _unlearn(run)
    build(replication)
    claim = comparison()["claims"][0]
    assert claim["verdict"] == "undecided" and claim["conditions"][0]["verdict"] == "undecided"
    assert claim["conditions"][1]["verdict"] == "holds in this training"
    label = {SGE: "SGE-ResNet50", BASE: "ResNet50"}[run]
    assert f"did not learn: {label}</small>" in Path("reports/demo/index.html").read_text()


def test_one_of_several_seeds_is_enough(repository: Path) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    _unlearn(SGE, 1)
    assert build(replication) == []
    assert cell(0, 1, "top1")["verdict"] == "did not learn" and cell(0, 1, "top1")["reproduced"]["n"] == 3
    assert f"Did not learn: seed 1: {WHY}." in Path("reports/demo/index.html").read_text()


def test_ap_of_zero(replication: Replication) -> None:
    make.make_run("demo", make.RETINA, 0, make.IMAGES, skill=0.0)
    build(replication)
    found = cell(1, 1, "ap")
    assert found["reproduced"]["value"] == 0 and found["verdict"] == "did not learn"
