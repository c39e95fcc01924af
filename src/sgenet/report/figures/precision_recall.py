"""Precision against recall as small multiples: a panel for each baseline, with the rows that refer to it."""

from dataclasses import replace

import numpy as np

from sgenet.config.names import parse_name
from sgenet.config.replication import Replication
from sgenet.config.tables import Row
from sgenet.config.tasks import Task
from sgenet.judgement.evaluations import Result
from sgenet.judgement.ranking import OURS
from sgenet.judgement.results import Found
from sgenet.report.figures.plot import BASELINE, ROW, SOFT, Figure, Line, Plot, draw_lines

# Of lines of other modules, in the order of the table
DASHES = ((1.5, 3), (9, 2), (7, 2.5, 1.5, 2.5), (7, 2.5, 1.5, 2.5, 1.5, 2.5), (4, 4))


def draw_precision_recall(replication: Replication, found: Found) -> Figure:
    """The curves of every detection run that has results, from its first seed."""
    members: dict[str, dict[str, Row]] = {}  # run of a baseline -> run -> row, the baseline itself first
    for table in replication.tables:
        by_label = {row.label: row for row in table.rows}
        for row in table.rows if table.task is Task.DETECTION else ():
            first = by_label[row.baseline] if row.baseline else row
            members.setdefault(table.run_id(first), {table.run_id(first): first}).setdefault(table.run_id(row), row)
    plots = list[Plot]()
    for base, rows in members.items():
        lines, dashes = list[Line](), iter(DASHES * len(rows))
        for run, row in rows.items():
            if not (by_seed := found.runs[run].by_seed):
                continue
            ours = parse_name(row.model)[0] == OURS
            color = BASELINE if run == base else ROW if ours else SOFT
            style = (5.0, 3.0) if run == base else () if ours else next(dashes)
            lines += _lines(by_seed[min(by_seed)], Line(color=color, dashes=style, label=row.label, run=run))
        if lines:
            areas = "; ".join(line.label for line in lines if line.label)
            alt = f"Precision by recall; areas at IoU 0.50 and 0.75 in percent: {areas}"
            svg = draw_lines(alt, lines, (0, 1), (0, 1), ("recall", "precision"), legend="below")
            plots.append(Plot(rows[base].label, svg))
    return Figure(tuple(plots))


def _lines(result: Result, look: Line) -> list[Line]:
    """A line for each of IOUS, the first with the areas in its label; none without a curve."""
    curves = [curve for curve in result.per_image.precision.values() if np.isfinite(curve).all()]
    areas = ", ".join(f"{100 * curve.mean():.1f}" for curve in curves)
    points = [list(zip(np.linspace(0, 1, len(curve)).tolist(), curve.tolist(), strict=True)) for curve in curves]
    first = [replace(look, curves=[curve], label=f"{look.label}: {areas}") for curve in points[:1]]
    return [*first, *(replace(look, curves=[curve], width=0.9, label="") for curve in points[1:])]
