"""Learning curves: at scale `paper` with the authors' values of the same model, from this project's own tables."""

import re
from pathlib import Path
from typing import Any

import pytest

from sgenet.config.replication import load_replication
from sgenet.report import build
from support import results as make
from support.plots import Drawn

# The authors' released logs and, of the model without one, their README.
KNOWN = {
    "ResNet50": ["authors’ best epoch 76.384", "authors’ last epoch 76.300", "authors’ mean of the last ten 76.257"],
    "SGE-ResNet50": [
        "authors’ best epoch 77.584",
        "authors’ last epoch 77.546",
        "authors’ mean of the last ten 77.485",
    ],
    "SE-ResNet50": ["published Top-1 77.184"],
    "SE-ResNet101": [
        "authors’ best epoch 78.474",
        "authors’ last epoch 78.370",
        "authors’ mean of the last ten 78.402",
    ],
}
TABLES = ["imagenet", "ablation-groups", "author-logs", "coco-retinanet"]
LABEL = re.compile("(authors|published Top-1).*")


@pytest.fixture
def page(project: Any, request: pytest.FixtureRequest) -> str:
    """The page of a scale at which some runs were trained, with a Top-1 of up to 60 %."""
    make.scale_paper()
    scale = request.param
    replication = load_replication(scale, 1, TABLES)
    for label in (*KNOWN, "SGE-ResNet50-G8"):
        make.make_run(scale, f"classification/{label.lower()}", 0, 400, 0.6)
    make.make_run(scale, make.RETINA, 0, 400, 0.6)
    build(replication)
    return Path(f"reports/{scale}/index.html").read_text()


def panels(page: str) -> dict[str, Drawn]:
    section = page[page.index('<h2 id="curves"') :].partition("</section>")[0]
    found = re.findall(r"<div data-run=[^>]+><p>(.*?)</p>\n(<svg.*?</svg>)", section, re.DOTALL)
    return {title: Drawn(svg) for title, svg in found}


def references(plot: Drawn) -> list[str]:
    return [text for text in plot.texts if LABEL.match(text)]


@pytest.mark.parametrize("page", ["paper"], indirect=True)
def test_authors_values_are_lines_with_labels(page: str) -> None:
    shown = panels(page)
    assert {title.partition(" against")[0] for title in shown} == {
        "SGE-ResNet50", "SE-ResNet50", "SE-ResNet101", "SGE-ResNet50, G = 8", "RetinaNet SGE-ResNet50",
    }  # fmt: skip
    for title, plot in shown.items():
        expected = KNOWN.get(title.partition(" against")[0], [])
        assert references(plot) == expected, title
        words = plot.alt.split("; ")
        assert words[len(words) - len(expected) :] == expected
        assert sum("authors" in part or "published" in part for part in words) == len(expected)
        levels = [line[0][1] for line in plot.curves("ink")][: len(expected)]  # the legend is drawn last
        assert levels == pytest.approx([float(text.rpartition(" ")[2]) for text in expected], abs=0.2)
        curves = [y for color in ("row", "baseline") for curve in plot.curves(color) for _, y in curve]
        assert curves and (not expected or max(curves) < min(levels))  # no training reaches 61 %
    assert "Horizontal lines are published values" in page


@pytest.mark.parametrize("page", ["demo"], indirect=True)
def test_below_scale_paper_there_are_none(page: str) -> None:
    assert len(panels(page)) == 5 and "authors’ best" not in page and "published Top-1 77" not in page
    assert "Horizontal lines are published values" not in page


@pytest.mark.parametrize("page", ["demo"], indirect=True)
def test_lines_belong_to_their_runs_and_dots_are_best(page: str) -> None:
    (plot,) = (plot for title, plot in panels(page).items() if title.startswith("SE-ResNet101"))
    run = "classification/se-resnet101"
    (curve,), dots = plot.curves("row", run), plot.markers(run)
    best = max(curve, key=lambda point: point[1])
    assert [(plot.x(x), plot.y(y)) for x, y in dots] == [pytest.approx(best, abs=0.1)]
    assert len(plot.lines("row")) == 1 and set(plot.runs) == {run}
