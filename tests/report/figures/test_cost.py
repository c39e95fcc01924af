"""Accuracy against cost: positions against the panels' own ticks, axes that are shared or not, what is left out."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sgenet.config.tables import Column, Published, Row, Table
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.cells import Cell, CellRow, CellTable
from sgenet.report.figures import cost
from sgenet.report.figures.cost import CostFigure, CostPanel, draw_costs
from sgenet.report.pages import _environment

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


def panels(figure: CostFigure) -> list[CostPanel]:
    return [panel for group in figure.groups for panel in group]


def line(ticks: tuple[tuple[float, str], ...]) -> tuple[float, float]:
    """Slope and offset from values to positions."""
    slope, offset = np.polyfit([float(text) for _, text in ticks], [at for at, _ in ticks], 1)
    return float(slope), float(offset)


def test_points_lie_where_the_ticks_say() -> None:
    (figure,) = draw_costs([table(MODELS)])
    found = panels(figure)
    assert [(panel.source, panel.count) for panel in found] == [
        ("published", "#P"), ("published", "GFLOPs"), ("reproduced", "#P"), ("reproduced", "GFLOPs")
    ]  # fmt: skip
    for number, panel in enumerate(found):
        rise, base = line(panel.y_ticks)
        slopes = [line(part.x_ticks) for part in panel.parts]
        assert slopes[0][0] == pytest.approx(slopes[1][0], rel=0.02)  # both depths at one scale
        for point, (model, values) in zip(panel.points, MODELS.items(), strict=True):
            place = int("101" in model)
            run, start = slopes[place]
            part = panel.parts[place]
            assert point.x == pytest.approx(start + run * values[number % 2], abs=0.3)
            assert point.y == pytest.approx(base + rise * values[2 + number // 2], abs=0.3)
            assert part.left < point.x < part.right and cost.FRAME.top < point.y < cost.FRAME.height - cost.FRAME.bottom
            assert point.shape == ("square" if place else "circle")
            kind = {"sge": "row", "se": "other"}.get(model.rpartition("-")[0], "baseline")
            assert (point.kind, point.name) == (kind, {"row": "SGE", "other": "SE", "baseline": "plain"}[kind])
    assert rise < 0  # more is higher


def test_one_vertical_axis_for_both_at_scale_paper_alone() -> None:
    for paper in (False, True):
        (figure,) = draw_costs([table(MODELS, paper=paper)])
        ticks = [panel.y_ticks for panel in panels(figure)]
        assert ticks[0] == ticks[1] and ticks[2] == ticks[3] and (ticks[0] == ticks[2]) == paper


def test_each_detector_has_panels_of_its_own() -> None:
    models = {f"{name}/{model}": values for name in ("retinanet", "other") for model, values in MODELS.items()}
    (figure,) = draw_costs([table(models, metric=Column(id="ap", label="AP", digits=1))])
    assert [[panel.detector for panel in group] for group in figure.groups] == [["RetinaNet"] * 4, ["other"] * 4]
    assert len({panel.y_ticks for panel in panels(figure) if panel.source == "published"}) == 1


def test_what_cannot_be_drawn_is_left_out_and_told() -> None:
    unrun = {model: (*values[:3], None if "101" in model else values[3]) for model, values in MODELS.items()}
    (figure,) = draw_costs([table(unrun)])
    assert [len(panel.points) for panel in panels(figure)] == [5, 5, 3, 3]
    assert figure.left_out == ("Without a reproduced value, and left out: Row resnet101, Row se-resnet101.",)
    (figure,) = draw_costs([table({model: values for model, values in unrun.items() if model != "resnet50"})])
    assert {panel.source for panel in panels(figure)} == {"published"}
    assert figure.left_out == (
        "No panel of reproduced values: fewer than 3 rows have both Top-1 and counts that differ.",
    )


def test_tables_without_differing_counts_are_skipped() -> None:
    equal = {model: (25.56, 4.122, *values[2:]) for model, values in MODELS.items()}
    whole = table(MODELS)
    columns = whole.table.model_copy(update={"columns": (TOP1,)})
    uncounted = replace(whole, table=columns, rows=tuple(replace(row, cells=row.cells[2:]) for row in whole.rows))
    assert draw_costs([table(equal), uncounted]) == []


def test_networks_of_three_depths_that_stand_alone() -> None:
    models = {"resnet18": (11.69, 1.824, 70.0, 41.0)} | {model: MODELS[model] for model in ("resnet50", "resnet101")}
    (figure,) = draw_costs([table(models)])
    for panel in panels(figure):
        middles = [(part.left + part.right) / 2 for part in panel.parts]
        assert [point.x for point in panel.points] == pytest.approx(middles, abs=0.2)


def test_page() -> None:
    whole = table(MODELS)
    hostile = "<script>alert(1)</script>"
    rows = tuple(
        replace(row, row=row.row.model_copy(update={"label": f"{hostile}{number}"}))
        for number, row in enumerate(whole.rows)
    )
    figures = draw_costs([replace(whole, rows=rows)])
    environment = _environment()
    template = environment.get_template("cost.html", globals={"cost_frame": cost.FRAME})
    page = template.render(costs=figures, scale="demo", paper=False)
    assert page.count("<svg") == 4 and "<script" not in page and "Top-1 at scale demo, against #P" in page
    assert "heights cannot be compared" in page
    assert "heights cannot be compared" not in template.render(costs=figures, scale="paper", paper=True)
    alts = re.findall("<title>(.*?)</title>", page)
    assert all("&lt;script" in alt for alt in alts) and "2 25.56, 77.584" in alts[0] and "2 25.56, 40.250" in alts[2]
    assert "Nothing to draw" in template.render(costs=[], scale="demo", paper=False)
