"""Precision-recall curves: drawn from each run's matches, left out where these are not those behind the AP."""

from dataclasses import replace

import numpy as np
import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.coco_eval import AP_METRICS, ap
from sgenet.evaluation.matches import Matches
from sgenet.judgement.results import read_found
from sgenet.report.environment import make_environment
from sgenet.report.figures.plot import Figure
from sgenet.report.figures.precision_recall import draw_precision_recall
from support import results as make
from support.plots import Drawn

BASELINE, SGE, SE = (f"detection/retinanet/{name}resnet50" for name in ("", "sge-", "se-"))
LABELS = ("RetinaNet", "RetinaNet SGE", "RetinaNet SE")


def _draw(replication: Replication) -> Figure:
    return draw_precision_recall(replication, read_found(replication))


def _matches(run: str, seed: int = 0) -> Matches:
    return Matches.load(paths.evaluation("demo", run, seed) / "matches.npz")


def test_one_panel_a_baseline(repository: None) -> None:
    other = {"label": "RetinaNet SE", "run": "retinanet/se-resnet50", "baseline": "RetinaNet"}
    deeper = {"label": "RetinaNet 101", "run": "retinanet/resnet101"}
    make.write_table("two", make.DETECTION | {"rows": [*make.DETECTION["rows"], other, deeper]})
    replication = load_replication()
    make.make_results(replication)
    drawn = _draw(replication)
    assert [panel.title for panel in drawn.plots] == ["RetinaNet", "RetinaNet 101"]
    plot, metrics = Drawn(drawn.plots[0].svg), read_found(replication).runs
    areas = [[metrics[run].by_seed[0].metrics[name] for name in ("ap50", "ap75")] for run in (BASELINE, SGE, SE)]
    labels = [f"{label}: {ap50:.1f}, {ap75:.1f}" for label, (ap50, ap75) in zip(LABELS, areas, strict=True)]
    assert [text for text in plot.texts if ":" in text] == labels
    assert plot.alt == f"Precision by recall; areas at IoU 0.50 and 0.75 in percent: {'; '.join(labels)}"
    for run, color in {BASELINE: "baseline", SGE: "row", SE: "soft"}.items():
        assert len(plot.lines(color, run)) == 2 and plot.runs.count(run) == 2


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
    drawn.save(paths.evaluation("demo", BASELINE, 0) / "matches.npz")
    metrics = {name: ap(drawn, metric=name) for name in AP_METRICS}
    make.edit_metrics(BASELINE, **{name: None if np.isnan(value) else value for name, value in metrics.items()})
    plot = Drawn(_draw(replication).plots[0].svg)
    at_half, strict = plot.curves("baseline", BASELINE)
    levels = {0.1: 1, 0.24: 1, 0.27: 2 / 3, 0.49: 2 / 3, 0.52: 0, 1: 0}  # recall -> precision
    x, y = zip(*at_half, strict=True)
    assert np.interp(list(levels), x, y) == pytest.approx(list(levels.values()), abs=0.01)
    assert np.array([strict[0], strict[-1]]) == pytest.approx(np.array([(0, 0), (1, 0)]), abs=0.01)


def test_first_seed_alone(repository: None) -> None:
    replication = load_replication(seeds=2)
    make.make_results(replication)
    expected = read_found(replication).runs[SGE].by_seed[0].metrics["ap50"]
    assert f"RetinaNet SGE: {expected:.1f}, " in _draw(replication).plots[0].svg


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "other"])
def test_unusable_matches_are_a_problem_and_give_no_curve(replication: Replication, damage: str) -> None:
    path = paths.evaluation("demo", SGE, 0) / "matches.npz"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        path.write_bytes((paths.evaluation("demo", BASELINE, 0) / "matches.npz").read_bytes())
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"no archive")
    found = read_found(replication)
    drawn = draw_precision_recall(replication, found)
    assert [Drawn(panel.svg).runs for panel in drawn.plots] == [[BASELINE] * 2]
    assert str(path) in (found.runs[SGE].problem or "")


def test_nothing_to_draw(repository: None) -> None:
    drawn = _draw(load_replication())
    assert drawn.plots == ()
    assert "No evaluation of a detector recorded" in _render(drawn)


def _render(drawn: Figure) -> str:
    return make_environment().get_template("precision-recall.html").render(precision_recall=drawn, scale="demo")
