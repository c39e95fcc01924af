"""Forest plots: a line a row of a table, with its gain and interval against zero, and the published gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from markupsafe import Markup

from sgenet.evaluation.verdicts import WITHHELD
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.main_gains import MainGains
from sgenet.judgement.ranking import is_ours
from sgenet.report.figures.plot import INK, PAGE, ROW, SOFT, Figure, Plot, Range, draw, printable, set_axes, span
from sgenet.report.formats import interval, signed

METRICS = ("top1", "ap", "mask_ap", "ap_small", "ap_medium", "ap_large")  # the paper's claims are about these
DIGITS = 2  # at most: intervals are wider than further ones
WIDTH, TOP, BOTTOM = 430, 16, 32  # of a plot, and the margins above and below its rows; all lengths are CSS pixels
LINE, LETTERS = 12, 27  # height of a further line of a label, and its greatest number of letters
WIDE, NARROW, PUBLISHED = 5.7, 4.6, 48  # width of a letter of a label and of a text, and of the published gains


@dataclass(frozen=True)
class Mark:
    """A gain, with the ends of its interval and the gains of single seeds."""

    value: float
    ends: Range | None = None
    color: str = SOFT
    seeds: Sequence[float] = ()


@dataclass(frozen=True)
class ForestRow:
    """A line of a forest: `text` is printed to the right, `heading` above the first of its group; `alt` is in words."""

    label: str
    marks: Sequence[Mark | None]
    alt: str
    run: str = ""
    heading: str = ""
    text: str = ""
    published: float | None = None
    digits: int = DIGITS
    bold: bool = False


def gain_axis(rows: Sequence[ForestRow]) -> Range:
    """Return the ends of an axis of all values of these rows, and zero."""
    marks = [mark for row in rows for mark in row.marks if mark]
    values = [value for mark in marks for value in (mark.value, *(mark.ends or ()), *mark.seeds)]
    return span([0.0, *values, *(row.published for row in rows if row.published is not None)], 0.05)


def draw_forest(title: str, rows: Sequence[ForestRow], ends: Range) -> Markup:
    """Return one forest, on an axis with these ends."""
    labels, texts = ([wrap(text, LETTERS, break_on_hyphens=False) for text in column]
                     for column in zip(*((row.label, row.text) for row in rows), strict=True))  # fmt: skip
    published = PUBLISHED * any(row.published is not None for row in rows)
    left = 12 + WIDE * max([0, *(len(line) for label in labels for line in label)])
    right = 8 + NARROW * max([0, *(len(line) for text in texts for line in text)]) + published
    tops, bottoms, height, heading = [], [], 0.0, ""
    for row, label, text in zip(rows, labels, texts, strict=True):
        height += 20 * (row.heading != heading)
        tops.append(height)
        height += max(8 + LINE * max(len(label), len(text)), 8 + 9 * len(row.marks))
        bottoms.append(height)
        heading = row.heading

    def paint(axes: Any) -> None:
        width, of_rows = WIDTH - left - right, axes.get_yaxis_transform()

        def write(x: float, y: float, *lines: str, **look: Any) -> None:
            for number, line in enumerate(lines):
                lower = y + LINE * (number - (len(lines) - 1) / 2)
                axes.text(x / width, lower, printable(line), transform=of_rows, va="center", **look)

        set_axes(axes, ends, (height, 0), ("gain, points", ""))
        axes.xaxis.set_major_formatter(lambda value, _: signed(value, 4).rstrip("0").rstrip(".") or "0")
        axes.set_yticks([])
        axes.axvline(0, color=INK, linewidth=1)
        number = {"ha": "right", "size": 10}
        if published:
            write(width + right - published, -9, "reproduced", **number)
            write(width + right, -9, "published", **number)
        heading = ""
        for row, label, text, top, bottom in zip(rows, labels, texts, tops, bottoms, strict=True):
            if row.heading != heading:
                heading = row.heading
                write(-left, top - 10, heading, style="italic")
            band = (-left / width, 1 + right / width)
            axes.fill_between(band, top, bottom, transform=of_rows, color=PAGE, clip_on=False, gid=f"band:{row.run}")
            _paint_marks(axes, row, top, bottom)
            middle, look = (top + bottom) / 2, {"color": INK, "weight": "bold" if row.bold else "normal"}
            write(-left, middle, *label, **look)
            write(width + right - published, middle, *text, **number, **look)
            if published:
                value = "–" if row.published is None else signed(row.published, row.digits)
                write(width + right, middle, value, **number)

    alt = f"{title}. {'; '.join(row.alt for row in rows)}"
    return draw(alt, paint, (WIDTH, TOP + height + BOTTOM), (left, right, TOP, BOTTOM))


def _paint_marks(axes: Any, row: ForestRow, top: float, bottom: float) -> None:
    for number, mark in enumerate(row.marks, 1):
        y = top + (bottom - top) * number / (len(row.marks) + 1)
        if mark:
            axes.plot(mark.seeds, [y] * len(mark.seeds), "o", color=mark.color, markersize=3.5, alpha=0.5, mew=0)
            axes.plot(mark.ends or (), [y] * len(mark.ends or ()), color=mark.color, linewidth=1.8)
            axes.plot(mark.value, y, "s" if mark.color == ROW else "o", color=mark.color, markersize=7, mew=0)
        if row.published is not None:
            axes.plot(row.published, y, "D", color=INK, markerfacecolor="none", markersize=6, mew=1.2)


def draw_forests(tables: list[CellTable]) -> list[Figure]:
    """A figure for each table with a gain of one of METRICS.

    A metric is left out where earlier tables show all of its gains: the same runs over the same baselines.
    """
    figures = []
    drawn: set[tuple[str, ...]] = set()
    for table in tables:
        by_label = {row.row.label: row for row in table.rows}
        shown: dict[str, list[ForestRow]] = {}
        for place, column in enumerate(table.table.columns):
            pairs = [(row, by_label[row.row.baseline]) for row in table.rows if row.row.baseline]
            pairs = [(row, base) for row, base in pairs if row.cells[place].applicable]
            gained = {(column.id, row.run, base.run) for row, base in pairs if row.cells[place].gain}
            if column.id in METRICS and gained - drawn:
                drawn |= gained
                digits = min(DIGITS, *(row.cells[place].decimals for row, _ in pairs))
                mixed = len({is_ours(row.row) for row, _ in pairs}) > 1
                shown[column.label] = [
                    _row(
                        (row.row.label, row.run, f"over {base.row.label}"),
                        (row.cells[place], base.cells[place]),
                        digits,
                        ours=is_ours(row.row),
                        bold=mixed and is_ours(row.row),
                    )
                    for row, base in pairs
                ]
        if shown:
            ends = gain_axis([row for rows in shown.values() for row in rows])
            plots = [Plot(label, draw_forest(f"Gains of {label}", rows, ends)) for label, rows in shown.items()]
            figures.append(Figure(tuple(plots), table.table.id, table.table.title))
    return figures


def draw_main_gains(main: MainGains) -> Markup | None:
    """SGE's main gains in one forest, a group a metric; None where none was measured."""
    if not main.gains:
        return None
    gains = sorted(main.gains, key=lambda one: METRICS.index(one.cell.column.id))
    digits = min(DIGITS, *(one.cell.decimals for one in gains))
    rows = [_row((one.label, one.run, one.cell.column.label), (one.cell, one.baseline), digits) for one in gains]
    return draw_forest("SGE’s main gains", rows, gain_axis(rows))


def _row(
    names: tuple[str, str, str], cells: tuple[Cell, Cell], digits: int, *, ours: bool = True, bold: bool = False
) -> ForestRow:
    """A row by its label, run and heading, and its cell and that of its baseline."""
    (label, run, heading), (cell, baseline), gain = names, cells, cells[0].gain
    text = reason = cell.reason or cell.verdict
    mark, words = None, reason
    if gain:
        by_seed = [cell.seeds[seed] - baseline.seeds[seed] for seed in cell.seeds if seed in baseline.seeds]
        ends = None if gain.low is None or gain.high is None else (gain.low, gain.high)
        mark = Mark(gain.value, ends, ROW if ours else SOFT, by_seed if len(by_seed) > 1 else ())
        few = {1: "one training", 2: "two trainings"}.get(gain.seeds, "no interval")
        text = f"{signed(gain.value, digits)} {interval(ends, digits, sign=True) if ends else few}"
        text += f" {reason}" if reason in WITHHELD else ""
        words = f"gain {text}"
    published = cell.published_gain
    known = "gain not recovered" if published is None else signed(published, digits)
    alt = f"{label}: {words}; published {known}"
    return ForestRow(label, (mark,), alt, run, heading, text, published, digits, bold)
