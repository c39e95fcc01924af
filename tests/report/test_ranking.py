"""The best of each column, the correction for several gains, and the first screen's sentence and counts."""

import pytest

from sgenet.config.replication import Replication
from sgenet.config.tables import Column, Published, Row, Table
from sgenet.evaluation.statistics import Gain
from sgenet.report.cells import Cell, CellRow, CellTable
from sgenet.report.overview import overview
from sgenet.report.ranking import Family, multiplicity, rank
from sgenet.report.results import Found, RunResults
from sgenet.report.verdicts import CATEGORIES, VERDICTS, category_counts

TOP1 = Column(id="top1", label="Top-1", digits=1)
PARAMS = Column(id="params", label="#P", digits=2, measured="static")
ROWS = ["resnet50", "se-resnet50", "cbam-resnet50", "sge-resnet50", "resnet101", "sge-resnet101"]
VALUES = [70.0, 71.04, 71.0, 60.0, 80.0, None]  # 71.04 is printed as 71.0
PUBLISHED = [76.4, 77.2, 77.6, 77.6, 78.2, 78.8]
P = [None, 0.01, 0.04, 0.03, None, 0.04]


def cell_table() -> CellTable:
    rows = []
    for run, value, published, p in zip(ROWS, VALUES, PUBLISHED, P, strict=True):
        depth = run.rpartition("resnet")[2]
        baseline = None if run.startswith("resnet") else f"resnet{depth}"
        gain = Gain(1.0, 0.5, 1.5, 0.95, 100, "made up", p, "images") if p else None
        cell = Cell(
            TOP1,
            "same direction" if gain else "baseline",
            Published(value=published, source=("H",)),
            value=value,
            gain=gain,
            baseline=baseline,
            published_gain=1.2 if gain else None,
        )
        count = Cell(PARAMS, "exact", Published(value=25.6, source=("H",)), value=25.6)
        row = Row(label=run, run=run, model=run, baseline=baseline)
        rows.append(CellRow(row, f"classification/{run}", (cell, count)))
    of_table = tuple(row.row for row in rows)
    table = Table(id="one", title="One", task="classification", columns=(TOP1, PARAMS), rows=of_table)
    return CellTable(table, tuple(rows))


def test_the_best_of_a_depth_as_printed() -> None:
    cells = [row.cells for row in rank(cell_table()).rows]
    assert [cell.best for cell, _ in cells] == [False, True, True, False, False, False]  # of depth 101 there is but one
    assert [cell.best_published for cell, _ in cells] == [False, False, True, True, False, True]
    assert not any(count.best or count.best_published for _, count in cells)


def test_holm_within_a_column_and_baseline() -> None:
    """By hand: of 0.01, 0.03, 0.04 the smallest counts three times, the next twice, none less than the one before."""
    table = rank(cell_table())
    adjusted = [row.cells[0].adjusted_p for row in table.rows]
    assert adjusted[0] is None and adjusted[4] is None
    assert [adjusted[place] for place in (1, 3, 2)] == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted[5] == 0.04  # alone over its baseline
    assert multiplicity(table, 0.95) == [
        Family("Top-1", "resnet50", tested=3, alone=3, corrected=1, ours=1, ours_corrected=0)
    ]


def test_first_screen(replication: Replication) -> None:
    results = RunResults("classification/sge-resnet50")
    told = overview(replication, [cell_table(), cell_table()], Found({results.id: results}, {}, None))
    assert "has the published direction in 2 of 2 comparisons" in told.sentence  # each once, though in two tables
    assert "12 of 12 published cells" in told.sentence
    assert (told.trainings, told.newest, told.seconds) == ((0, 1), None, 0)
    assert dict(told.counts) == {
        "exact": 12, "within tolerance": 0, "direction only": 8, "differs": 0, "failed": 0, "not run": 0,
        "other": 4,
    }  # fmt: skip


def test_every_verdict_is_counted_once() -> None:
    members = [verdict for verdicts in CATEGORIES.values() for verdict in verdicts]
    assert len(members) == len(set(members)) and set(members) <= VERDICTS.keys()
    counts = category_counts(list(VERDICTS))
    assert sum(count for _, count in counts) == len(VERDICTS) - 1  # a cell that cannot be is none
