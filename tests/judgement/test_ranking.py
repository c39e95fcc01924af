"""The best of each column, the correction for several gains, and the first screen's sentence and counts."""

from dataclasses import replace

import pytest

from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.scales import Scale
from sgenet.config.tables import Column, Published, Row, Table
from sgenet.evaluation.trainings import Gain
from sgenet.evaluation.verdicts import DID_NOT_LEARN, Verdict
from sgenet.judgement import Judged, judge
from sgenet.judgement.cells import Cell, CellRow, CellTable
from sgenet.judgement.inputs import Missing
from sgenet.judgement.main_gains import MainGain, MainGains
from sgenet.judgement.ranking import Family, multiplicity, rank
from sgenet.judgement.results import Found, RunResults
from sgenet.report.overview import Overview, overview
from support import results as make

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
        gain = Gain(1.0, 3, 0.95, 0.5, 1.5, p) if p else None
        cell = Cell(
            TOP1,
            Verdict.SAME if gain else Verdict.NOT_JUDGED,
            published=Published(value=published, source=("H",)),
            value=value,
            gain=gain,
            baseline=baseline,
            published_gain=1.2 if gain else None,
        )
        origin = {"model": run, "input": [224, 224], "part": "network"}
        count = Cell(PARAMS, Verdict.EXACT, "", Published(value=25.6, source=("H",)), value=25.6, origin=origin)
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


def test_what_did_not_learn_is_not_among_the_tested() -> None:
    table = cell_table()
    rows = list(table.rows)
    first = replace(rows[1].cells[0], verdict=Verdict.NOT_JUDGED, reason=DID_NOT_LEARN)
    rows[1] = replace(rows[1], cells=(first, rows[1].cells[1]))
    adjusted = [row.cells[0].adjusted_p for row in rank(replace(table, rows=tuple(rows))).rows]
    assert adjusted[1] is None and [adjusted[place] for place in (3, 2)] == pytest.approx([0.06, 0.06])


def changed(table: CellTable, row: int, verdict: Verdict) -> CellTable:
    """The table with this verdict on the count of a row."""
    rows = list(table.rows)
    rows[row] = replace(rows[row], cells=(rows[row].cells[0], replace(rows[row].cells[1], verdict=verdict)))
    return replace(table, rows=tuple(rows))


def first_screen(replication: Replication, tables: list[CellTable], runs: int = 1) -> Overview:
    results = {run: RunResults(run) for run in list(replication.runs)[:runs]}
    main = [MainGain("SGE", "classification/sge-resnet50", tables[0].rows[3].cells[0], tables[0].rows[0].cells[0])]
    main_gains = MainGains(tuple(main), None)
    return overview(Judged(replication, Found(results), Missing(), {}, {}, tables, [], main_gains, []))


def test_first_screen(replication: Replication) -> None:
    shown = first_screen(replication, [cell_table(), cell_table()])
    assert shown.sentences == [
        "0 of 1 trainings ran.",
        "6 of 6 published counts of parameters and operations are equal.",  # each once, though in two tables
        "At this scale SGE helps: SGE +1.0 Top-1 [+0.5, +1.5], over 3 trainings of each row.",
    ]
    assert (shown.trainings, shown.newest, shown.seconds) == ((0, 1), None, 0)
    assert shown.counts == [(Verdict.EXACT, 12), (Verdict.SAME, 8), (Verdict.NOT_JUDGED, 4)]


def test_counts_that_differ_are_named(replication: Replication) -> None:
    table = changed(changed(cell_table(), 0, Verdict.EXPLAINED), 1, Verdict.DIFFERS)
    (counts,) = [one for one in first_screen(replication, [table, table]).sentences if "counts" in one]
    assert (
        counts
        == "4 of 6 published counts of parameters and operations are equal, 1 differs for a known reason, 1 differs."
    )


def test_findings_by_chance(replication: Replication) -> None:
    """Of twenty comparisons at 95 % one is expected; the same ones in a second table are no others."""
    table = cell_table()
    columns = [TOP1.model_copy(update={"id": name}) for name in ("top1", "top5", "top1_last", "top1_mean10", "ap")]
    rows = [replace(row, cells=tuple(replace(row.cells[0], column=column) for column in columns)) for row in table.rows]
    wide = replace(table, rows=tuple(rows))
    for tables in ([wide], [wide, wide]):
        chance = first_screen(replication, tables).chance
        assert chance.startswith("20 different gains ") and "about 1 would exclude zero by chance" in chance


@pytest.mark.parametrize(
    ("mean", "sentence"),
    [
        (
            61.4,
            "The run is as expected: 1 of 1 values are within three standard deviations of params/scales/demo.yaml.",
        ),
        (
            61.6,
            "The run is not as expected: 1 of 1 values differ from params/scales/demo.yaml: "
            "classification/resnet50 top1 60.0, expected 61.6 ± 0.5.",
        ),
    ],
)
def test_expected_values(replication: Replication, mean: float, sentence: str) -> None:
    """Within three standard deviations of 60, which is made up; what was not measured is not counted."""
    expected = {"top1": {"mean": mean, "sd": 0.5}, "ap": {"mean": 1.0, "sd": 0.1}}
    plain = replication.scale.plain() | {"expected": dict.fromkeys((make.BASE, "classification/other"), expected)}
    other = replace(replication, scale=validate(Scale, plain, "demo.yaml"))
    assert sentence in overview(replace(judge(replication), replication=other)).sentences


def test_without_trainings_the_first_screen_mentions_none(replication: Replication) -> None:
    shown = first_screen(replication, [cell_table()], runs=0)
    assert not any("trainings ran" in one for one in shown.sentences)
