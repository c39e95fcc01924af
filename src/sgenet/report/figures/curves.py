"""Training curves as small multiples: one panel a row, its course against its baseline's, on common axes.

The panels are SVG drawn by templates/panel.svg: coloured by the page's style sheet (light, dark, print), the same
bytes for the same histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from sgenet.report.cells import CellTable
from sgenet.report.figures.axes import Frame, Range, Ticks, mark, ticks

FRAME = Frame(width=280, height=170, left=42, right=10, top=10, bottom=32)  # of each panel
CURVES = {"classification": ("top1", "Validation Top-1, %"), "detection": ("loss", "Training loss")}

Histories = dict[str, dict[int, list[dict[str, float]]]]  # run -> seed -> one row an epoch

Points = tuple[tuple[float, float], ...]  # (epoch, value)


@dataclass(frozen=True)
class Line:
    """One run with one seed: SVG points and, where one is best, the best."""

    kind: str  # "row", "baseline", or that of a replication
    points: Points
    best: tuple[float, float] | None


@dataclass(frozen=True)
class Panel:
    """One row against its baseline."""

    title: str
    alt: str
    lines: tuple[Line, ...]
    x_ticks: Ticks
    y_ticks: Ticks


@dataclass(frozen=True)
class Figure:
    """The panels of one table."""

    table: str
    title: str
    label: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class _Pair:
    """A row and its baseline, with the runs of both."""

    label: str
    baseline: str | None
    runs: tuple[str, ...]


def by_run(rows: list[dict[str, str]]) -> Histories:
    """Sort the rows of a task's histories by run and seed."""
    histories: Histories = {}
    for (run, seed), group in groupby(rows, key=lambda row: (row["run"], row["seed"])):
        epochs = [{key: float(text) for key, text in row.items() if key not in ("run", "seed")} for row in group]
        histories.setdefault(run, {})[int(seed)] = epochs
    return histories


def make_figures(tables: list[CellTable], histories: dict[str, Histories]) -> list[Figure]:
    """The figures of the tables, from the histories by task. What an earlier table shows is not drawn again."""
    figures: list[Figure] = []
    drawn: set[tuple[str, ...]] = set()  # pairs of runs, and each run alone
    for table in tables:
        if table.table.task not in CURVES:
            continue
        of_task = histories[table.table.task]
        pairs = [pair for pair in _pairs(table, of_task) if pair.runs not in drawn]
        drawn |= {pair.runs for pair in pairs} | {(run,) for pair in pairs for run in pair.runs}
        column, label = CURVES[table.table.task]
        epochs = [
            epoch
            for run in dict.fromkeys(run for pair in pairs for run in pair.runs)
            for rows in of_task.get(run, {}).values()
            for epoch in rows
            if column in epoch
        ]
        if epochs:
            x_range, y_range = _range(epoch["epoch"] for epoch in epochs), _range(epoch[column] for epoch in epochs)
            panels = [_panel(pair, column, label, of_task, x_range, y_range) for pair in pairs]
            figures.append(Figure(table.table.id, table.table.title, label, tuple(panels)))
    return figures


def _pairs(table: CellTable, histories: Histories) -> list[_Pair]:
    """Each row with a history and its baseline; a baseline alone where no row refers to it."""
    runs = {row.row.label: row.run for row in table.rows}
    referred = {row.row.baseline for row in table.rows if row.run in histories}
    pairs = []
    for row in table.rows:
        label, baseline = row.row.label, row.row.baseline
        if row.run in histories and (baseline or label not in referred):
            pairs.append(_Pair(label, baseline, (row.run, *([runs[baseline]] if baseline else []))))
    return pairs


def _panel(pair: _Pair, column: str, quantity: str, histories: Histories, x_range: Range, y_range: Range) -> Panel:
    label, baseline = pair.label, pair.baseline

    def x(epoch: float) -> float:
        return FRAME.x(epoch, x_range)

    def y(value: float) -> float:
        return FRAME.y(value, y_range)

    lines, ends = [], []
    for kind, name, run in zip(("row", "baseline"), (label, baseline), pair.runs, strict=False):
        for epochs in histories.get(run, {}).values():
            values = [(row["epoch"], row[column]) for row in epochs if column in row]
            if not values:
                continue
            best = max(values, key=lambda point: point[1]) if column == "top1" else None
            points = tuple((x(epoch), y(value)) for epoch, value in values)
            lines.append(Line(kind, points, (x(best[0]), y(best[1])) if best else None))
            ends.append(f"{name} from {values[0][1]:.3g} to {values[-1][1]:.3g}")
    lines.reverse()  # the row lies over its baseline
    return Panel(
        title=f"{label} against {baseline}" if baseline else label,
        alt=f"{quantity} by epoch: {'; '.join(ends)}",
        lines=tuple(lines),
        x_ticks=mark(ticks(*x_range, whole=True), x),
        y_ticks=mark(ticks(*y_range), y),
    )


def run_panel(task: str, seeds: dict[int, list[dict[str, float]]]) -> Panel | None:
    """The course of one run alone, every seed of it; None where it left none."""
    column, label = CURVES[task]
    epochs = [epoch for rows in seeds.values() for epoch in rows if column in epoch]
    if not epochs:
        return None
    x_range, y_range = _range(epoch["epoch"] for epoch in epochs), _range(epoch[column] for epoch in epochs)
    return _panel(_Pair("the run", None, ("run",)), column, label, {"run": seeds}, x_range, y_range)


def overlay(quantity: str, curves: dict[str, dict[str, Points]]) -> list[Panel]:
    """One panel a run, which shows its curves by replication, on common axes.

    Args:
        quantity: label of the values.
        curves: run -> kind of line, which is that of a replication in the style sheet -> curve.
    """
    points = [point for by_kind in curves.values() for curve in by_kind.values() for point in curve]
    x_range, y_range = (_range(point[axis] for point in points) for axis in (0, 1))

    def x(epoch: float) -> float:
        return FRAME.x(epoch, x_range)

    def y(value: float) -> float:
        return FRAME.y(value, y_range)

    return [
        Panel(
            title=run.partition("/")[2],
            alt=f"{quantity} by epoch: "
            + "; ".join(
                f"{kind} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for kind, curve in by_kind.items() if curve
            ),
            lines=tuple(
                Line(kind, tuple((x(epoch), y(value)) for epoch, value in curve), None)
                for kind, curve in by_kind.items()
                if curve
            ),
            x_ticks=mark(ticks(*x_range, whole=True), x),
            y_ticks=mark(ticks(*y_range), y),
        )
        for run, by_kind in curves.items()
    ]


def _range(values: Iterable[float]) -> Range:
    found = list(values)
    low, high = min(found), max(found)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
