"""Figures 2, 3 and 4 of the paper, drawn from what `sgenet activations` measured.

Here their geometry is worked out; templates/activations.html draws it as SVG in the page's colours.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement.inputs import Missing
from sgenet.report.figures.axes import Frame, Ticks, mark, ticks

FRAME = Frame(width=460, height=250, left=56, right=10, top=10, bottom=36)
SHADES = 24  # of a map
SHOWN = 0.995  # share of the vectors that the histogram's axis reaches
SLOT = 14  # least width of a group's two bars
SIDES = ("before", "after")


@dataclass(frozen=True)
class HeatMap:
    """Lengths at the positions of one image: (opacity, path of unit squares) a shade, their mean, and all in words."""

    shades: tuple[tuple[float, str], ...]
    mean: float
    alt: str


@dataclass(frozen=True)
class MapRow:
    """One image of figure 2 and its maps: group by group, before and after."""

    index: int
    label: str
    pixels: str
    maps: tuple[HeatMap, ...]


@dataclass(frozen=True)
class Histogram:
    """Figure 3: SVG points of the two step lines; `end` is the length at the axis' end, `beyond` what is longer."""

    before: str
    after: str
    x_ticks: Ticks
    y_ticks: Ticks
    end: float
    beyond: float  # percent of the vectors before SGE
    alt: str


@dataclass(frozen=True)
class Bar:
    """One bar of figure 4 in SVG coordinates; the whisker's ends are (upper, lower)."""

    side: str
    x: float
    y: float
    whisker: tuple[float, float]


@dataclass(frozen=True)
class Bars:
    """Figure 4; `bar` is the width of one."""

    width: float
    bar: float
    bars: tuple[Bar, ...]
    x_ticks: Ticks
    y_ticks: Ticks
    alt: str


@dataclass(frozen=True)
class Activations:
    """A measurement and its figures; `tops` is, by group of figure 2, the length of the deepest shade."""

    measured: dict[str, Any]
    tops: tuple[float, ...]
    rows: tuple[MapRow, ...]
    histogram: Histogram
    bars: Bars


def draw_activations(measured: MeasuredActivations | Missing) -> Activations | None:
    """The figures of a measurement; none where nothing was measured."""
    return None if isinstance(measured, Missing) else draw(measured.model_dump(mode="json", by_alias=True))


def draw(measured: dict[str, Any]) -> Activations:
    """Work out the figures of what `MeasuredActivations` describes."""
    groups, images = measured["maps"]["groups"], measured["maps"]["images"]
    tops = tuple(_top([image[side][place] for image in images for side in SIDES]) for place in range(len(groups)))
    rows = []
    for image in images:
        maps = [
            _heat_map(image[side][place], tops[place], f"Group {group} {side} SGE on image {image['index']}")
            for place, group in enumerate(groups)
            for side in SIDES
        ]
        rows.append(MapRow(image["index"], image["class"], image["pixels"], tuple(maps)))
    histogram, bars = _histogram(measured["histogram"]), _bars(measured["variance"])
    return Activations(measured, tops, tuple(rows), histogram, bars)


def _top(maps: list[list[list[float]]]) -> float:
    """The length that no more than one in fifty exceeds: a few long vectors would leave all others pale."""
    lengths = sorted(length for lines in maps for line in lines for length in line)
    return lengths[-1 - len(lengths) // 50]


def _heat_map(lengths: list[list[float]], top: float, title: str) -> HeatMap:
    paths_: dict[int, str] = {}
    for y, line in enumerate(lengths):
        for x, length in enumerate(line):
            shade = round(SHADES * min(1, length / top)) if top else 0
            paths_[shade] = paths_.get(shade, "") + f"M{x} {y}h1v1h-1z"
    every = [length for line in lengths for length in line]
    mean = sum(every) / len(every)
    shades = tuple((round(shade / SHADES, 3), path) for shade, path in sorted(paths_.items()) if shade)
    return HeatMap(shades, mean, f"{title}: lengths from {min(every):.3g} to {max(every):.3g}, mean {mean:.3g}")


def _histogram(found: dict[str, Any]) -> Histogram:
    """Shares of the vectors by bin, in percent; the axis ends where SHOWN of them are told, before as after."""
    bins, shares = 0, {}
    for side in SIDES:
        total = sum(found[side])
        shares[side] = [100 * count / total for count in found[side]]
        told = [count >= SHOWN * total for count in accumulate(found[side])]
        bins = max(bins, told.index(True) + 1)
    end = bins * found["bin_width"]
    top = max(max(shares[side]) for side in SIDES)
    lines = {}
    for side in SIDES:
        corners: list[tuple[float, float]] = [(FRAME.left, FRAME.y(0))]
        for place, share in enumerate(shares[side][:bins]):
            corners += [(FRAME.x(edge / bins), FRAME.y(share, (0, top))) for edge in (place, place + 1)]
        lines[side] = " ".join(f"{x},{y}" for x, y in corners)
    means = " and ".join(f"{found['mean'][side]:.3g} {side}" for side in SIDES)
    return Histogram(
        **lines,
        x_ticks=mark(ticks(0, end, 8), lambda length: FRAME.x(length, (0, end))),
        y_ticks=_y_ticks(top),
        end=end,
        beyond=100 - sum(shares["before"][:bins]),
        alt=f"Histogram of the lengths of feature vectors from 0 to {end:.3g}; their mean is {means} SGE",
    )


def _bars(variance: dict[str, Any]) -> Bars:
    """Two bars a group with whiskers of one standard deviation to either side, cut at 0."""
    groups = len(variance["before"]["mean"])
    left, right = FRAME.left, FRAME.right
    slot = max(SLOT, (FRAME.width - left - right) / groups)
    spans = {
        side: [(mean, mean + std, max(0, mean - std)) for mean, std in zip(*variance[side].values(), strict=True)]
        for side in SIDES
    }
    top = max(high for side in SIDES for _, high, _ in spans[side]) or 1

    def y(value: float) -> float:
        return FRAME.y(value, (0, top))

    bars = tuple(
        Bar(side, round(left + slot * (group + start), 1), y(mean), (y(high), y(low)))
        for side, start in zip(SIDES, (0.12, 0.5), strict=True)
        for group, (mean, high, low) in enumerate(spans[side])
    )
    numbered = range(0, groups, 1 if groups <= 16 else 4)
    means = " and ".join(f"{sum(variance[side]['mean']) / groups:.3g} {side}" for side in SIDES)
    return Bars(
        width=round(left + slot * groups + right, 1),
        bar=round(0.38 * slot, 1),
        bars=bars,
        x_ticks=mark(numbered, lambda group: round(left + slot * (group + 0.5), 1)),
        y_ticks=_y_ticks(top),
        alt=f"Variance of length by group, {groups} groups; their mean is {means} SGE",
    )


def _y_ticks(top: float) -> Ticks:
    return mark(ticks(0, top), lambda value: FRAME.y(value, (0, top)))
