"""Precision against recall as small multiples: a panel a baseline, with the rows that are held against it."""

from dataclasses import replace

import numpy as np

from sgenet.config import paths
from sgenet.config.names import parse_name
from sgenet.config.replication import Replication
from sgenet.config.tables import Row
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.judgement.evaluations import Result
from sgenet.judgement.ranking import OURS
from sgenet.judgement.results import Found
from sgenet.report.figures.plot import BASELINE, ROW, SOFT, Figure, Line, Plot, draw_lines

IOUS = {"ap50": 0.5, "ap75": 0.75}  # the metric that is the area below the curve -> IoU threshold
# Of lines of other modules, in the order of the table
DASHES = ((1.5, 3), (9, 2), (7, 2.5, 1.5, 2.5), (7, 2.5, 1.5, 2.5, 1.5, 2.5), (4, 4))


def draw_precision_recall(replication: Replication, found: Found) -> Figure:
    """The curves of every detection run that has results, from its first seed.

    Matches that are missing, damaged or others than those behind the AP give no curve.
    """
    members: dict[str, dict[str, Row]] = {}  # run of a baseline -> run -> row, the baseline itself first
    for table in replication.tables:
        by_label = {row.label: row for row in table.rows}
        for row in table.rows if table.task is Task.DETECTION else ():
            first = by_label[row.baseline] if row.baseline else row
            members.setdefault(table.run_id(first), {table.run_id(first): first}).setdefault(table.run_id(row), row)
    plots, left_out = list[Plot](), dict[str, None]()
    for base, rows in members.items():
        lines, dashes = list[Line](), iter(DASHES * len(rows))
        for run, row in rows.items():
            if not (by_seed := found.runs[run].by_seed):
                continue
            ours = parse_name(row.model)[0] == OURS
            color = BASELINE if run == base else ROW if ours else SOFT
            style = (5.0, 3.0) if run == base else () if ours else next(dashes)
            if of_run := _lines(by_seed[min(by_seed)], Line(color=color, dashes=style, label=row.label, run=run)):
                lines += of_run
            else:
                left_out[row.label] = None
        if lines:
            areas = "; ".join(line.label for line in lines if line.label)
            alt = f"Precision by recall; areas at IoU 0.50 and 0.75 in percent: {areas}"
            svg = draw_lines(alt, lines, (0, 1), (0, 1), ("recall", "precision"), legend="below")
            plots.append(Plot(rows[base].label, svg))
    return Figure(tuple(plots), notes=tuple(left_out))


def _lines(result: Result, look: Line) -> list[Line]:
    """A line for each of IOUS, the first with the areas in its label; none if the matches are not behind the AP."""
    from sgenet.evaluation.coco_eval import precision_recall
    from sgenet.evaluation.matches import Matches

    try:
        matches = Matches.load(result.folder / paths.MATCHES)
    except InputError:  # where a gain needs the file, a sentence reports it
        return []
    curves = [precision_recall(matches, iou) for iou in IOUS.values()]
    ap = [100 * float(curve.mean()) for curve in curves]
    for metric, area in zip(IOUS, ap, strict=True):
        expected = result.metrics.get(metric)
        if expected is None or not abs(area - expected) <= 1e-3:
            return []
    recall = np.linspace(0, 1, len(curves[0])).tolist()
    at_half, strict = ([list(zip(recall, curve.tolist(), strict=True))] for curve in curves)
    label = f"{look.label}: {ap[0]:.1f}, {ap[1]:.1f}"
    return [replace(look, curves=at_half, label=label), replace(look, curves=strict, width=0.9, label="")]
