"""Figures 2 to 4 on the page: their geometry against hand-computed places, and what the page says about them."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement.inputs import Missing, problem_of, read_activations
from sgenet.provenance.identity import Artifacts
from sgenet.report import build
from sgenet.report.figures import activations
from sgenet.report.figures.activations import FRAME
from support import results as make
from support.page import Elements

PAGE = Path("reports/demo/index.html")
LEFT, END, TOP, BASE = FRAME.left, FRAME.width - FRAME.right, FRAME.top, FRAME.height - FRAME.bottom


@pytest.fixture
def measured() -> dict:
    return make.activations()


def _write(measured: dict) -> Path:
    path = paths.activations("demo")
    path.write_text(json.dumps(measured))
    return path


def test_maps_of_a_group_share_one_scale(measured: dict) -> None:
    drawn = activations.draw(measured)
    assert drawn.tops == (8,)
    before, after = drawn.rows[0].maps
    assert before.shades == ((0.25, "M1 1h1v1h-1z"), (0.5, "M0 1h1v1h-1z"), (1.0, "M1 0h1v1h-1z"))
    assert after.shades == ((0.125, "M0 1h1v1h-1zM1 1h1v1h-1z"), (0.5, "M1 0h1v1h-1z"))
    assert (before.mean, after.mean) == (3.5, 1.5)
    assert before.alt == "Group 1 before SGE on image 7: lengths from 0 to 8, mean 3.5"


def test_one_long_vector_in_a_hundred_does_not_pale_the_others(measured: dict) -> None:
    image = measured["maps"]["images"][0]
    lengths = list(range(1, 51))
    image["before"], image["after"] = [[lengths]], [[[1000, *lengths[1:]]]]
    drawn = activations.draw(measured)
    assert drawn.tops == (50,)  # at most two of these hundred lengths may be longer
    assert drawn.rows[0].maps[1].shades[-1] == (1.0, "M0 0h1v1h-1zM48 0h1v1h-1zM49 0h1v1h-1z")


def test_histogram_shows_shares_up_to_where_all_but_a_few_are_told(measured: dict) -> None:
    drawn = activations.draw(measured).histogram
    # 396 and 399 of 400 lie in the first three and four bins: only the latter are 99.5 %
    assert drawn.end == 2 and drawn.beyond == pytest.approx(0.25)
    quarter = (END - LEFT) / 4

    def y(share: float) -> float:
        return BASE - (BASE - TOP) * share / 74

    def points(line: str) -> list[float]:
        return [float(number) for number in re.split("[ ,]", line)]

    shares = [0, 25, 74, 0.75]
    corners = [(LEFT, BASE)]
    for place, share in enumerate(shares):
        corners += [(LEFT + place * quarter, y(share)), (LEFT + (place + 1) * quarter, y(share))]
    assert points(drawn.before) == pytest.approx([value for corner in corners for value in corner], abs=0.06)
    assert points(drawn.after)[3::4] == pytest.approx([y(50), y(50), BASE, BASE], abs=0.06)
    assert drawn.x_ticks[0] == (LEFT, "0") and drawn.x_ticks[-1] == (END, "2")


def test_bars_and_whiskers_are_to_scale(measured: dict) -> None:
    drawn = activations.draw(measured).bars
    bars = {side: [bar for bar in drawn.bars if bar.side == side] for side in ("before", "after")}
    unit = (BASE - TOP) / 5  # the highest whisker ends at 4 + 1
    for side, means in {"before": [2, 1, 4], "after": [1, 0, 2.5]}.items():
        assert [bar.y for bar in bars[side]] == pytest.approx([BASE - unit * mean for mean in means], abs=0.06)
    assert bars["before"][1].whisker == pytest.approx((BASE - 3 * unit, BASE), abs=0.06)  # 1 - 2 is cut at 0
    assert bars["after"][0].whisker == pytest.approx((BASE - 1.5 * unit, BASE - 0.5 * unit), abs=0.06)
    starts = [place for pair in zip(bars["before"], bars["after"], strict=True) for place in (pair[0].x, pair[1].x)]
    assert all(right - left >= drawn.bar - 0.11 for left, right in zip(starts, starts[1:], strict=False))
    wide = copy.deepcopy(measured)
    wide["variance"] = {side: {"mean": [1.0] * 64, "std": [0.0] * 64} for side in ("before", "after")}
    assert activations.draw(wide).bars.width > FRAME.width


def test_the_page_shows_the_figures_and_says_what_they_are(replication: Replication, measured: dict) -> None:
    path = _write(measured)
    validate(MeasuredActivations, measured, path)
    assert build(replication) == []
    text = PAGE.read_text()
    section = text[text.index('<h2 id="activations">') :].partition("</section>")[0]
    elements = Elements(section)
    assert len(elements.all("svg")) == section.count("<title>") == 4  # two maps, figures 3 and 4
    assert all(a["role"] == "img" for a in elements.all("svg"))
    assert [a["alt"] for a in elements.all("img")] == ["Validation image 7, class <seven>"] and "<seven>" not in section
    assert len(elements.all("rect")) == 6 and len(elements.all("polyline")) == 2
    words = " ".join(re.sub(r"<[^>]+>", " ", section).split())
    assert "stage 2 (3 groups, 2 × 2 positions), on all 40 validation images" in words
    assert "The paper shows stage 4;" in words and "sgenet activations --scale demo" in words
    assert words.count("Measured here, at scale demo.") == 3 and words.count("made up 0.512 [0.501, 0.523]") == 5
    assert "95 % intervals: bootstrap over 40 images" in words and "0.25 % of those before SGE are longer" in words


def test_a_stage_like_the_papers_needs_no_excuse(replication: Replication, measured: dict) -> None:
    _write(measured | {"stage": 4})
    build(replication)
    assert "The paper shows stage 4;" not in PAGE.read_text()


@pytest.mark.parametrize(
    ("plain", "relative", "falls", "grows"),
    [
        ((0.6, 0.7), (1.1, 1.2), True, True),
        ((0.6, 0.7), (0.9, 1.1), True, False),
        ((0.9, 1.1), (1.1, 1.2), False, False),
        ((1.1, 1.2), (1.1, 1.2), False, False),
    ],
)
def test_a_falling_variance_is_said_to_contradict_the_paper(
    replication: Replication, measured: dict, plain: tuple, relative: tuple, falls: bool, grows: bool
) -> None:
    for name, (low, high) in {"variance_ratio": plain, "relative_variance_ratio": relative}.items():
        estimate = make.ESTIMATE | {"low": low, "value": (low + high) / 2, "high": high}
        measured["statistics"][name] = {"description": "made up", "seeds": {"0": estimate}}
    _write(measured)
    build(replication)
    words = " ".join(PAGE.read_text().split())
    assert ("the variance decreases, to 0.650 times its value before SGE: the opposite" in words) is falls
    assert (
        "the variance divided by the squared mean length increases, to 1.150 times its value before." in words
    ) is grows


def test_without_a_measurement_the_page_says_how_to_make_it(replication: Replication) -> None:
    assert build(replication) == []
    assert "<code>sgenet activations --scale demo</code>" in PAGE.read_text()


def test_runs_of_other_models_alone_need_no_figures(replication: Replication, measured: dict) -> None:
    _write(measured)
    runs = {name: run for name, run in replication.runs.items() if name != FIGURES_RUN}
    assert read_activations(Artifacts(replace(replication, runs=runs))) == Missing()
    assert isinstance(read_activations(Artifacts(replication)), MeasuredActivations)


def _shorten(value: dict) -> None:
    value["variance"]["after"]["std"].pop()


def _empty(value: dict) -> None:
    value["histogram"]["after"] = [0] * 5


def _bend(value: dict) -> None:
    value["maps"]["images"][0]["before"][0][1].pop()


def _load(value: dict) -> None:
    value["maps"]["images"][0]["pixels"] = "https://localhost/x.png"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda value: value.pop("stage"), "stage: missing"),
        (
            lambda value: value["origin"]["activations"].update(data={"fingerprint": "f0"}),
            "made on other data: fingerprint 'f0', now 'f1'; `sgenet activations --scale demo` makes it again",
        ),
        (lambda value: value.update(scale="paper"), "scale: found 'paper', expected 'demo'"),
        (_shorten, "variance.after.std: found 2 entries, expected 3"),
        (_empty, "histogram.after: found no count, expected one or more"),
        (_bend, "maps.images.0.before: found 1 entries, expected 2"),
        (_load, "maps.images.0.pixels: found 'https://localhost/x.png', expected pattern"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(replication, measured, change, sentence) -> None:
    change(measured)
    path = _write(measured)
    problem = problem_of(read_activations(Artifacts(replication)))
    assert problem.startswith(f"{path}: {sentence}") and "\n" not in problem


def test_beside_a_bad_file_the_rest_is_built(replication: Replication, measured: dict) -> None:
    path = _write(measured)
    path.write_text(path.read_text()[:100])
    (problem,) = build(replication)
    assert problem.startswith(f"{path}: line 1 is not JSON")
    text = PAGE.read_text()
    assert "Figures 2, 3 and 4 of the paper were not measured here" in text and "SGE-ResNet50" in text
