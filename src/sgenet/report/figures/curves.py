"""Learning curves as small multiples: one panel per row, with the curve of its baseline, on common axes.

At scale `paper`, a panel also has what is known of the authors' log of the same model. The panels are SVG, drawn by
templates/panel.svg: coloured by the page's style sheet (light, dark, print), the same bytes for the same histories.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from sgenet.judgement.cells import Cell, CellTable
from sgenet.report.figures.axes import Frame, Range, Ticks, mark, ticks

FRAME = Frame(width=280, height=170, left=42, right=10, top=10, bottom=32)  # of each panel
CURVES = {"classification": ("top1", "Validation Top-1, %"), "detection": ("loss", "Training loss")}
LINE = 13  # between the labels of references
# Published columns whose values are on the axis of a panel: kind of reference, and its name.
_REFERENCES = {
    "top1": ("best", "authors’ best epoch"),
    "top1_last": ("last", "authors’ last epoch"),
    "top1_mean10": ("mean", "authors’ mean of the last ten"),
}

Histories = dict[str, dict[int, list[dict[str, float]]]]  # run -> seed -> one row an epoch

Points = tuple[tuple[float, float], ...]  # (epoch, value)


@dataclass(frozen=True)
class Line:
    """One run with one seed: SVG points and, where one is best, the best."""

    kind: str  # "row", "baseline", or that of a replication
    points: Points
    best: tuple[float, float] | None


@dataclass(frozen=True)
class Reference:
    """A published value of the same model: "best", "last" or "mean", and what is written next to its line."""

    kind: str
    label: str
    value: float


@dataclass(frozen=True)
class Panel:
    """One row, of `run`, and its baseline. `references` are lines across the panel: height, and height of the label."""

    title: str
    alt: str
    lines: tuple[Line, ...]
    x_ticks: Ticks
    y_ticks: Ticks
    run: str = ""
    references: tuple[tuple[Reference, float, float], ...] = ()


@dataclass(frozen=True)
class Figure:
    """The panels of one table."""

    table: str
    title: str
    label: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class _Pair:
    """A row and its baseline, with the runs of both, and the published values of the row."""

    label: str
    baseline: str | None
    runs: tuple[str, ...]
    references: tuple[Reference, ...] = ()


def by_run(rows: list[dict[str, str]]) -> Histories:
    """Sort the rows of a task's histories by run and seed."""
    histories: Histories = {}
    for (run, seed), group in groupby(rows, key=lambda row: (row["run"], row["seed"])):
        epochs = [{key: float(text) for key, text in row.items() if key not in ("run", "seed")} for row in group]
        histories.setdefault(run, {})[int(seed)] = epochs
    return histories


def published_references(tables: list[CellTable]) -> dict[str, tuple[Reference, ...]]:
    """The published values that the panel of a run shows; none below scale `paper`, where networks and data are others.

    Of the rows of a run, the one with most such values gives them: the authors' log, not what a README repeats of it.
    """
    found: dict[str, tuple[Reference, ...]] = {}
    for row in (row for table in tables if table.paper for row in table.rows):
        logged = "top1_last" in row.row.published
        references = tuple(reference for cell in row.cells if (reference := _reference(cell, logged)))
        if len(references) > len(found.get(row.run, ())):
            found[row.run] = references
    return found


def _reference(cell: Cell, logged: bool) -> Reference | None:
    """The published value of a cell; without a log it is not known of which epoch a Top-1 is."""
    if cell.published is None or cell.column.id not in _REFERENCES:
        return None
    (kind, name), value = _REFERENCES[cell.column.id], cell.published.value
    return Reference(kind, f"{name if logged else 'published Top-1'} {value:.{cell.column.digits}f}", value)


def make_figures(tables: list[CellTable], histories: dict[str, Histories]) -> list[Figure]:
    """The figures of the tables, from the histories by task. What an earlier table shows is not drawn again."""
    figures: list[Figure] = []
    published = published_references(tables)
    drawn: set[tuple[str, ...]] = set()  # pairs of runs, and each run alone
    for table in tables:
        if table.table.task not in CURVES:
            continue
        of_task = histories[table.table.task]
        pairs = [pair for pair in _pairs(table, of_task, published) if pair.runs not in drawn]
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
            x_range = _range(epoch["epoch"] for epoch in epochs)
            shown = [reference.value for pair in pairs for reference in pair.references]
            y_range = _range([*(epoch[column] for epoch in epochs), *shown])
            panels = [_panel(pair, column, label, of_task, x_range, y_range) for pair in pairs]
            figures.append(Figure(table.table.id, table.table.title, label, tuple(panels)))
    return figures


def _pairs(table: CellTable, histories: Histories, published: Mapping[str, tuple[Reference, ...]]) -> list[_Pair]:
    """Each row with a history and its baseline; a baseline alone where no row refers to it."""
    runs = {row.row.label: row.run for row in table.rows}
    referred = {row.row.baseline for row in table.rows if row.run in histories}
    pairs = []
    for row in table.rows:
        label, baseline = row.row.label, row.row.baseline
        if row.run in histories and (baseline or label not in referred):
            both = (row.run, *([runs[baseline]] if baseline else []))
            pairs.append(_Pair(label, baseline, both, published.get(row.run, ())))
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
    lines.reverse()  # the row is drawn over its baseline
    below = FRAME.height - FRAME.bottom - LINE * len(pair.references)
    references = [
        (reference, y(reference.value), below + LINE * number) for number, reference in enumerate(pair.references, 1)
    ]
    ends += [reference.label for reference in pair.references]
    return Panel(
        title=f"{label} against {baseline}" if baseline else label,
        alt=f"{quantity} by epoch: {'; '.join(ends)}",
        lines=tuple(lines),
        x_ticks=mark(ticks(*x_range, whole=True), x),
        y_ticks=mark(ticks(*y_range), y),
        run=pair.runs[0],
        references=tuple(references),
    )


def run_panel(
    task: str, seeds: dict[int, list[dict[str, float]]], references: tuple[Reference, ...] = ()
) -> Panel | None:
    """The learning curves of one run alone, one per seed, and its published values; None where it has no history."""
    column, label = CURVES[task]
    epochs = [epoch for rows in seeds.values() for epoch in rows if column in epoch]
    if not epochs:
        return None
    x_range = _range(epoch["epoch"] for epoch in epochs)
    y_range = _range([*(epoch[column] for epoch in epochs), *(reference.value for reference in references)])
    return _panel(_Pair("the run", None, ("run",), references), column, label, {"run": seeds}, x_range, y_range)


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
