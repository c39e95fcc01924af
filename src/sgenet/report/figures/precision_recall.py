"""Precision against recall as small multiples: a panel a baseline, with the rows that are held against it.

templates/precision-recall.html draws the panels as SVG in the page's colours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgenet.config import paths
from sgenet.config.names import parse_name
from sgenet.config.replication import Replication
from sgenet.config.tables import Row
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.judgement.evaluations import Result
from sgenet.judgement.ranking import OURS
from sgenet.judgement.results import Found
from sgenet.report.figures.axes import Ticks, mark
from sgenet.report.figures.curves import FRAME

IOUS = {"ap50": 0.5, "ap75": 0.75}  # the metric that is the area below the curve -> IoU threshold
KINDS = ("module", "baseline", "row")  # row: SGE; later ones lie over earlier ones


@dataclass(frozen=True)
class Curve:
    """One run: SVG points at each of IOUS, and the AP in percent that is the area below each."""

    label: str
    kind: str  # one of KINDS
    module: str  # by its name; "plain" without one
    points: tuple[str, ...]
    ap: tuple[float, ...]

    @property
    def style(self) -> str:
        """Classes of its line: other modules than SGE differ by their dashes."""
        return f"module {self.module}" if self.kind == "module" else self.kind


@dataclass(frozen=True)
class PrecisionPanel:
    """A baseline and the rows held against it: in the table's order, and in the order in which they are drawn."""

    title: str
    alt: str
    curves: tuple[Curve, ...]

    @property
    def drawn(self) -> list[Curve]:
        """The curves in the order of KINDS, in which they are drawn."""
        return sorted(self.curves, key=lambda curve: KINDS.index(curve.kind))


@dataclass(frozen=True)
class PrecisionRecall:
    """The panels with their ticks, and the labels of rows whose results have no matches to draw."""

    panels: tuple[PrecisionPanel, ...]
    left_out: tuple[str, ...]
    x_ticks: Ticks
    y_ticks: Ticks


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
    panels, left_out = list[PrecisionPanel](), list[str]()
    for base, rows in members.items():
        curves: list[Curve] = []
        for run, row in rows.items():
            if by_seed := found.runs[run].by_seed:
                curve = _curve(row, run == base, by_seed[min(by_seed)])
                curves += [curve] if curve else []
                left_out += [] if curve else [row.label]
        if curves:
            areas = [f"{curve.label} {curve.ap[0]:.1f} and {curve.ap[1]:.1f}" for curve in curves]
            alt = f"Precision by recall; areas at IoU 0.50 and 0.75 in percent: {'; '.join(areas)}"
            panels.append(PrecisionPanel(rows[base].label, alt, tuple(curves)))
    shares = (0, 0.2, 0.4, 0.6, 0.8, 1)
    left_out = list(dict.fromkeys(left_out))
    return PrecisionRecall(tuple(panels), tuple(left_out), mark(shares, FRAME.x), mark(shares, FRAME.y))


def _curve(row: Row, is_baseline: bool, result: Result) -> Curve | None:
    from sgenet.evaluation.coco_eval import precision_recall
    from sgenet.evaluation.matches import Matches

    try:
        matches = Matches.load(result.folder / paths.MATCHES)
    except InputError:  # where a gain needs the file, a sentence tells it
        return None
    curves = [precision_recall(matches, iou) for iou in IOUS.values()]
    ap = [100 * float(curve.mean()) for curve in curves]
    for metric, area in zip(IOUS, ap, strict=True):
        expected = result.metrics.get(metric)
        if expected is None or not abs(area - expected) <= 1e-3:
            return None
    module = parse_name(row.model)[0] or "plain"
    kind = "baseline" if is_baseline else "row" if module == OURS else "module"
    return Curve(row.label, kind, module, tuple(_points(curve) for curve in curves), tuple(ap))


def _points(precision: NDArray[np.float64]) -> str:
    """SVG points of precision (101,) at evenly spaced recalls from 0 to 1; of equal ones the two ends are enough."""
    points = [(FRAME.x(level / 100), FRAME.y(value)) for level, value in enumerate(precision.tolist())]
    inner = [before[1] == y == after[1] for before, (_, y), after in zip(points, points[1:], points[2:], strict=False)]
    kept = [point for point, flat in zip(points, [False, *inner, False], strict=True) if not flat]
    return " ".join(f"{x:g},{y:g}" for x, y in kept)
