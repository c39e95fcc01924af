"""Plots inside the page: values where the ticks say, colours of the style sheet, no ids, names as they are."""

import re

import numpy as np
import pytest

from sgenet.report.figures.plot import BASELINE, INK, Line, draw_lines
from support.plots import Drawn

NAME = "classification/<x>&\"'"
CURVES = [[(1, 20), (2, 50), (3, 60)], [(1, 22), (2, 40), (3, 63)]]
LINES = [
    Line(color=INK, level=42, label="known $x"),
    Line([[(1, 10), (3, 20)]], BASELINE, dashes=(5, 3), dots=[(3, 20)], hollow=True, run="base"),
    Line(CURVES, dots=[(3, 63)], run=NAME),
]


def draw(legend: str = "inside") -> str:
    return draw_lines("<b> & 'all'", LINES, (1, 3), (10, 63), legend=legend)


def test_values_are_where_the_ticks_say() -> None:
    plot = Drawn(draw())
    assert np.array(plot.curves("row")) == pytest.approx(np.array(CURVES), abs=0.3)
    assert plot.curves("row", NAME) == plot.curves("row") and plot.curves("row", "base") == []
    assert np.array(plot.curves("baseline")) == pytest.approx(np.array([[(1, 10), (3, 20)]]), abs=0.3)
    assert np.array(plot.curves("ink")[0]) == pytest.approx(np.array([(1, 42), (3, 42)]), abs=0.3)
    ((x, y),) = plot.markers("base")
    assert (plot.x(x), plot.y(y)) == pytest.approx((3, 20), abs=0.3)
    assert "known $x" in plot.texts and plot.alt == "<b> & 'all'" and set(plot.runs) == {NAME, "base"}


def test_has_no_id_no_colour_of_its_own_and_is_the_same_each_time() -> None:
    for legend in ("", "inside", "below"):
        svg = draw(legend)
        assert svg == draw(legend) and not re.search(r" id=|href|url\(|<style|#[0-9a-f]{6}|font-family", svg)
        assert svg.startswith('<svg class="plot" viewBox="0 0 280 ') and 'role="img"' in svg
    assert "known $x" not in draw("")


def test_text_that_the_font_of_matplotlib_lacks(recwarn: pytest.WarningsRecorder) -> None:
    labels = ["模型 \N{ROCKET}\\frac$", "bell \x07 \ufffe"]
    svg = draw_lines("alt", [Line(CURVES, label=label) for label in labels], (1, 3), (0, 1), legend="below")
    assert "模型 \N{ROCKET}\\frac$" in Drawn(svg).texts and not recwarn
    assert "bell \ufffd \ufffd" in Drawn(svg).texts
