"""Accuracy against what a network costs: parameters and operations, as published and as reproduced.

Here the geometry of the panels is worked out; templates/cost.html draws them as SVG in the page's colours. Attention
adds so little to a ResNet that its own network and the attentive ones would fall on one spot of a common axis:
each depth has a part of the axis for itself, all parts at one scale.
"""

from dataclasses import dataclass

from sgenet.config.names import parse_name
from sgenet.config.tables import Column
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.ranking import OURS, peers
from sgenet.report.figures.axes import Frame, Range, Ticks, at, mark, ticks
from sgenet.report.figures.labels import Box, Label, place
from sgenet.report.methods.values import DETECTORS

FRAME = Frame(width=290, height=220, left=36, right=4, top=22, bottom=36)
GAP = 14  # between the parts of the axis
DIGIT = 6.0  # width of one in the text of a tick
QUANTITIES = ("params", "gflops")
SOURCES = ("published", "reproduced")
SHAPES = ("circle", "square", "triangle", "diamond")
LEAST = 3  # points of a panel worth drawing


@dataclass(frozen=True)
class Point:
    """A row in SVG coordinates; `kind` is row (SGE), baseline (no attention) or other."""

    x: float
    y: float
    shape: str
    kind: str
    name: str
    run: str
    label: Label


@dataclass(frozen=True)
class Part:
    """The part of the axis that belongs to networks of one depth."""

    title: str
    left: float
    right: float
    x_ticks: Ticks


@dataclass(frozen=True)
class CostPanel:
    """One metric against one count, from one of SOURCES."""

    detector: str
    source: str
    alt: str
    count: str
    x_label: str
    points: tuple[Point, ...]
    parts: tuple[Part, ...]
    y_ticks: Ticks


@dataclass(frozen=True)
class CostFigure:
    """The panels of one table by detector (one group in a table of classification), and what they leave out."""

    table: str
    title: str
    label: str
    groups: tuple[tuple[CostPanel, ...], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    """A row that has both a count `x` and an accuracy `y`."""

    label: str
    run: str
    module: str | None
    depth: int
    x: float
    y: float


Samples = dict[tuple[str, str, Column], list[_Sample]]  # by detector, source and count


def draw_costs(tables: list[CellTable]) -> list[CostFigure]:
    """A figure for each table with counts that differ and a main metric, where one of its panels has LEAST points.

    Panels of one source share their vertical axis. Both sources share it at scale `paper`; below it they must not,
    since the values cannot be compared.
    """
    figures = []
    for table in tables:
        columns = {column.id: column for column in table.table.columns}
        metric = columns.get(table.table.task.headline)
        counts = [columns[name] for name in QUANTITIES if name in columns]
        if metric and counts and (figure := _figure(table, metric, counts)):
            figures.append(figure)
    return figures


def _figure(table: CellTable, metric: Column, counts: list[Column]) -> CostFigure | None:
    detectors = dict.fromkeys(peers(row.row)[0] for row in table.rows)
    samples: Samples = {}
    for key in ((detector, source, count) for detector in detectors for source in SOURCES for count in counts):
        found = _samples(table, metric, *key)
        if len(found) >= LEAST and len({one.x for one in found}) > 1:
            samples[key] = found
    if not samples:
        return None
    y_ranges = {}
    for source in SOURCES:
        together = SOURCES if table.paper else (source,)
        if values := [one.y for key, found in samples.items() if key[1] in together for one in found]:
            y_ranges[source] = _padded(values)
    groups: dict[str, list[CostPanel]] = {}
    for (detector, source, count), found in samples.items():
        both = [one for other in SOURCES for one in samples.get((detector, other, count), [])]
        panel = _panel(detector, source, metric, count, found, both, y_ranges[source])
        groups.setdefault(detector, []).append(panel)
    left_out = [_left_out(table, metric, source, samples) for source in SOURCES]
    return CostFigure(
        table.table.id,
        table.table.title,
        metric.label,
        tuple(tuple(panels) for panels in groups.values()),
        tuple(sentence for sentence in left_out if sentence),
    )


def _samples(table: CellTable, metric: Column, detector: str, source: str, count: Column) -> list[_Sample]:
    found = []
    for row in table.rows:
        cells = {cell.column.id: cell for cell in row.cells}
        x, y = (_value(cells[column.id], source) for column in (count, metric))
        unlearned = source == "reproduced" and cells[metric.id].unlearned
        if peers(row.row)[0] == detector and x is not None and y is not None and not unlearned:
            found.append(_Sample(row.row.label, row.run, *parse_name(row.row.model), x, y))
    return found


def _value(cell: Cell, source: str) -> float | None:
    if source == "reproduced":
        return cell.value
    return cell.published.value if cell.published else None


def _panel(
    detector: str,
    source: str,
    metric: Column,
    count: Column,
    samples: list[_Sample],
    both: list[_Sample],
    y_range: Range,
) -> CostPanel:
    """`both` are the samples of both sources, which share the horizontal axis: the counts are of the same networks."""
    depths = sorted({one.depth for one in both})
    width = (FRAME.width - FRAME.left - FRAME.right - GAP * (len(depths) - 1)) / len(depths)
    x_ranges = _spans([[one.x for one in both if one.depth == depth] for depth in depths])
    points: list[Point] = []
    parts = []
    for number, (depth, x_range) in enumerate(zip(depths, x_ranges, strict=True)):
        left = FRAME.left + number * (width + GAP)
        part = Part(f"ResNet{depth}", round(left, 1), round(left + width, 1), _x_ticks(x_range, (left, left + width)))
        parts.append(part)
        points += _points(
            [one for one in samples if one.depth == depth], part, SHAPES[number % len(SHAPES)], x_range, y_range
        )
    name = DETECTORS.get(detector, detector)
    told = "; ".join(f"{one.label} {one.x:.{count.digits}f}, {one.y:.{metric.digits}f}" for one in samples)
    return CostPanel(
        detector=name,
        source=source,
        alt=f"{f'{name}: ' if name else ''}{metric.label} {source}, against {count.label}. {told}",
        count=count.label,
        x_label=f"{count.label}, {count.unit}" if count.unit else count.label,
        points=tuple(points),
        parts=tuple(parts),
        y_ticks=mark(ticks(*y_range, 6), lambda value: FRAME.y(value, y_range)),
    )


def _points(samples: list[_Sample], part: Part, shape: str, x_range: Range, y_range: Range) -> list[Point]:
    """The points of one part with their labels."""
    marks = [(at(one.x, x_range, (part.left, part.right)), FRAME.y(one.y, y_range)) for one in samples]
    names = [one.module.upper() if one.module else "plain" for one in samples]
    labels = place(marks, names, Box(part.left, FRAME.top, part.right, FRAME.height - FRAME.bottom))
    points = []
    for one, spot, name, label in zip(samples, marks, names, labels, strict=True):
        kind = "row" if one.module == OURS else "other" if one.module else "baseline"
        points.append(Point(*spot, shape, kind, name, one.run, label))
    return points


def _left_out(table: CellTable, metric: Column, source: str, samples: Samples) -> str | None:
    """Which rows no panel of a source shows, in a sentence."""
    shown = {one.label for key, found in samples.items() if key[1] == source for one in found}
    missing = [row.row.label for row in table.rows if row.row.label not in shown]
    if not missing:
        return None
    if not shown:
        return f"No panel of {source} values: fewer than {LEAST} rows have both {metric.label} and counts that differ."
    known = {row.row.label for row in table.rows if source == "reproduced" and row.remark}
    without = [label for label in missing if label not in known]
    reasons = {f"Without a {source} value": without, "Did not learn": [label for label in missing if label in known]}
    return " ".join(f"{why}, and left out: {', '.join(labels)}." for why, labels in reasons.items() if labels)


def _spans(families: list[list[float]]) -> list[Range]:
    """A range around each family, all of one length, with room for labels at either side of the longest."""
    length = 1.4 * max(max(family) - min(family) for family in families) or 1.0
    middles = [(min(family) + max(family)) / 2 for family in families]
    return [(middle - length / 2, middle + length / 2) for middle in middles]


def _padded(values: list[float]) -> Range:
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin


def _x_ticks(span: Range, onto: Range) -> Ticks:
    """Ticks whose texts do not reach into the next part."""
    found = [(x, text, DIGIT / 2 * len(text)) for x, text in mark(ticks(*span, 4), lambda tick: at(tick, span, onto))]
    return tuple((x, text) for x, text, half in found if onto[0] <= x - half and x + half <= onto[1])
