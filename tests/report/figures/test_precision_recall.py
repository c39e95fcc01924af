"""Precision-recall curves: drawn from each run's matches, left out where these are not those behind the AP."""

from dataclasses import replace

import numpy as np
import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.matches import Matches
from sgenet.judgement.results import read_found
from sgenet.report.figures.curves import FRAME
from sgenet.report.figures.precision_recall import PrecisionRecall, draw_precision_recall
from sgenet.report.pages import _environment
from support import results as make
from support.page import Elements

BASELINE, SGE = "detection/retinanet/resnet50", "detection/retinanet/sge-resnet50"


def _draw(replication: Replication) -> PrecisionRecall:
    return draw_precision_recall(replication, read_found(replication))


def _matches(run: str, seed: int = 0) -> Matches:
    return Matches.load(paths.evaluation("demo", run, seed) / "matches.npz")


def _save(run: str, matches: Matches, **metrics: float) -> None:
    matches.save(paths.evaluation("demo", run, 0) / "matches.npz")
    make.edit_metrics(run, **metrics)


def test_one_panel_a_baseline(repository: None) -> None:
    other = {"label": "RetinaNet SE", "run": "retinanet/se-resnet50", "baseline": "RetinaNet"}
    deeper = {"label": "RetinaNet 101", "run": "retinanet/resnet101"}
    make.write_table("two", make.DETECTION | {"rows": [*make.DETECTION["rows"], other, deeper]})
    replication = load_replication()
    make.make_results(replication)
    drawn = _draw(replication)
    assert [panel.title for panel in drawn.panels] == ["RetinaNet", "RetinaNet 101"]
    assert [(curve.label, curve.kind) for curve in drawn.panels[0].curves] == [
        ("RetinaNet", "baseline"),
        ("RetinaNet SGE", "row"),
        ("RetinaNet SE", "module"),
    ]
    assert [curve.kind for curve in drawn.panels[0].drawn] == ["module", "baseline", "row"]
    assert [curve.style for curve in drawn.panels[0].drawn] == ["module se", "baseline", "row"]
    assert not drawn.left_out
    metrics = read_found(replication).runs[SGE].by_seed[0].metrics
    assert drawn.panels[0].curves[1].ap == pytest.approx((metrics["ap50"], metrics["ap75"]), abs=1e-9)


def test_points_of_known_curves(replication: Replication) -> None:
    """Of four objects of one class two are found, with a false detection of a score between theirs."""
    matches = _matches(BASELINE)
    found = np.zeros((4, 10, 3), dtype=bool)
    found[0, 0] = [True, False, True]
    truths = np.zeros_like(matches.truths)
    truths[0, 0, 0] = 4
    zeros = np.zeros(3, dtype=np.int32)
    drawn = replace(
        matches, image=zeros, category=zeros, score=np.array([0.9, 0.8, 0.7]), matched=found, truths=truths,
        ignored=np.zeros_like(found),
    )  # fmt: skip
    _save(BASELINE, drawn, ap50=100 * (26 + 25 * 2 / 3) / 101, ap75=0.0)
    at_half, strict = _draw(replication).panels[0].curves[0].points
    x = [round(FRAME.left + (FRAME.width - FRAME.left - FRAME.right) * level / 100, 1) for level in range(101)]
    base = FRAME.height - FRAME.bottom
    y = [round(base - (base - FRAME.top) * value, 1) for value in (0, 2 / 3, 1)]
    corners = [(x[0], y[2]), (x[25], y[2]), (x[26], y[1]), (x[50], y[1]), (x[51], y[0]), (x[100], y[0])]
    assert _numbers(at_half) == corners
    assert _numbers(strict) == [(x[0], y[0]), (x[100], y[0])]


def test_first_seed_alone(repository: None) -> None:
    replication = load_replication(seeds=2)
    make.make_results(replication)
    expected = read_found(replication).runs[SGE].by_seed[0].metrics["ap50"]
    assert _draw(replication).panels[0].curves[1].ap[0] == pytest.approx(expected)


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "other"])
def test_unusable_matches_are_left_out_and_named(replication: Replication, damage: str) -> None:
    path = paths.evaluation("demo", SGE, 0) / "matches.npz"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        path.write_bytes((paths.evaluation("demo", BASELINE, 0) / "matches.npz").read_bytes())
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"no archive")
    drawn = _draw(replication)
    assert [curve.label for panel in drawn.panels for curve in panel.curves] == ["RetinaNet"]
    assert drawn.left_out == ("RetinaNet SGE",)
    assert "RetinaNet SGE" in _render(drawn).split("Without a curve")[1]


def test_nothing_to_draw(repository: None) -> None:
    drawn = _draw(load_replication())
    assert drawn.panels == drawn.left_out == ()
    assert "No evaluation of a detector recorded" in _render(drawn)


def test_page_shows_both_curves_of_each_run_in_words_too(replication: Replication) -> None:
    drawn = _draw(replication)
    evil = replace(drawn.panels[0], title="<script>", alt="<script>")
    text = _render(replace(drawn, panels=(evil,)))
    elements = Elements(text)
    kinds = [line["class"] for line in elements.all("polyline")]
    assert kinds == ["baseline", "baseline strict", "row", "row strict", *("baseline", "row")]  # below, what they mean
    assert not elements.all("script") and text.count("&lt;script&gt;") == 2
    metrics = read_found(replication).runs[SGE].by_seed[0].metrics
    assert f"RetinaNet SGE {metrics['ap50']:.1f} and {metrics['ap75']:.1f}" in drawn.panels[0].alt


def _numbers(points: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, point.split(","))) for point in points.split()]


def _render(drawn: PrecisionRecall) -> str:
    return _environment().get_template("precision-recall.html").render(precision_recall=drawn, scale="demo")
