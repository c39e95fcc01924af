"""A training that did not learn: its number stays, marked, and nothing is judged by it."""

import csv
import re
from pathlib import Path

import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.report import build
from support import results as make
from support.results import BASE, SGE, cell, comparison, judged

DID_NOT = ("not judged", "did not learn")
RISING = "epoch,loss,lr,top1,top5\n1,2.0,0.1,70,80\n2,2.5,0.1,70,80\n"
WHY = "the training loss of the last epoch, 2.5, is above that of the first, 2"


def _unlearn(run: str, seed: int = 0) -> None:
    make.write(paths.training("demo", run, seed) / "history.csv", RISING)


def _line(row: str, column: str) -> dict[str, str]:
    with open("reports/demo/tables/one.csv", newline="", encoding="utf-8") as file:
        return next(line for line in csv.DictReader(file) if (line["row"], line["column"]) == (row, column))


def test_the_number_is_marked_and_not_judged(replication: Replication) -> None:
    _unlearn(SGE)
    make.edit_metrics(make.RETINA, ap_small=None)
    _unlearn(make.RETINA)
    assert build(replication) == []  # it is a result, no problem
    assert judged(1, 1, "ap_small") == ("not judged", "not defined on these images")
    top1 = cell(0, 1, "top1")
    assert judged(0, 1, "top1") == DID_NOT and top1["reproduced"]["did_not_learn"] is True
    assert top1["reproduced"]["value"] == 70 and top1["reproduced"]["gain"]["value"] == 10
    assert judged(0, 1, "top5") == DID_NOT
    assert judged(0, 0, "top1") == ("not judged", "a baseline") and cell(0, 1, "gflops")["verdict"] == "differs"
    page = Path("reports/demo/index.html").read_text()
    assert '<small class="wrap">did not learn</small>' in page and f"Did not learn: seed 0: {WHY}." in page
    assert "No gain of SGE was measured yet at scale demo." in page
    assert _line("SGE-ResNet50", "top1")["reason"] == "did not learn"
    markdown, latex = (Path("reports/demo/tables", f"one.{kind}").read_text() for kind in ("md", "tex"))
    assert "did not learn last 69.0" in markdown
    letter = re.search(r"\b(\w): did not learn\.", latex)
    assert "baseline did not learn" not in latex
    assert letter and rf"70.0\textsuperscript{{{letter[1]}}}" in latex


def test_a_comparison_with_a_baseline_that_did_not_learn_is_withheld(replication: Replication) -> None:
    _unlearn(BASE)
    build(replication)
    assert [judged(0, row, "top1") for row in (0, 1)] == [DID_NOT, ("not judged", "baseline did not learn")]
    assert "+10.0" not in Path("reports/demo/index.html").read_text().partition("<main")[0]  # of the first screen
    latex = Path("reports/demo/tables/one.tex").read_text()
    letter = re.search(r"\b(\w): baseline did not learn\.", latex)
    assert letter and rf"+10.0\textsuperscript{{{letter[1]}}}" in latex
    assert "did_not_learn" not in cell(0, 1, "top1")["reproduced"]
    assert f"Did not learn: seed 0: {WHY}." in Path("reports/demo/index.html").read_text()


@pytest.mark.parametrize("run", [SGE, BASE])
def test_its_claims_are_not_judged_and_it_is_no_main_gain(repository: Path, run: str) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    build(replication)
    claim = comparison()["claims"][0]
    assert claim["verdict"] == "same direction"
    first = re.compile(r"At this scale SGE helps: (.*?) [+].")
    assert first.search(Path("reports/demo/index.html").read_text())[1] == "SGE-ResNet50"
    _unlearn(run, 1)
    build(replication)
    claim = comparison()["claims"][0]
    label = {SGE: "SGE-ResNet50", BASE: "ResNet50"}[run]
    assert [condition["verdict"] for condition in claim["conditions"]] == ["not judged", "same direction"]
    assert claim["verdict"] == "undecided" and claim["conditions"][0]["reason"] == f"did not learn: {label}"
    assert first.search(Path("reports/demo/index.html").read_text())[1] == "RetinaNet SGE"


def test_one_of_several_seeds_is_enough(repository: Path) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    _unlearn(SGE, 1)
    assert build(replication) == []
    assert judged(0, 1, "top1") == DID_NOT and cell(0, 1, "top1")["reproduced"]["n"] == 3
    assert not _line("SGE-ResNet50", "top1")["adjusted_p"]
    assert f"Did not learn: seed 1: {WHY}." in Path("reports/demo/index.html").read_text()


def test_ap_of_zero(replication: Replication) -> None:
    make.make_run("demo", make.RETINA, 0, make.IMAGES, skill=0.0)
    build(replication)
    found = cell(1, 1, "ap")
    assert found["reproduced"]["value"] == 0 and judged(1, 1, "ap") == DID_NOT
