"""Gains as forest plots: one line a row of a table, its interval against zero, and the published gain.

This module computes their geometry. Positions are percent of a plot's width, so that templates/forest.html draws a plot
as wide as its column of the page is, with marks and text of the same size everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sgenet.config.tables import Column
from sgenet.report.cells import Cell, CellRow, CellTable
from sgenet.report.figures.axes import Range, Ticks, at, ticks
from sgenet.report.ranking import is_ours

if TYPE_CHECKING:
    from sgenet.evaluation.trainings import Gain

METRICS = ("top1", "ap", "mask_ap", "ap_small", "ap_medium", "ap_large")  # the paper's claims are about these
DIGITS = 2  # at most: intervals are wider than further ones
MARGIN = 4.0  # percent of the width, free at either end for half a mark
MOST_TICKS = 5


@dataclass(frozen=True)
class ForestRow:
    """A row over its baseline: gains in points, and their positions on the axis; None where there is none.

    `reason` is why a gain is missing, or not judged.
    """

    label: str
    ours: bool
    reason: str
    gain: "Gain | None"
    published: float | None
    at: float | None
    ends: Range | None
    published_at: float | None


@dataclass(frozen=True)
class Forest:
    """The gains of one metric, in the order of the table, grouped by the baseline that they are over."""

    column: Column
    digits: int
    groups: tuple[tuple[str, tuple[ForestRow, ...]], ...]


@dataclass(frozen=True)
class ForestFigure:
    """The forests of one table, which share their axis; `zero` is a position.

    `mixed`: there are rows of SGE and others.
    """

    table: str
    title: str
    mixed: bool
    zero: float
    ticks: Ticks
    forests: tuple[Forest, ...]


def draw_forests(tables: list[CellTable]) -> list[ForestFigure]:
    """A figure for each table with a gain of one of METRICS.

    A metric is left out where earlier tables show all of its gains: the same runs over the same baselines.
    """
    figures = []
    drawn: set[tuple[str, ...]] = set()
    for table in tables:
        runs = {row.row.label: row.run for row in table.rows}
        shown = []
        for place, column in enumerate(table.table.columns):
            rows = [row for row in table.rows if row.row.baseline and row.cells[place].applicable]
            gained = {
                (column.id, row.run, runs[row.row.baseline or ""]) for row in rows if row.cells[place].gain is not None
            }
            if column.id in METRICS and gained - drawn:
                drawn |= gained
                shown.append((column, [(row, row.cells[place]) for row in rows]))
        if shown:
            figures.append(_figure(table, shown))
    return figures


def _figure(table: CellTable, shown: list[tuple[Column, list[tuple[CellRow, Cell]]]]) -> ForestFigure:
    bounds = [bound for _, rows in shown for _, cell in rows for bound in _bounds(cell)]
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    if low == high:
        low, high = -1.0, 1.0

    def place(value: float) -> float:
        return at(value, (low, high), (MARGIN, 100 - MARGIN), 2)

    return ForestFigure(
        table=table.table.id,
        title=table.table.title,
        mixed=len({is_ours(row.row) for _, rows in shown for row, _ in rows}) > 1,
        zero=place(0),
        ticks=tuple((place(tick), _signed(tick)) for tick in ticks(low, high, MOST_TICKS)),
        forests=tuple(
            Forest(
                column,
                min(column.digits, DIGITS),
                tuple(
                    (str(baseline), tuple(_row(row, cell, place) for row, cell in group))
                    for baseline, group in groupby(rows, key=lambda pair: pair[0].row.baseline)
                ),
            )
            for column, rows in shown
        ),
    )


def _row(row: CellRow, cell: Cell, place: Callable[[float], float]) -> ForestRow:
    gain, published = cell.gain, cell.published_gain
    ends = None
    if gain and gain.low is not None and gain.high is not None:
        ends = (place(gain.low), place(gain.high))
    return ForestRow(
        label=row.row.label,
        ours=is_ours(row.row),
        reason=cell.reason or cell.verdict,
        gain=gain,
        published=published,
        at=place(gain.value) if gain else None,
        ends=ends,
        published_at=None if published is None else place(published),
    )


def _bounds(cell: Cell) -> list[float]:
    """All values of a cell that the axis must include."""
    values = [cell.gain.value, cell.gain.low, cell.gain.high] if cell.gain else []
    return [value for value in (*values, cell.published_gain) if value is not None]


def _signed(tick: float) -> str:
    return f"{tick:+g}".replace("-", "\N{MINUS SIGN}") if tick else "0"
