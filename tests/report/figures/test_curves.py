"""Learning curves: at scale `paper` with the authors' values of the same model, from this project's own tables."""

import re
from pathlib import Path
from typing import Any

import pytest

from sgenet.config.replication import load_replication
from sgenet.report import build
from sgenet.report.figures.curves import FRAME
from support import results as make

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
LABEL = re.compile(r'<text class="reference"[^>]*>(.*?)</text>')
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


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


def panels(page: str) -> dict[str, str]:
    section = page[page.index('<h2 id="curves"') :].partition("</section>")[0]
    return dict(re.findall(r"<div data-run=[^>]+><p>(.*?)</p>\n(<svg.*?</svg>)", section, re.DOTALL))


@pytest.mark.parametrize("page", ["paper"], indirect=True)
def test_authors_values_are_lines_with_labels(page: str) -> None:
    drawn = panels(page)
    assert {title.partition(" against")[0] for title in drawn} == {
        "SGE-ResNet50", "SE-ResNet50", "SE-ResNet101", "SGE-ResNet50, G = 8", "RetinaNet SGE-ResNet50",
    }  # fmt: skip
    for title, svg in drawn.items():
        expected = KNOWN.get(title.partition(" against")[0], [])
        assert re.findall(LABEL, svg) == expected, title
        (alt,) = re.findall(r"<title>(.*?)</title>", svg)
        assert alt.split("; ")[len(alt.split("; ")) - len(expected) :] == expected
        assert sum("authors" in part or "published" in part for part in alt.split("; ")) == len(expected)
        heights = [float(at) for at in re.findall(r'<path class="reference \w+" d="M42 ([\d.]+)H270"/>', svg)]
        assert len(heights) == len(expected) and all(FRAME.top <= at < FRAME.height - FRAME.bottom for at in heights)
        points = [float(y) for part in re.findall(r'points="(.*?)"', svg) for y in re.findall(r",([\d.]+)", part)]
        assert all(FRAME.top <= y <= FRAME.height - FRAME.bottom for y in points)
        assert not heights or max(heights) < min(points)  # no training reaches 61 %
    of_runs = [labels for svg in SVG.findall(page) if svg not in drawn.values() and (labels := re.findall(LABEL, svg))]
    assert sorted(of_runs) == sorted(KNOWN.values())  # in their provenance, also of baselines
    assert "Horizontal lines are published values" in page


@pytest.mark.parametrize("page", ["demo"], indirect=True)
def test_below_scale_paper_there_are_none(page: str) -> None:
    assert len(panels(page)) == 5 and 'class="reference' not in page and "authors’ best" not in page
    assert "published Top-1 77" not in page
    assert "Horizontal lines are published values" not in page


@pytest.mark.parametrize("page", ["paper"], indirect=True)
def test_the_axis_spans_curve_and_references(page: str) -> None:
    """Positions are those of the linear axis from the lowest value of the table's curves to the highest reference."""
    values = {float(text.rpartition(" ")[2]) for texts in KNOWN.values() for text in texts}
    (svg,) = (svg for title, svg in panels(page).items() if title.startswith("SE-ResNet101"))
    ticks = [(float(y), float(text)) for y, text in re.findall(r'y="([\d.]+)" dy=".35em"[^>]*>([\d.]+)<', svg)]
    (low_at, low), (high_at, high) = ticks[0], ticks[-1]
    heights = [float(at) for at in re.findall(r'<path class="reference \w+" d="M42 ([\d.]+)H270"/>', svg)]
    for at, text in zip(heights, KNOWN["SE-ResNet101"], strict=True):
        value = low + (at - low_at) * (high - low) / (high_at - low_at)
        assert value == pytest.approx(float(text.rpartition(" ")[2]), abs=0.2)
    assert min(heights) == FRAME.top and max(values) == 78.474
