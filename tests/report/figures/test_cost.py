"""Accuracy against cost: points where the panels' own ticks say, axes that are shared or not, what is left out."""

import re
from dataclasses import replace

import pytest

from sgenet.config.tables import Column, Published, Row, Table
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.cells import Cell, CellRow, CellTable
from sgenet.report.environment import make_environment
from sgenet.report.figures.cost import draw_costs
from support.plots import Drawn

PARAMS, GFLOPS = (
    Column(id=name, label=label, digits=2, unit="M", measured="static")
    for name, label in (("params", "#P"), ("gflops", "GFLOPs"))
)
TOP1 = Column(id="top1", label="Top-1", digits=3)
MODELS = {  # parameters, GFLOPs, published Top-1, reproduced Top-1
    "resnet50": (25.56, 4.122, 76.384, 51.0),
    "se-resnet50": (28.09, 4.13, 77.184, 55.5),
    "sge-resnet50": (25.56, 4.127, 77.584, 40.25),
    "resnet101": (44.55, 7.849, 78.2, 60.0),
    "se-resnet101": (49.33, 7.863, 78.468, 59.0),
}


def table(models: dict[str, tuple[float | None, ...]], *, paper: bool = False, metric: Column = TOP1) -> CellTable:
    """A table of these models; a name such as faster-rcnn/resnet50 has a detector."""
    task = "classification" if metric.id == "top1" else "detection"
    rows = []
    for name, (params, gflops, published, value) in models.items():
        cells = []
        for column, count in ((PARAMS, params), (GFLOPS, gflops)):
            cells.append(Cell(column, Verdict.EXACT, published=_published(count), value=count))
        cells.append(Cell(metric, Verdict.UNDECIDED, published=_published(published), value=value))
        row = Row(label=f"Row {name}", run=name, model=name.rpartition("/")[2])
        rows.append(CellRow(row, f"{task}/{name}", tuple(cells)))
    columns = (PARAMS, GFLOPS, metric)
    described = Table(id="one", title="Table one", task=task, columns=columns, rows=tuple(row.row for row in rows))
    return CellTable(described, tuple(rows), paper)


def _published(value: float | None) -> Published | None:
    return Published(value=value, source=("H",)) if value else None


def test_points_are_where_the_ticks_say() -> None:
    (figure,) = draw_costs([table(MODELS)])
    found = figure.plots
    assert [plot.title for plot in found] == [
        f"Top-1 {source}, against {count}" for source in ("published", "reproduced") for count in ("#P", "GFLOPs")
    ]
    assert figure.legend == (("○", "plain"), ("■", "SE"), ("●", "SGE"))
    for number, panel in enumerate(found):
        plot = Drawn(panel.svg)
        (left, middle), (start, right) = plot.axes
        scales = [plot.x(middle) - plot.x(left), plot.x(right) - plot.x(start)]
        assert scales[0] == pytest.approx(scales[1], rel=0.03)  # both depths at one scale
        for model, values in MODELS.items():
            ((x, y),) = plot.markers(f"classification/{model}")
            assert (x > middle) == ("101" in model)
            assert plot.x(x) == pytest.approx(values[number % 2], abs=0.01 * scales[0])
            assert plot.y(y) == pytest.approx(values[2 + number // 2], rel=0.005)
        assert plot.markers(color="fill: var(--row)") == plot.markers("classification/sge-resnet50")


@pytest.mark.parametrize("paper", [False, True])
def test_one_vertical_axis_for_both_at_scale_paper_alone(paper: bool) -> None:
    (figure,) = draw_costs([table(MODELS, paper=paper)])
    heights = [Drawn(plot.svg).y(100) for plot in figure.plots]
    assert heights[0] == heights[1] and heights[2] == heights[3] and (heights[0] == heights[2]) == paper


def test_each_detector_has_panels_of_its_own() -> None:
    models = {f"{name}/{model}": values for name in ("retinanet", "other") for model, values in MODELS.items()}
    (figure,) = draw_costs([table(models, metric=Column(id="ap", label="AP", digits=1))])
    assert [plot.title.partition(":")[0] for plot in figure.plots] == ["RetinaNet"] * 4 + ["other"] * 4
    assert len({Drawn(plot.svg).y(100) for plot in figure.plots if "published" in plot.title}) == 1


def test_what_cannot_be_drawn_is_left_out_and_told() -> None:
    unrun = {model: (*values[:3], None if "101" in model else values[3]) for model, values in MODELS.items()}
    (figure,) = draw_costs([table(unrun)])
    assert [len(Drawn(plot.svg).runs) for plot in figure.plots] == [5, 5, 3, 3]
    assert figure.notes == ("Without a reproduced value, and left out: Row resnet101, Row se-resnet101.",)
    (figure,) = draw_costs([table({model: values for model, values in unrun.items() if model != "resnet50"})])
    assert all("published" in plot.title for plot in figure.plots)
    assert figure.notes == ("No panel of reproduced values: fewer than 3 rows have both Top-1 and counts that differ.",)


def test_tables_without_differing_counts_are_skipped() -> None:
    equal = {model: (25.56, 4.122, *values[2:]) for model, values in MODELS.items()}
    whole = table(MODELS)
    columns = whole.table.model_copy(update={"columns": (TOP1,)})
    uncounted = replace(whole, table=columns, rows=tuple(replace(row, cells=row.cells[2:]) for row in whole.rows))
    assert draw_costs([table(equal), uncounted]) == []


def test_networks_of_three_depths_that_stand_alone() -> None:
    models = {"resnet18": (11.69, 1.824, 70.0, 41.0)} | {model: MODELS[model] for model in ("resnet50", "resnet101")}
    (figure,) = draw_costs([table(models)])
    for panel in figure.plots:
        plot = Drawn(panel.svg)
        assert [x for x, _ in plot.markers()] == pytest.approx([sum(ends) / 2 for ends in plot.axes], abs=0.2)


def test_page() -> None:
    whole = table(MODELS)
    hostile = "<script>alert(1)</script>"
    rows = tuple(
        replace(row, row=row.row.model_copy(update={"label": f"{hostile}{number}"}))
        for number, row in enumerate(whole.rows)
    )
    figures = draw_costs([replace(whole, rows=rows)])
    template = make_environment().get_template("cost.html")
    page = " ".join(template.render(costs=figures, scale="demo", paper=False).split())
    assert page.count("<svg") == 4 and "<script" not in page and "Top-1 reproduced, against #P" in page
    assert "heights cannot be compared" in page
    assert "heights cannot be compared" not in template.render(costs=figures, scale="paper", paper=True)
    alts = re.findall("<title>(.*?)</title>", page)
    assert all("&lt;script" in alt for alt in alts) and "2 25.56, 77.584" in alts[0] and "2 25.56, 40.250" in alts[2]
    assert "Nothing to draw" in template.render(costs=[], scale="demo", paper=False)
