"""Precision against recall as small multiples: a panel a baseline, with the rows that are held against it."""

from dataclasses import dataclass

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
from sgenet.report.figures.plot import BASELINE, ROW, SOFT, Line, Plot, Points, draw_lines

IOUS = {"ap50": 0.5, "ap75": 0.75}  # the metric that is the area below the curve -> IoU threshold
# Of lines of other modules, in the order of the table
DASHES = ((1.5, 3), (9, 2), (7, 2.5, 1.5, 2.5), (7, 2.5, 1.5, 2.5, 1.5, 2.5), (4, 4))


@dataclass(frozen=True)
class Curve:
    """One run: points at each of IOUS, and the AP in percent that is the area below each."""

    row: Row
    run: str
    points: tuple[Points, ...]
    ap: tuple[float, ...]


@dataclass(frozen=True)
class PrecisionRecall:
    """The panels, and the labels of rows whose results have no matches to draw."""

    panels: tuple[Plot, ...]
    left_out: tuple[str, ...]


def draw_precision_recall(replication: Replication, found: Found) -> PrecisionRecall:
    """The curves of every detection run that has results, from its first seed.

    Matches that are missing, damaged or others than those behind the AP give no curve.
    """
    members: dict[str, dict[str, Row]] = {}  # run of a baseline -> run -> row, the baseline itself first
    for table in replication.tables:
        by_label = {row.label: row for row in table.rows}
        for row in table.rows if table.task is Task.DETECTION else ():
            first = by_label[row.baseline] if row.baseline else row
            members.setdefault(table.run_id(first), {table.run_id(first): first}).setdefault(table.run_id(row), row)
    panels, left_out = list[Plot](), dict[str, None]()
    for base, rows in members.items():
        curves: list[Curve] = []
        for run, row in rows.items():
            if by_seed := found.runs[run].by_seed:
                if curve := read_curve(row, run, by_seed[min(by_seed)]):
                    curves.append(curve)
                else:
                    left_out[row.label] = None
        if curves:
            panels.append(_draw(base, rows[base].label, curves))
    return PrecisionRecall(tuple(panels), tuple(left_out))


def read_curve(row: Row, run: str, result: Result) -> Curve | None:
    """The precision of a result at evenly spaced recalls, or None where its matches are not those behind its AP."""
    from sgenet.evaluation.coco_eval import precision_recall
    from sgenet.evaluation.matches import Matches

    try:
        matches = Matches.load(result.folder / paths.MATCHES)
    except InputError:  # where a gain needs the file, a sentence reports it
        return None
    curves = [precision_recall(matches, iou) for iou in IOUS.values()]
    ap = [100 * float(curve.mean()) for curve in curves]
    for metric, area in zip(IOUS, ap, strict=True):
        expected = result.metrics.get(metric)
        if expected is None or not abs(area - expected) <= 1e-3:
            return None
    recall = np.linspace(0, 1, len(curves[0])).tolist()
    points = [list(zip(recall, curve.tolist(), strict=True)) for curve in curves]
    return Curve(row, run, tuple(points), tuple(ap))


def _draw(base: str, title: str, curves: list[Curve]) -> Plot:
    lines, dashes = list[Line](), iter(DASHES * len(curves))
    for curve in curves:
        ours = parse_name(curve.row.model)[0] == OURS
        color = BASELINE if curve.run == base else ROW if ours else SOFT
        style = (5, 3) if curve.run == base else () if ours else next(dashes)
        label = f"{curve.row.label}: {curve.ap[0]:.1f}, {curve.ap[1]:.1f}"
        lines.append(Line([curve.points[0]], color, 1.8, style, label=label, run=curve.run))
        lines.append(Line([curve.points[1]], color, 0.9, style, run=curve.run))
    areas = "; ".join(line.label for line in lines if line.label)
    alt = f"Precision by recall; areas at IoU 0.50 and 0.75 in percent: {areas}"
    return Plot(title, draw_lines(alt, lines, (0, 1), (0, 1), ("recall", "precision"), legend="below"))
