"""The main gains of SGE, and how much of the published ones is reproduced over all of them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sgenet.config import claims
from sgenet.config.replication import Replication
from sgenet.evaluation.verdicts import WITHHELD, Verdict
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.results import Found

if TYPE_CHECKING:
    from sgenet.evaluation.trainings import Ratio


@dataclass(frozen=True)
class MainGain:
    """The label and run of a row, its cell, and the cell of its baseline."""

    label: str
    run: str
    cell: Cell
    baseline: Cell


@dataclass(frozen=True)
class MainGains:
    """The main gains that were measured, and their common ratio to the published ones.

    The ratio is None below scale `paper`, where nothing is compared with a published size.
    """

    gains: tuple[MainGain, ...]
    ratio: "Ratio | None"


def measure(asked: list[claims.MainGain], replication: Replication, tables: list[CellTable], found: Found) -> MainGains:
    """Find the cells of the main gains, without rows that were not chosen or, as their baselines, did not learn."""
    from sgenet.evaluation.trainings import PublishedGain, gain_ratio

    by_id = {table.table.id: table for table in tables}
    measured, gains = [], []
    for main in asked:
        if main.table not in by_id:
            continue
        table = by_id[main.table]
        runs = {row.row.label: (row.run, row) for row in table.rows}
        if main.row not in runs:
            continue
        run, row = runs[main.row]
        place = [column.id for column in table.table.columns].index(main.column)
        cell = row.cells[place]
        unusable = cell.verdict is Verdict.FAILED or cell.reason in WITHHELD
        if not cell.gain or cell.baseline is None or unusable:
            continue
        base, base_row = runs[cell.baseline]
        measured.append(MainGain(main.row, run, cell, base_row.cells[place]))
        if cell.published_gain:
            before, after = (found.runs[id].values(main.column) for id in (base, run))
            part = base_row.row.model, row.row.model
            gains.append(PublishedGain(cell.published_gain, before, after, cell.gain.variance or 0.0, part))
    if not all(gain.variance for gain in gains):  # equal weights, as there are no others for all of them
        gains = [replace(gain, variance=1.0) for gain in gains]
    ratio = gain_ratio(gains, replication.pipeline.report.confidence) if replication.scale_name == "paper" else None
    return MainGains(tuple(measured), ratio)
