"""Comparisons of the rows of a table: the best of each column, and how many gains were tested at once."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from operator import and_

from sgenet.config.names import parse_name
from sgenet.config.tables import Column, Row, Table
from sgenet.evaluation.verdicts import WITHHELD
from sgenet.judgement.cells import Cell, CellRow, CellTable

OURS = "sge"  # the module whose rows the paper is about


@dataclass(frozen=True)
class Family:
    """Gains of one column over one baseline that were tested at once, and how many exclude zero.

    `alone` counts those whose own interval does, `corrected` those that do after Holm's correction. `ours` and
    `ours_corrected` are the same two counts of SGE's rows.
    """

    column: str
    baseline: str
    tested: int
    alone: int
    corrected: int
    ours: int
    ours_corrected: int


@dataclass(frozen=True)
class Beaten:
    """A published value above SGE's in the same column, for the same depth and detector; `lead` is in the unit."""

    table: Table
    column: Column
    row: Row
    ours: Row
    lead: float


def peers(row: Row) -> tuple[str, int]:
    """What rows must share to be compared: detector and depth."""
    return row.run.rpartition("/")[0], parse_name(row.model)[1]


def is_ours(row: Row) -> bool:
    """Whether a row is of the module that the paper is about."""
    return parse_name(row.model)[0] == OURS


def rank(table: CellTable) -> CellTable:
    """Mark the best of each trained column among its peers, and adjust the p values of gains for their number.

    The best is the highest as printed; equals share it, and where there is nothing to compare with, there is none. A
    family of p values is a column's gains over one baseline (Holm 1979). Neither counts what did not learn.
    """
    from sgenet.evaluation.statistics import holm

    cells = [list(row.cells) for row in table.rows]
    for place, column in enumerate(table.table.columns):
        if not column.trained:
            continue
        for group in _groups(table, lambda row: peers(row.row)):
            values = [_printed(cells[number][place]) for number in group]
            for number, (value, published) in zip(group, values, strict=True):
                cells[number][place] = replace(
                    cells[number][place],
                    best=_best(value, [one for one, _ in values]),
                    best_published=_best(published, [one for _, one in values]),
                )
        for group in _groups(table, lambda row: row.row.baseline):
            judged = [cells[number][place] for number in group]
            gains = [None if cell.reason in WITHHELD else cell.gain for cell in judged]
            adjusted = holm([gain.p if gain else None for gain in gains])
            for number, p in zip(group, adjusted, strict=True):
                cells[number][place] = replace(cells[number][place], adjusted_p=p)
    rows = (replace(row, cells=tuple(own)) for row, own in zip(table.rows, cells, strict=True))
    return replace(table, rows=tuple(rows))


def multiplicity(table: CellTable, confidence: float) -> list[Family]:
    """Where several gains of a column over one baseline were tested at once: what Holm's correction leaves of them."""
    families = []
    for place, column in enumerate(table.table.columns):
        for group in _groups(table, lambda row: row.row.baseline):
            rows = [table.rows[number] for number in group]
            tested = [(row.row, row.cells[place]) for row in rows if row.cells[place].adjusted_p is not None]
            if len(tested) < 2:
                continue
            ours = [is_ours(row) for row, _ in tested]
            alone = [cell.gain is not None and cell.gain.direction != "undecided" for _, cell in tested]
            left = [cell.adjusted_p is not None and cell.adjusted_p <= 1 - confidence for _, cell in tested]
            families.append(
                Family(
                    column=column.label,
                    baseline=tested[0][1].baseline or "",
                    tested=len(tested),
                    alone=sum(alone),
                    corrected=sum(left),
                    ours=sum(map(and_, ours, alone)),
                    ours_corrected=sum(map(and_, ours, left)),
                )
            )
    return families


def beaten(tables: tuple[Table, ...]) -> list[Beaten]:
    """Published values of trained columns above SGE's own, each once, in the order of the tables."""
    found, seen = [], set()
    for table in tables:
        if not table.task.trained:
            continue
        for ours in filter(is_ours, table.rows):
            for row in table.rows:
                if peers(row) != peers(ours) or row is ours:
                    continue
                for column in (column for column in table.columns if column.trained):
                    key, lead = (table.run_id(row), table.run_id(ours), column.id), published_gain(row, ours, column)
                    if lead is not None and lead > 0 and key not in seen:
                        seen.add(key)
                        found.append(Beaten(table, column, row, ours, lead))
    return found


def published_gain(row: Row, over: Row, column: Column) -> float | None:
    """What one row gains over another by the published values, in the unit of the column."""
    values = [one.published.get(column.id) for one in (row, over)]
    if values[0] is None or values[1] is None:
        return None
    return round(values[0].value - values[1].value, 6)


def _groups(table: CellTable, key: Callable[[CellRow], Hashable]) -> list[list[int]]:
    """Numbers of the rows that share a key."""
    groups: dict[Hashable, list[int]] = {}
    for number, row in enumerate(table.rows):
        groups.setdefault(key(row), []).append(number)
    return list(groups.values())


def _printed(cell: Cell) -> tuple[float | None, float | None]:
    """The reproduced and the published value as printed."""
    published = cell.published.value if cell.published else None
    return (None if cell.value is None or cell.unlearned else round(cell.value, cell.decimals)), published


def _best(value: float | None, among: list[float | None]) -> bool:
    known = [one for one in among if one is not None]
    return value is not None and len(known) > 1 and value == max(known)
