"""The first screen's short answers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.verdicts import DID_NOT_LEARN, Judgement, Verdict
from sgenet.judgement import judge
from sgenet.judgement.judged import JudgedClaim, JudgedCondition, Number
from sgenet.report import build
from sgenet.report.formats import MINUS
from sgenet.report.glance import compare_with_full, seen
from sgenet.report.overview import overview
from support import results as make

PAGE = Path("reports/demo/index.html")
GAIN = Number("gain", 1.04, 2, low=-0.7, high=2.76)
SURE = Number("gain", 1.238, 2, low=1.1, high=1.4)
ALONE = Number("gain", -3.456, 2)
SHARE, TIME = Number("#P", 0.0081, 3, unit="%"), Number("time", 7.0, 0, unit="%", timed=True)
LARGE = Number("GFLOPs", 4.2, 3, unit="%")
RATIO = Number("variance ratio", 1.105, 3, unit="", low=1.0626, high=1.148)


def condition(verdict: Verdict, *numbers: Number, reason: str = "") -> JudgedCondition:
    subject = "SGE Top-1" if numbers and numbers[0].what == "gain" else ""
    return JudgedCondition("a condition", Judgement(verdict, reason), numbers, subject=subject)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ([condition(Verdict.UNDECIDED, GAIN)], "SGE Top-1 +1.0 [-0.7, +2.8]"),
        ([condition(Verdict.REPLICATED, SURE)], "SGE Top-1 +1.24 [+1.10, +1.40]"),
        (
            [condition(Verdict.UNDECIDED, GAIN), condition(Verdict.SAME, SURE)],
            "SGE Top-1 +1.0 [-0.7, +2.8]; SGE Top-1 +1.24 [+1.10, +1.40]",
        ),
        (
            [condition(Verdict.NOT_JUDGED, ALONE, reason="one training"), condition(Verdict.UNDECIDED, GAIN)],
            "SGE Top-1 -3.5; SGE Top-1 +1.0 [-0.7, +2.8]",
        ),
        ([replace(condition(Verdict.UNDECIDED, GAIN, ALONE), least=ALONE)], "SGE Top-1 -3.5"),
        ([condition(Verdict.NOT_JUDGED, ALONE, reason="one training")], "SGE Top-1 -3.5"),
        ([condition(Verdict.NOT_JUDGED, ALONE, reason=f"{DID_NOT_LEARN}: a row")], ""),
        (
            [condition(Verdict.REPLICATED, SHARE), condition(Verdict.CONTRADICTED, LARGE, TIME)],
            "at most +4.200 %: GFLOPs",
        ),
        ([condition(Verdict.REPLICATED, RATIO)], "variance ratio 1.105 [1.063, 1.148]"),
        ([condition(Verdict.NOT_RUN)], ""),
    ],
)
def test_what_was_seen_of_a_claim(conditions: list[JudgedCondition], text: str, replication: Replication) -> None:
    claim = load_claims(replication.tables).claims[0]
    assert seen(JudgedClaim(claim, conditions[0].judgement, tuple(conditions))).replace(MINUS, "-") == text


def test_a_full_replication_stands_next_to_this_one(repository: Path) -> None:
    scale = yaml.safe_load(Path("params/scales/demo.yaml").read_text())
    scale["classification"]["epochs"] = 90
    make.write(Path("params/scales/paper.yaml"), scale)
    replication = load_replication()
    judged = judge(replication)
    found = overview(judged)
    lines = {line.name: line for line in compare_with_full(judged, found)}
    assert lines["Trainings"].here == f"0 of {len(replication.runs)} finished"
    assert lines["Trainings"].full == f"{len(replication.runs)} for each seed"
    assert lines["Epochs, classification"].full == "90" != lines["Epochs, classification"].here
    assert lines["Images, classification"].here == "not prepared"
    assert re.fullmatch(r"1.281.167 \+ 50.000", lines["Images, classification"].full)
    assert lines["Computing time"].full == "sgenet plan --scale paper estimates it on your machine"
    make.write(paths.plan("paper"), {"total": {"hours": 2.5}, "measured": {"name": "a GPU"}})
    (time,) = [line for line in compare_with_full(judged, found) if line.name == "Computing time"]
    assert time.full == "2.5 h on a GPU, by sgenet plan --scale paper"
    of_row = replace(judged, replication=load_replication(rows="ResNet50"))
    assert {line.name: line.full for line in compare_with_full(of_row, found)}["Trainings"] == "1 for each seed"
    paper = compare_with_full(replace(judged, replication=load_replication("paper")), found)
    assert {line.full for line in paper} == {""} and paper[0].here == scale["description"]
    Path("params/scales/paper.yaml").write_text("description: 1\n")
    lines = {line.name: line for line in compare_with_full(judged, found)}
    assert lines["Trainings"].full == lines["Epochs, classification"].full == ""


def test_costs_and_counts_say_whether_they_are_the_published_ones(replication: Replication) -> None:
    build(replication)
    page = " ".join(PAGE.read_text().split())
    assert page.count(", equal to the published value</span>") == page.count("(=)</span>") > 0
    assert page.count(", differs from the published value</span>") == page.count("(≠)</span>") > 0
