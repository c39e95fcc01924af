"""Reproduced against published gain, with the diagonal on which every gain is replicated exactly."""

from dataclasses import dataclass

from sgenet.judgement.main_gains import MainGains
from sgenet.report.figures.axes import Frame, Range, Ticks, mark, ticks
from sgenet.report.formats import signed

FRAME = Frame(width=420, height=320, left=44, right=12, top=12, bottom=44)


@dataclass(frozen=True)
class Point:
    """A gain in SVG coordinates, with the ends of its interval, and its label."""

    x: float
    y: float
    ends: Range | None
    title: str


@dataclass(frozen=True)
class Scatter:
    """The points, the ends of the diagonal and of the line at zero, and the ticks."""

    points: tuple[Point, ...]
    diagonal: tuple[Range, Range]
    half: tuple[Range, Range]
    zero: float
    x_ticks: Ticks
    y_ticks: Ticks
    alt: str


def draw_scatter(main: MainGains) -> Scatter | None:
    """The figure of a replication; None below scale `paper`, where sizes are not compared, or without two gains."""
    shown = [(one.label, one.cell, one.cell.gain) for one in main.gains if one.cell.gain and one.cell.published_gain]
    if main.ratio is None or len(shown) < 2:
        return None
    published = [float(cell.published_gain or 0) for _, cell, _ in shown]
    bounds = [bound for _, _, gain in shown for bound in (gain.value, gain.low, gain.high) if bound is not None]
    x_range, y_range = (0.0, 1.1 * max(published)), (min(0.0, *bounds), 1.05 * max(*bounds, *published))

    def line(slope: float) -> tuple[Range, Range]:
        end = min(x_range[1], y_range[1] / slope)
        return (FRAME.x(0, x_range), FRAME.y(0, y_range)), (FRAME.x(end, x_range), FRAME.y(slope * end, y_range))

    points = []
    for (label, cell, gain), x in zip(shown, published, strict=True):
        interval = None if gain.low is None or gain.high is None else (gain.low, gain.high)
        title = f"{label}, {cell.column.label}: published {signed(x, 2)}, reproduced {signed(gain.value, 2)}"
        if interval:
            title += f" [{signed(interval[0], 2)}, {signed(interval[1], 2)}]"
        ends = interval and (FRAME.y(interval[0], y_range), FRAME.y(interval[1], y_range))
        points.append(Point(FRAME.x(x, x_range), FRAME.y(gain.value, y_range), ends, title))
    return Scatter(
        points=tuple(points),
        diagonal=line(1.0),
        half=line(0.5),
        zero=FRAME.y(0, y_range),
        x_ticks=mark(ticks(*x_range), lambda value: FRAME.x(value, x_range)),
        y_ticks=mark(ticks(*y_range), lambda value: FRAME.y(value, y_range)),
        alt=f"Reproduced against published gain of SGE, {len(points)} points. {'; '.join(p.title for p in points)}",
    )
