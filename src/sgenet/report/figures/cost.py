"""Accuracy against what a network costs: parameters and operations, as published and as reproduced.

Attention adds so little to a ResNet that its own network and the attentive ones would be one spot on a common axis, so
each depth has an axis of its own, all at one scale.
"""

from dataclasses import dataclass
from typing import Any

from sgenet.config.names import parse_name
from sgenet.config.tables import Column
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.ranking import OURS, peers
from sgenet.judgement.values import DETECTORS
from sgenet.report.figures.plot import PAGE, ROW, SOFT, Figure, Plot, Range, draw, set_axes, span

QUANTITIES = ("params", "gflops")
SOURCES = ("published", "reproduced")
# matplotlib's marker of a module, and the character that looks like it
MARKERS = {None: "o○", OURS: "o●", "se": "s■", "sk": "^▲", "bam": "v▼", "cbam": "D◆"}
OTHER = "X✖"
LEAST = 3  # points of a panel worth drawing
SIZE, MARGINS = (290, 200), (36, 8, 22, 36)


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


def draw_costs(tables: list[CellTable]) -> list[Figure]:
    """A figure for each table with counts that differ and a main metric, where one of its panels has LEAST points.

    Panels of one source share their vertical axis. Both sources share it at scale `paper`; below it they must not,
    since the values cannot be compared.
    """
    figures = []
    for table in tables:
        columns = {column.id: column for column in table.table.columns}
        metric = columns.get(table.table.task.headline)
        counts = [columns[name] for name in QUANTITIES if name in columns]
        if metric and (samples := _find_samples(table, metric, counts)):
            figures.append(_figure(table, metric, samples))
    return figures


def _find_samples(table: CellTable, metric: Column, counts: list[Column]) -> Samples:
    samples: Samples = {}
    for row in table.rows:
        cells = {cell.column.id: cell for cell in row.cells}
        for source in SOURCES:
            y = _value(cells[metric.id], source)
            if y is None or (source == "reproduced" and cells[metric.id].unlearned):
                continue
            for count in counts:
                if (x := _value(cells[count.id], source)) is not None:
                    sample = _Sample(row.row.label, row.run, *parse_name(row.row.model), x, y)
                    samples.setdefault((peers(row.row)[0], source, count), []).append(sample)
    return {key: found for key, found in samples.items() if len(found) >= LEAST and len({one.x for one in found}) > 1}


def _value(cell: Cell, source: str) -> float | None:
    if source == "reproduced":
        return cell.value
    return cell.published.value if cell.published else None


def _figure(table: CellTable, metric: Column, samples: Samples) -> Figure:
    detectors, plots = list(dict.fromkeys(detector for detector, _, _ in samples)), list[Plot]()
    for (detector, source, count), found in sorted(
        samples.items(), key=lambda item: (detectors.index(item[0][0]), SOURCES.index(item[0][1]))
    ):
        together = SOURCES if table.paper else (source,)
        heights = [one.y for key, some in samples.items() if key[1] in together for one in some]
        both = [one for other in SOURCES for one in samples.get((detector, other, count), [])]
        name = DETECTORS.get(detector, detector)
        title = f"{f'{name}: ' if name else ''}{metric.label} {source}, against {count.label}"
        told = "; ".join(f"{one.label} {one.x:.{count.digits}f}, {one.y:.{metric.digits}f}" for one in found)
        label = f"{count.label}, {count.unit}" if count.unit else count.label
        svg = _draw(f"{title}. {told}", found, both, span(heights, 0.08), label)
        plots.append(Plot(title, svg))
    modules = dict.fromkeys(one.module for found in samples.values() for one in found)
    left_out = [_left_out(table, metric, source, samples) for source in SOURCES]
    return Figure(
        tuple(plots),
        table.table.id,
        table.table.title,
        tuple(sentence for sentence in left_out if sentence),
        tuple((MARKERS.get(module, OTHER)[1], module.upper() if module else "plain") for module in modules),
    )


def _draw(alt: str, samples: list[_Sample], both: list[_Sample], y_range: Range, label: str) -> Any:
    """`both` are the samples of both sources, which share the horizontal axes: the counts are of the same networks."""
    depths = sorted({one.depth for one in both})
    families = [[one.x for one in both if one.depth == depth] for depth in depths]
    half = 0.6 * max(max(family) - min(family) for family in families) or 0.5

    def paint(*parts: Any) -> None:
        for depth, family, axes in zip(depths, families, parts, strict=True):
            middle = (min(family) + max(family)) / 2
            set_axes(axes, (middle - half, middle + half), y_range, ("", ""), ticks=max(2, 6 // len(depths)))
            axes.set_title(f"ResNet{depth}", loc="left", size=10, style="italic")
            for one in (one for one in samples if one.depth == depth):
                color = ROW if one.module == OURS else SOFT
                fill, edge = (color, PAGE) if one.module else (PAGE, color)
                look = {"markerfacecolor": fill, "markeredgecolor": edge, "markersize": 8 if color == ROW else 7}
                axes.plot(one.x, one.y, MARKERS.get(one.module, OTHER)[0], gid=f"run:{one.run}", **look)
        parts[0].figure.supxlabel(label, size=11, y=0.02)

    return draw(alt, paint, SIZE, MARGINS, len(depths))


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
