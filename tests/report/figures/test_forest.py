"""Forest plots: gains where the ticks of their axis say, which gains are drawn, and their texts."""

from dataclasses import replace

import pytest

from sgenet.config.tables import Column, Row, Table
from sgenet.evaluation.trainings import Gain
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.cells import BASELINE, NOT_APPLICABLE, Cell, CellRow, CellTable
from sgenet.report.environment import make_environment
from sgenet.report.figures.forest import draw_forests
from sgenet.report.figures.plot import Figure
from support.plots import Drawn, drawn

Gained = tuple[float, float | None, float | None] | None
BOLD = "font-weight: 700"
TOP1 = Column(id="top1", label="Top-1", digits=3)


def cell(
    column: Column, gain: Gained, published: float | None, verdict: Verdict = Verdict.UNDECIDED, reason: str = ""
) -> Cell:
    found = Gain(gain[0], 3, 0.95, gain[1], gain[2]) if gain else None
    return Cell(column, verdict, reason, published_gain=published, gain=found, baseline="plain")


def table(rows: dict[str, list[Cell]], name: str = "one", task: str = "classification") -> CellTable:
    """Rows by model name, each over `plain`, which the table holds as well."""
    (columns,) = {tuple(one.column for one in cells) for cells in rows.values()}
    plain = Row(label="plain", run="resnet50", model="resnet50")
    found = [
        CellRow(plain, f"{task}/resnet50", tuple(Cell(column, Verdict.NOT_JUDGED, BASELINE) for column in columns))
    ]
    for model, cells in rows.items():
        row = Row(label=f"{model} row", run=model, model=model, baseline="plain")
        found.append(CellRow(row, f"{task}/{model}", tuple(cells)))
    of_table = tuple(row.row for row in found)
    described = Table(id=name, title=f"Table {name}", task=task, columns=columns, rows=of_table)
    return CellTable(described, tuple(found))


def render(figures: list[Figure], *, paper: bool = False) -> str:
    template = make_environment().get_template("forest.html")
    return template.render(forests=figures, paper=paper, confidence="95")


def test_all_lies_on_one_linear_axis() -> None:
    ap, small = Column(id="ap", label="AP", digits=1), Column(id="ap_small", label="AP small", digits=1)
    gains: dict[str, list[tuple[tuple[float, float, float], float]]] = {
        "se-resnet50": [((1.5, -0.4, 3.1), 0.8), ((-2.0, -4.0, 0.5), -0.3)],
        "sge-resnet50": [((4.2, 2.2, 6.3), 1.2), ((7.7, 5.0, 9.9), 1.9)],
    }
    made = {
        model: [cell(column, *one) for column, one in zip((ap, small), two, strict=True)]
        for model, two in gains.items()
    }
    (figure,) = draw_forests([table(made)])
    plots = [Drawn(plot.svg) for plot in figure.plots]
    assert plots[0].axes == plots[1].axes
    for metric, plot in enumerate(plots):
        assert plot.x(plot.lines("ink")[0][0][0]) == pytest.approx(0, abs=0.1)
        published = [plot.x(x) for x, _ in plot.markers(color="var(--ink)")]
        assert published == pytest.approx([two[metric][1] for two in gains.values()], abs=0.1)
        for color, two in zip(("soft", "row"), gains.values(), strict=True):
            (x, y), *others = plot.markers(color=f"fill: var(--{color})")
            ((ends),) = [line for line in plot.lines(color) if line[0][1] == line[1][1] and abs(line[0][1] - y) < 0.2]
            shown = [plot.x(at) for at in (x, ends[0][0], ends[1][0])]
            assert not others and shown == pytest.approx(two[metric][0], abs=0.1)


def test_metrics_of_the_claims_alone() -> None:
    columns = [Column(id=name, label=name, digits=1) for name in ("ap", "ap50", "ap75", "mask_ap", "ap_small")]
    cells = [cell(column, (1, 0.5, 1.5), None) for column in columns]
    masks = replace(cells[3], verdict=Verdict.NOT_JUDGED, reason=NOT_APPLICABLE, gain=None)
    made = {"sge-resnet50": cells, "sge-resnet101": [*cells[:3], masks, cells[4]]}
    (figure,) = draw_forests([table(made)])
    assert [plot.title for plot in figure.plots] == ["ap", "mask_ap", "ap_small"]
    plots = [Drawn(plot.svg) for plot in figure.plots]
    assert [len(plot.runs) for plot in plots] == [2, 1, 2]  # no masks, no row
    assert not any(BOLD in plot.svg for plot in figure.plots)  # all rows are SGE's


def test_nothing_is_drawn_twice() -> None:
    se, sge = ({f"{name}-resnet50": [cell(TOP1, (1, 0.5, 1.5), None)]} for name in ("se", "sge"))
    figures = draw_forests(
        [table(se | sge, "first"), table(sge, "again"), table(sge | {"bam-resnet50": se["se-resnet50"]}, "new")]
    )
    assert [figure.table for figure in figures] == ["first", "new"]
    assert draw_forests([table({"sge-resnet50": [cell(TOP1, None, 1.2, Verdict.NOT_RUN)]})]) == []


def test_what_is_missing_is_stated() -> None:
    made = {
        "se-resnet50": [cell(TOP1, None, 0.8, Verdict.NOT_RUN)],
        "sk-resnet50": [cell(TOP1, (2, None, None), None, Verdict.NOT_JUDGED, "one training of each row")],
        "bam-resnet50": [cell(TOP1, (3, None, None), None, Verdict.NOT_JUDGED, "baseline did not learn")],
        "gc-resnet50": [cell(TOP1, None, None, Verdict.NOT_JUDGED, "no value of its baseline")],
        "sge-resnet50": [cell(TOP1, (-0.5, -1.25, 0.25), 1.2)],
    }
    page = render(draw_forests([table(made)]))
    (plot,) = drawn(page)
    assert page.count(BOLD) == 2  # label and gain of SGE's row
    words = plot.alt.replace("\N{MINUS SIGN}", "-").split("; ")
    assert words == [
        "Gains of Top-1. se-resnet50 row: not run", "published +0.80",
        "sk-resnet50 row: gain +2.00 no interval", "published gain not recovered",
        "bam-resnet50 row: gain +3.00 no interval baseline did not learn", "published gain not recovered",
        "gc-resnet50 row: no value of its baseline", "published gain not recovered",
        "sge-resnet50 row: gain -0.50 [-1.25, +0.25]", "published +1.20",
    ]  # fmt: skip
    text = " ".join(plot.texts)
    assert "se-resnet50 row not run +0.80" in text and "+2.00 no interval –" in text
    assert "+3.00 no interval baseline did not learn –" in text and "row no value of its baseline –" in text
    assert len(plot.markers(color="fill: var(--soft)")) == 2 and len(plot.markers(color="stroke: var(--ink)")) == 2
    assert plot.runs == [f"classification/{model}" for model in made]


def test_sizes_are_compared_at_scale_paper_alone() -> None:
    figures = draw_forests([table({"sge-resnet50": [cell(TOP1, (0, 0, 0), 0.0)]})])
    plot = Drawn(figures[0].plots[0].svg)
    ((x, _),) = plot.markers(color="fill: var(--row)")
    assert plot.x(x) == pytest.approx(0, abs=0.01)  # an axis, though all is zero
    assert "only the direction" in render(figures) and "only the direction" not in render(figures, paper=True)
    assert "No gain was measured" in render([])


def test_labels_are_escaped() -> None:
    made = table({"sge-resnet50": [cell(TOP1.model_copy(update={"label": "<b>&"}), (1, 0, 2), 1.2)]}, "one")
    hostile = '"><script>alert(1)</script>'
    named = [
        row.row.model_copy(update={"label": hostile, "baseline": row.row.baseline and hostile}) for row in made.rows
    ]
    rows = tuple(replace(row, row=own) for row, own in zip(made.rows, named, strict=True))
    titled = made.table.model_copy(update={"title": hostile})
    page = render(draw_forests([replace(made, rows=rows, table=titled)]))
    assert "<script" not in page and "<b>" not in page and page.count("&lt;script") >= 4
