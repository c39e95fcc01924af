"""The page and comparison.json at scale `paper`: planted verdicts, the common ratio, and missing trainings."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sgenet.config.replication import load_replication
from sgenet.report import build
from support import results as make

Build = Callable[..., dict[str, Any]]
WIDE, NARROW = (1, 11, 0), (9, 10, 11)  # gains of three seeds, in points
SGE_ROW = {"table": "one", "column": "top1", "row": "SGE-ResNet50"}


def words() -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", Path("reports/paper/index.html").read_text()).split())


@pytest.fixture
def paper(repository: Path) -> Build:
    """Build at scale paper, with 70 % for each training of the baseline; returns SGE's cell of Top-1."""
    make.scale_paper()

    def build_with(published: float, gains: tuple[float, ...], resolution: float = 0.0) -> dict[str, Any]:
        columns = [dict(column) for column in make.CLASSIFICATION["columns"]]
        if resolution:
            columns[2]["resolution"] = {"value": resolution, "reason": "a made-up reason"}
        rows = [dict(row, published=dict(row["published"])) for row in make.CLASSIFICATION["rows"]]
        for row, value in zip(rows, (70, 70 + published), strict=True):
            row["published"]["top1"] = {"value": value, "source": ["H"]}
        make.write_table("one", make.CLASSIFICATION | {"columns": columns, "rows": rows})
        make.write_claims([{"id": "A", "sentence": "s", "where": "w", "conditions": [{"gain": SGE_ROW}]}], [SGE_ROW])
        replication = load_replication("paper", len(gains), ["one"])
        make.make_results(replication)
        for seed, gain in enumerate(gains):
            make.make_run("paper", make.BASE, seed, make.IMAGES, 0.7)
            make.make_run("paper", make.SGE, seed, make.IMAGES, 0.7 + gain / 100)
        assert build(replication) == []
        return make.cell(0, 1, "top1", "paper")

    return build_with


@pytest.mark.parametrize(
    ("published", "gains", "verdict"),
    [
        (10, NARROW, "replicated"),
        (-10, (-9, -10, -11), "replicated"),
        (4, NARROW, "stronger"),
        (20, NARROW, "weaker"),
        (10, (-9, -10, -11), "contradicted"),
        (10, (-1, 0, 1), "contradicted"),  # contains zero, and excludes half of the published size
        (10, WIDE, "inconclusive"),
        (10, (5, 6, 7), "inconclusive"),  # excludes zero, and neither the published size nor half of it
        (10, (10,), "not judged"),
        (10, (10, 10), "not judged"),
    ],
)
def test_planted_verdicts(paper: Build, published: float, gains: tuple[float, ...], verdict: str) -> None:
    cell = paper(published, gains)
    assert cell["verdict"] == verdict
    assert make.judged(0, 0, "top1", "paper") == ("not judged", "a baseline")
    (claim,) = make.comparison("paper")["claims"]
    (condition,) = claim["conditions"]
    if published > 0:  # the claim is that SGE is better
        assert (claim["verdict"], condition["verdict"], condition["reason"]) == (verdict, verdict, cell["reason"])
    else:
        assert claim["verdict"] == "contradicted"
    number, gain = condition["numbers"][0], cell["reproduced"]["gain"]
    assert [number[key] for key in ("value", "low", "high", "n")] == [
        gain[key] for key in ("value", "low", "high", "n")
    ]


def test_numbers_of_a_gain(paper: Build) -> None:
    """Of a single pair of rows, the analysis of blocks is Student's paired test."""
    cell = paper(10, NARROW)
    found, gain = cell["reproduced"], cell["reproduced"]["gain"]
    interval = stats.t.interval(0.95, 2, loc=10, scale=stats.sem(NARROW))
    assert [gain["low"], gain["high"]] == pytest.approx(interval, abs=1e-5)
    assert (gain["n"], gain["df"], gain["needed"]) == (3, 2, None)
    assert found["difference"] == 0 and found["seeds"] == {"0": 79, "1": 80, "2": 81}
    # Of the 400 images, 36 are gained by all trainings, 4 by two and 4 by one.
    images = np.repeat([100, 200 / 3, 100 / 3, 0], [36, 4, 4, 356])
    bounds = stats.norm.interval(0.95, 10, images.std(ddof=1) / 20)
    assert [gain["images"]["low"], gain["images"]["high"]] == pytest.approx(bounds, abs=1e-5)
    text = words()
    assert "Values are means over 3 trainings of each row, with intervals over trainings" in text
    assert "(2 degrees of freedom)" in text and "an interval of its own: the same trainings on other images" in text
    assert "mean of 3 trainings, paired normal interval over images" in text


def test_the_first_sentence_is_the_ratio(paper: Build) -> None:
    paper(20, NARROW)
    low, high = (value / 20 for value in stats.t.interval(0.95, 2, loc=10, scale=stats.sem(NARROW)))
    ratio = make.comparison("paper")["ratio"]
    assert [ratio[key] for key in ("value", "low", "high", "df")] == pytest.approx([0.5, low, high, 2], abs=1e-5)
    assert f"published gains are reproduced at 0.50 [{low:.2f}, {high:.2f}] of their size, over 1 gain." in words()
    paper(20, (10,))
    assert "reproduced at 0.50 of their size, over 1 gain; too few trainings for an interval" in words()
    assert make.comparison("paper")["ratio"] == {"value": 0.5, "low": None, "high": None, "df": None}


def test_main_gains_of_unknown_variance_have_equal_weights(repository: Path) -> None:
    """Three trainings of each classifier, one of each detector: of that seed, the least-squares slope through 0."""
    make.scale_paper()
    replication = load_replication("paper", 3)
    make.make_results(replication)
    for name in ("resnet50", "sge-resnet50"):
        for seed in (1, 2):
            make.metrics_path(f"detection/retinanet/{name}", seed, "paper").unlink()
    for seed, skill in enumerate((0.71, 0.70, 0.72)):
        make.make_run("paper", make.SGE, seed, make.IMAGES, skill)
    build(replication)
    pairs = [[make.cell(table, row, column, "paper")["reproduced"]["seeds"]["0"] for row in (0, 1)]
             for table, column in enumerate(("top1", "ap"))]  # fmt: skip
    found, published = [after - before for before, after in pairs], [1.2, 1.5]
    ratio = make.comparison("paper")["ratio"]
    assert ratio["value"] == pytest.approx(np.dot(found, published) / np.dot(published, published), abs=1e-5)
    assert ratio["low"] is None and "over 2 gains; too few trainings for an interval" in words()


@pytest.mark.parametrize("run", [make.SGE, make.BASE])
def test_a_main_gain_without_a_result_is_left_out(paper: Build, run: str) -> None:
    paper(20, NARROW)
    for seed in range(3):
        make.metrics_path(run, seed, "paper").unlink()
    build(load_replication("paper", 3, ["one"]))
    assert make.comparison("paper")["ratio"] is None
    assert "No gain of SGE was measured yet at scale paper." in words()


def test_a_main_gain_of_a_row_or_table_that_was_not_chosen_is_left_out(paper: Build) -> None:
    paper(20, NARROW)
    ratio = make.comparison("paper")["ratio"]
    other = {"table": "two", "column": "ap", "row": "RetinaNet SGE"}
    make.write_claims([], [other, SGE_ROW])
    build(load_replication("paper", 3, ["one"]))
    assert make.comparison("paper")["ratio"] == ratio
    build(load_replication("paper", 3, ["one"], rows="ResNet50"))
    assert make.comparison("paper")["ratio"] is None


def test_what_would_decide(paper: Build) -> None:
    cell = paper(10, (4, 6, 8))
    needed = cell["reproduced"]["gain"]["needed"]
    assert cell["verdict"] == "inconclusive" and needed > 3
    assert f"{needed} trainings of each row would decide it with a probability of 80 %" in words()


def test_a_published_gain_below_the_resolution_has_no_direction(paper: Build) -> None:
    cell = paper(0.25, NARROW, resolution=0.5)
    assert (cell["verdict"], cell["reason"]) == ("not judged", "the published gain is too small to have a direction")
    assert "too small to have a direction: Top-1 below 0.5 (a made-up reason)" in words()
    (claim,) = make.comparison("paper")["claims"]
    assert (claim["verdict"], claim["reason"]) == (cell["verdict"], cell["reason"])
    assert paper(0.75, NARROW, resolution=0.5)["verdict"] == "stronger"


def test_missing_trainings_leave_nothing_to_judge(paper: Build) -> None:
    paper(10, NARROW)
    for run in (make.BASE, make.SGE):
        for seed in (1, 2):
            make.metrics_path(run, seed, "paper").unlink()
    build(load_replication("paper", 3, ["one"]))
    assert make.judged(0, 1, "top1", "paper") == ("not judged", "one training of each row")
    text = words()
    assert "One training of each row; the interval of an accuracy is for the sampling error of the images" in text
    assert "A gain over fewer than three trainings has no interval over trainings" in text
    assert "Values are means" not in text


def test_other_settings_than_the_papers_are_stated_first(paper: Build) -> None:
    paper(10, NARROW)
    assert re.search(r"\d+ settings differ from the paper’s", words())
    assert "The paper’s data and recipe." not in words()
