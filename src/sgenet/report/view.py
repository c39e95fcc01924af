"""What the tables show, whatever the format: each part of a cell as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from sgenet.config.tables import Column
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.cells import Cell, CellTable
from sgenet.report.formats import CONFIDENCE_MARKS, interval, number, printed, signed

COUNT = "count"  # on the page, all parts of a count are in one cell that opens


@dataclass(frozen=True)
class Part:
    """A part of a cell: its text, empty where it has no value; an interval, and remarks in a few words.

    `number` is what the text rounds, `bold` marks the best of its peers, `mark` the confidence in a published value.
    """

    name: str
    text: str = ""
    number: float | None = None
    bold: bool = False
    mark: str = ""
    interval: str = ""
    remarks: tuple[str, ...] = ()


def show(table: CellTable, cell: Cell) -> dict[str, Part]:
    """The parts of a cell by name, in the order of its column; none where the row has no such value."""
    return {name: _part(name, table, cell) for name in table.parts(cell.column)} if cell.applicable else {}


def names_on_page(table: CellTable, column: Column) -> tuple[str, ...]:
    """The parts of a column on the page: what was reproduced first, and a count in one."""
    names = table.parts(column)
    if column.static and "verdict" in names:
        return (COUNT,)
    return tuple(sorted(names, key=lambda name: name != "reproduced"))


def order(table: CellTable) -> list[int]:
    """The places of the columns on the page: trained ones first."""
    columns = table.table.columns
    return sorted(range(len(columns)), key=lambda place: not columns[place].trained)


def number_notes(table: CellTable) -> dict[str, int]:
    """The notes of a table's columns, rows and published values, each once, in reading order, with their numbers."""
    texts = [column.note for column in table.table.columns]
    for row in table.rows:
        texts += [row.row.note, row.remark]
        for cell in row.cells:
            if cell.published:
                texts += [cell.published.note, cell.published.difference]
    return {text: number for number, text in enumerate(dict.fromkeys(filter(None, texts)), 1)}


def resolutions_of(table: CellTable) -> list[tuple[str, list[str], float]]:
    """The smallest published gains with a direction: reason, labels of the columns that share it, size."""
    found: dict[tuple[str, float], list[str]] = {}
    for column in table.table.columns:
        if column.resolution:
            found.setdefault((column.resolution.reason, column.resolution.value), []).append(column.label)
    return [(reason, labels, size) for (reason, size), labels in found.items()]


def _part(name: str, table: CellTable, cell: Cell) -> Part:
    match name:
        case "published":
            if not cell.published:
                return Part(name, remarks=(cell.unpublished,))
            value = cell.published.value
            mark = CONFIDENCE_MARKS[cell.published.confidence]
            return Part(name, printed(value, cell.column.digits), value, bold=cell.best_published, mark=mark)
        case "reproduced":
            text = "" if cell.value is None else number(cell.value, cell.decimals)
            bounds = interval(cell.interval, cell.decimals) if text and cell.interval else ""
            return Part(name, text, cell.value, cell.best, interval=bounds, remarks=tuple(_on_value(table, cell)))
        case "gain":
            return _gain(table, cell)
        case "verdict":
            needed = f"{cell.needed} trainings of each row would decide it with a probability of 80 %"
            remarks = [cell.reason] * bool(cell.reason) + [needed] * bool(cell.needed)
            return Part(name, cell.verdict, remarks=tuple(remarks))
        case "published gain":
            return _signed(name, cell.published_gain, cell.column.digits)
    return _signed(name, cell.difference, cell.decimals)


def _signed(name: str, value: float | None, digits: int) -> Part:
    return Part(name) if value is None else Part(name, signed(value, digits), value)


def _gain(table: CellTable, cell: Cell) -> Part:
    gain = cell.gain
    if not gain:
        return Part("gain")
    bounds = "" if gain.low is None or gain.high is None else interval((gain.low, gain.high), cell.decimals, sign=True)
    seeds = [
        set(one.seeds)
        for row in table.rows
        for one in row.cells
        if one.column is cell.column and row.row.label == cell.baseline
    ]
    shared = sorted(cell.seeds.keys() & set().union(*seeds))
    remarks = []
    if any(len(own) > len(shared) for own in (cell.seeds, *seeds)):  # the values in the table are means over more
        remarks.append(f"both of seed {shared[0]}" if len(shared) == 1 else f"of the {len(shared)} seeds of both")
    return Part("gain", signed(gain.value, cell.decimals), gain.value, interval=bounds, remarks=tuple(remarks))


def _on_value(table: CellTable, cell: Cell) -> Sequence[str]:
    """What is said about a reproduced value, or in place of it."""
    remarks, columns = [], [column.id for column in table.table.columns]
    if cell.value is None:
        if cell.column.timed or (cell.verdict is Verdict.FAILED and "verdict" not in table.parts(cell.column)):
            remarks.append(cell.reason or cell.verdict)
    else:
        if cell.unlearned:
            remarks.append("did not learn")
        if len(cell.seeds) > 1:
            remarks.append(f"mean of {len(cell.seeds)}")
        last = "" if cell.last is None else number(cell.last, cell.decimals)
        if last and last != number(cell.value, cell.decimals) and f"{cell.column.id}_last" not in columns:
            remarks.append(f"last {last}")
    if cell.released:
        value, digits = cell.released[0], cell.column.digits
        compared = table.paper and cell.published
        more = f" ({signed(value - cell.published.value, digits)})" if compared and cell.published else ""
        remarks.append(f"released weights: {number(value, digits)}{more}")
    return remarks
