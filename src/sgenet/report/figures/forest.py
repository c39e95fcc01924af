"""Gains as forest plots: one line a row of a table, its interval against zero, and the published gain.

This module computes their geometry. Positions are percent of a plot's width, so that templates/forest.html draws a plot
as wide as its column of the page is, with marks and text of the same size everywhere.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sgenet.judgement.cells import Cell, CellRow, CellTable
from sgenet.judgement.main_gains import MainGains
from sgenet.judgement.ranking import is_ours
from sgenet.report.figures.axes import Range, Ticks, at, ticks

if TYPE_CHECKING:
    from sgenet.evaluation.trainings import Gain

METRICS = ("top1", "ap", "mask_ap", "ap_small", "ap_medium", "ap_large")  # the paper's claims are about these
DIGITS = 2  # at most: intervals are wider than further ones
MARGIN = 4.0  # percent of the width, free at either end for half a mark
MOST_TICKS = 5


@dataclass(frozen=True)
class GainAxis:
    """The axis of gains from `low` to `high`, which includes zero; positions are percent of the width."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> "GainAxis":
        """Return the axis that includes these values."""
        found = [0.0, *values]
        low, high = min(found), max(found)
        return cls(low, high) if low < high else cls(-1.0, 1.0)

    def place(self, value: float) -> float:
        """Return the position of a gain."""
        return at(value, (self.low, self.high), (MARGIN, 100 - MARGIN), 2)

    @property
    def ticks(self) -> Ticks:
        """Round gains with their positions."""
        return tuple((self.place(tick), _signed(tick)) for tick in ticks(self.low, self.high, MOST_TICKS))


@dataclass(frozen=True)
class ForestRow:
    """A row over its baseline: gains in points, and their positions on the axis; None where there is none.

    `reason` is why a gain is missing, or not judged. `seeds` are the gains of single seeds.
    """

    label: str
    run: str
    ours: bool
    reason: str
    gain: "Gain | None"
    published: float | None
    at: float | None
    ends: Range | None
    published_at: float | None
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Forest:
    """Gains on one axis, in the order of the table, in groups with a heading; `label` is what they are gains of."""

    label: str
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


@dataclass(frozen=True)
class _Entry:
    """A row of a plot before it is drawn: the cell of a gain, that of its baseline, and the heading of its group."""

    heading: str
    label: str
    run: str
    ours: bool
    cell: Cell
    baseline: Cell


def draw_forests(tables: list[CellTable]) -> list[ForestFigure]:
    """A figure for each table with a gain of one of METRICS.

    A metric is left out where earlier tables show all of its gains: the same runs over the same baselines.
    """
    figures = []
    drawn: set[tuple[str, ...]] = set()
    for table in tables:
        by_label = {row.row.label: row for row in table.rows}
        shown = []
        for place, column in enumerate(table.table.columns):
            rows = [row for row in table.rows if row.row.baseline and row.cells[place].applicable]
            gained = {
                (column.id, row.run, by_label[row.row.baseline or ""].run)
                for row in rows
                if row.cells[place].gain is not None
            }
            if column.id in METRICS and gained - drawn:
                drawn |= gained
                entries = [_entry(row, by_label[row.row.baseline or ""], place) for row in rows]
                shown.append((column.label, min(DIGITS, *(entry.cell.decimals for entry in entries)), entries))
        if shown:
            figures.append(_figure(table.table.id, table.table.title, shown))
    return figures


def draw_main_gains(main: MainGains) -> ForestFigure | None:
    """SGE's main gains in one forest, a group a metric; None where none was measured."""
    if not main.gains:
        return None
    entries = [
        _Entry(one.cell.column.label, one.label, one.run, True, one.cell, one.baseline)
        for one in sorted(main.gains, key=lambda one: METRICS.index(one.cell.column.id))
    ]
    digits = min(DIGITS, *(entry.cell.decimals for entry in entries))
    return _figure("main", "SGE’s main gains", [("SGE", digits, entries)])


def _entry(row: CellRow, baseline: CellRow, place: int) -> _Entry:
    heading = f"over {row.row.baseline}"
    return _Entry(heading, row.row.label, row.run, is_ours(row.row), row.cells[place], baseline.cells[place])


def _figure(table: str, title: str, shown: list[tuple[str, int, list[_Entry]]]) -> ForestFigure:
    axis = GainAxis.over(bound for _, _, entries in shown for entry in entries for bound in _bounds(entry))
    place = axis.place
    return ForestFigure(
        table=table,
        title=title,
        mixed=len({entry.ours for _, _, entries in shown for entry in entries}) > 1,
        zero=place(0),
        ticks=axis.ticks,
        forests=tuple(
            Forest(
                label,
                digits,
                tuple(
                    (heading, tuple(_row(entry, place) for entry in group))
                    for heading, group in groupby(entries, key=lambda entry: entry.heading)
                ),
            )
            for label, digits, entries in shown
        ),
    )


def _row(entry: _Entry, place: Callable[[float], float]) -> ForestRow:
    gain, published = entry.cell.gain, entry.cell.published_gain
    ends = None
    if gain and gain.low is not None and gain.high is not None:
        ends = (place(gain.low), place(gain.high))
    return ForestRow(
        label=entry.label,
        run=entry.run,
        ours=entry.ours,
        reason=entry.cell.reason or entry.cell.verdict,
        gain=gain,
        published=published,
        at=place(gain.value) if gain else None,
        ends=ends,
        published_at=None if published is None else place(published),
        seeds=tuple(place(value) for value in _by_seed(entry)),
    )


def _by_seed(entry: _Entry) -> list[float]:
    """The gain of each seed that both rows have; none of a single seed, which is the gain itself."""
    own, base = entry.cell.seeds, entry.baseline.seeds
    both = [own[seed] - base[seed] for seed in own if seed in base]
    return both if len(both) > 1 and entry.cell.gain else []


def _bounds(entry: _Entry) -> list[float]:
    """All values that the axis must include."""
    gain = entry.cell.gain
    values = [gain.value, gain.low, gain.high] if gain else []
    return [value for value in (*values, entry.cell.published_gain, *_by_seed(entry)) if value is not None]


def _signed(tick: float) -> str:
    return f"{tick:+g}".replace("-", "\N{MINUS SIGN}") if tick else "0"
