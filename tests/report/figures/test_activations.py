"""Figures 2 to 4 on the page: their values against hand-computed ones, and what the page says about them."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement.inputs import Missing, problem_of, read_activations
from sgenet.provenance.identity import Artifacts
from sgenet.report import build
from sgenet.report.figures import activations
from support import results as make
from support.page import Elements
from support.plots import Drawn

PAGE = Path("reports/demo/index.html")


@pytest.fixture
def measured() -> dict:
    return make.activations()


def _write(measured: dict) -> Path:
    path = paths.activations("demo")
    path.write_text(json.dumps(measured))
    return path


def _draw(measured: dict) -> activations.Activations:
    return activations.draw_activations(MeasuredActivations.model_validate(measured))


def _opacity(uri: str) -> list[list[int]]:
    """The opacity of each pixel, in tenths."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.rint(np.array(image)[..., 3] / 25.5).astype(int).tolist()


def test_maps_of_a_group_share_one_scale(measured: dict) -> None:
    measured["maps"]["images"][0] |= {"before": [[[0, 10], [4, 2]]], "after": [[[0, 4], [1, 1]]]}
    drawn = _draw(measured)
    assert drawn.tops == (10,)
    before, after = drawn.rows[0][1]
    assert _opacity(before.pixels) == [[0, 10], [4, 2]] and _opacity(after.pixels) == [[0, 4], [1, 1]]
    assert (before.mean, after.mean) == (4, 1.5)
    assert before.alt == "Group 1 before SGE on image 7: lengths from 0 to 10, mean 4"


def test_one_long_vector_in_a_hundred_does_not_pale_the_others(measured: dict) -> None:
    image = measured["maps"]["images"][0]
    lengths = list(range(1, 51))
    image["before"], image["after"] = [[lengths]], [[[1000, *lengths[1:]]]]
    measured["positions"], measured["maps"] = [1, 50], {"groups": [0], "images": [image]}
    drawn = _draw(measured)
    assert drawn.tops == (50,)  # at most two of these hundred lengths may be longer
    assert (
        _opacity(drawn.rows[0][1][1].pixels)[0][::48] == [10, 10] and _opacity(drawn.rows[0][1][0].pixels)[0][24] == 5
    )


def test_histogram_shows_shares_up_to_where_all_but_a_few_are_counted(measured: dict) -> None:
    drawn = _draw(measured)
    # 396 and 399 of 400 are in the first three and four bins: only the latter are 99.5 %
    assert drawn.beyond == pytest.approx(0.25)
    plot = Drawn(drawn.histogram)
    assert [plot.x(end) for end in plot.axes[0]] == pytest.approx([0, 2], abs=0.01)
    for color, shares in {"baseline": [0, 25, 74, 0.75], "row": [50, 50, 0, 0]}.items():
        (steps,) = plot.curves(color)
        flat = [(one, two) for one, two in zip(steps, steps[1:], strict=False) if one[1] == two[1]]
        middles = [0.25 + 0.5 * place for place in range(4)]
        heights = [next(one[1] for one, two in flat if one[0] < middle < two[0]) for middle in middles]
        assert heights == pytest.approx(shares, abs=0.3)


def test_bars_and_whiskers_are_to_scale(measured: dict) -> None:
    plot = Drawn(_draw(measured).bars)
    whiskers = [(plot.x(low[0]), plot.y(low[1]), plot.y(high[1])) for low, high in plot.lines("ink")]
    spans = {"before": [(1, 3), (0, 3), (3, 5)], "after": [(0.5, 1.5), (0, 0), (2, 3)]}  # 1 - 2 is cut at 0
    expected = [
        (group + shift, *ends)
        for side, shift in (("before", -0.2), ("after", 0.2))
        for group, ends in enumerate(spans[side])
    ]
    assert np.array(whiskers) == pytest.approx(np.array(expected), abs=0.03)
    for color, means in {"baseline": [2, 1, 4], "row": [1, 0, 2.5]}.items():
        tops = [max(plot.y(y) for _, y in bar) for bar in plot.lines(color)]
        assert tops == pytest.approx(means, abs=0.03)
    assert _draw(measured).width == 0
    measured["groups"] = 64
    measured["variance"] = {side: {"mean": [1.0] * 64, "std": [0.0] * 64} for side in ("before", "after")}
    assert _draw(measured).width > 64 * 2 * 5  # scrolls on a phone


def test_the_page_shows_the_figures_and_says_what_they_are(replication: Replication, measured: dict) -> None:
    path = _write(measured)
    validate(MeasuredActivations, measured, path)
    assert build(replication) == []
    text = PAGE.read_text()
    section = text[text.index('<h2 id="activations">') :].partition("</section>")[0]
    elements = Elements(section)
    assert len(elements.all("svg")) == section.count("<title>") == 2  # figures 3 and 4
    assert all(a["role"] == "img" for a in elements.all("svg"))
    alts = [a["alt"] for a in elements.all("img")]
    assert len(alts) == 3 and alts[0] == "Validation image 7, class <seven>" and "<seven>" not in section
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
