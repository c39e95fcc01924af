"""Learning curves as small multiples: one panel per row, with the curves of its baseline, on common axes.

At scale `paper`, a panel also has what is known of the authors' log of the same model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from statistics import fmean

from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.inputs import CURVES
from sgenet.report.figures.plot import BASELINE, COLORS, INK, Figure, Line, Plot, Points, draw_lines, span

QUANTITIES = {"classification": "Validation Top-1, %", "detection": "Training loss"}  # CURVES in words
# Published columns whose values are on the axis of a panel: their name, and the dashes of their line
_REFERENCES: dict[str, tuple[str, tuple[float, ...]]] = {
    "top1": ("authors’ best epoch", ()),
    "top1_last": ("authors’ last epoch", (6, 3)),
    "top1_mean10": ("authors’ mean of the last ten", (1.5, 2.5)),
}
_LOOKS = (Line(), Line(color=BASELINE, dashes=(5, 3), hollow=True))  # of a row and of its baseline
_OF_LETTERS = dict(zip("ABCDEF", ((), (6, 3), (2, 3), (9, 2, 2, 2), (4, 2), (1, 2)), strict=True))

Epochs = list[dict[str, float]]
Histories = dict[str, dict[int, Epochs]]  # run -> seed -> one row an epoch


@dataclass(frozen=True)
class _Panel:
    """Lines, and what they show in words."""

    title: str
    lines: Sequence[Line]
    words: Sequence[str]
    run: str = ""


def by_run(rows: list[dict[str, str]]) -> Histories:
    """Sort the rows of a task's histories by run and seed."""
    histories: Histories = {}
    for (run, seed), group in groupby(rows, key=lambda row: (row["run"], row["seed"])):
        epochs = [{key: float(text) for key, text in row.items() if key not in ("run", "seed")} for row in group]
        histories.setdefault(run, {})[int(seed)] = epochs
    return histories


def published_references(tables: list[CellTable]) -> dict[str, list[Line]]:
    """The published values that the panel of a run shows; none below scale `paper`, where networks and data are others.

    Of the rows of a run, the one with most such values gives them: the authors' log, not what a README repeats of it.
    """
    found: dict[str, list[Line]] = {}
    for row in (row for table in tables if table.paper for row in table.rows):
        logged = "top1_last" in row.row.published
        references = [reference for cell in row.cells if (reference := _reference(cell, logged))]
        if len(references) > len(found.get(row.run, [])):
            found[row.run] = references
    return found


def _reference(cell: Cell, logged: bool) -> Line | None:
    """The published value of a cell; without a log it is not known of which epoch a Top-1 is."""
    if cell.published is None or cell.column.id not in _REFERENCES:
        return None
    (name, dashes), value = _REFERENCES[cell.column.id], cell.published.value
    label = f"{name if logged else 'published Top-1'} {value:.{cell.column.digits}f}"
    return Line(color=INK, width=1, dashes=dashes, level=value, label=label)


def make_figures(tables: list[CellTable], histories: dict[str, Histories]) -> list[Figure]:
    """The figures of the tables, from the histories by task. What an earlier table shows is not drawn again."""
    figures: list[Figure] = []
    published = published_references(tables)
    drawn: set[tuple[str, ...]] = set()  # pairs of runs, and each run alone
    for table in (table for table in tables if table.table.task in CURVES):
        task, of_task = table.table.task, histories[table.table.task]
        pairs = [pair for pair in _pairs(table, of_task) if tuple(pair.values()) not in drawn]
        drawn |= {tuple(pair.values()) for pair in pairs} | {(run,) for pair in pairs for run in pair.values()}
        panels = [_panel(task, pair, of_task, published.get(next(iter(pair.values())), [])) for pair in pairs]
        if plots := _draw(QUANTITIES[task], panels):
            figures.append(Figure(tuple(plots), table.table.id, f"{table.table.title}: {QUANTITIES[task]}"))
    return figures


def _pairs(table: CellTable, histories: Histories) -> Iterator[dict[str, str]]:
    """Labels and runs of each row with a history and of its baseline; a baseline alone where no row refers to it."""
    runs = {row.row.label: row.run for row in table.rows}
    referred = {row.row.baseline for row in table.rows if row.run in histories}
    for row in table.rows:
        label, baseline = row.row.label, row.row.baseline
        if row.run in histories and (baseline or label not in referred):
            yield {label: row.run} | ({baseline: runs[baseline]} if baseline else {})


def overlay(quantity: str, curves: Mapping[str, Mapping[str, Points]]) -> list[Plot]:
    """One panel a run, which shows its curves by replication, on common axes.

    Args:
        quantity: label of the values.
        curves: run -> letter of a replication -> curve.
    """
    panels = []
    for run, by_letter in curves.items():
        lines = [
            Line([curve], COLORS[letter], dashes=_OF_LETTERS[letter], dots=curve if len(curve) == 1 else ())
            for letter, curve in by_letter.items()
        ]
        words = [_words(f"replication {letter}", [curve]) for letter, curve in by_letter.items()]
        panels.append(_Panel(run.partition("/")[2], lines, words))
    return _draw(quantity, panels)


def _panel(task: str, pair: dict[str, str], histories: Histories, references: Sequence[Line]) -> _Panel:
    """The panel of a row and its baseline, by label their runs."""
    column = CURVES[task]
    lines, words = list(references), list[str]()
    for (label, run), look in zip(pair.items(), _LOOKS, strict=False):
        of_seeds = [
            [(row["epoch"], row[column]) for row in epochs if column in row]
            for epochs in histories.get(run, {}).values()
        ]
        if curves := list(filter(None, of_seeds)):
            best = [max(curve, key=itemgetter(1)) for curve in curves if column == "top1" or len(curve) == 1]
            lines.insert(len(references), replace(look, curves=curves, dots=best, run=run))  # the row is on top
            words.append(_words(label, curves))
    words += [line.label for line in references]
    return _Panel(" against ".join(pair), lines, words, next(iter(pair.values())))


def _words(label: str, curves: Sequence[Points]) -> str:
    first, last = (fmean(curve[place][1] for curve in curves) for place in (0, -1))
    of = f"{label}, mean of {len(curves)} seeds," if len(curves) > 1 else label
    return f"{of} from {first:.3g} to {last:.3g}"


def _draw(quantity: str, panels: Sequence[_Panel]) -> list[Plot]:
    """Draw panels on common axes; none where there is no curve."""
    lines = [line for panel in panels for line in panel.lines]
    points = [point for line in lines for curve in line.curves for point in curve]
    if not points:
        return []
    levels = [line.level for line in lines if line.level is not None]
    x_range, y_range = span([x for x, _ in points]), span([*(y for _, y in points), *levels])
    plots = []
    for panel in panels:
        alt, key = f"{quantity} by epoch: {'; '.join(panel.words)}", any(line.label for line in panel.lines)
        svg = draw_lines(alt, panel.lines, x_range, y_range, legend="inside" if key else "")
        plots.append(Plot(panel.title, svg, panel.run))
    return plots
