"""Figures 2, 3 and 4 of the paper, drawn from what `sgenet activations` measured."""

import base64
import io
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement.inputs import Missing
from sgenet.report.figures.plot import BASELINE, INK, PAGE, ROW, Line, draw, draw_lines, set_axes

SHOWN = 0.995  # share of the vectors that the histogram's axis reaches
SIZE, SLOT = (400, 240), 14  # of a figure; least width of a group's two bars
SIDES = ("before", "after")
LOOKS = (Line(color=BASELINE, dashes=(5, 3)), Line(color=ROW))
DEEPEST = (63, 140, 208)  # of a map; the shades are more or less transparent, for light and dark pages


@dataclass(frozen=True)
class HeatMap:
    """Lengths at the positions of one image: an image in a data URI, their mean, and all in words."""

    pixels: str
    mean: float
    alt: str


@dataclass(frozen=True)
class Activations:
    """A measurement and its figures; `tops` is, by group of figure 2, the length of the deepest shade.

    `rows` are those of figure 2: an image, and its maps group by group, before and after. `beyond` is the percentage of
    the vectors before SGE that are longer than the axis of the histogram, `width` the least width of the bars on the
    page in CSS pixels.
    """

    measured: dict[str, Any]
    tops: tuple[float, ...]
    rows: list[tuple[dict[str, Any], list[HeatMap]]]
    histogram: Markup
    beyond: float
    bars: Markup
    width: float


def draw_activations(found: MeasuredActivations | Missing) -> Activations | None:
    """The figures of a measurement; none where nothing was measured."""
    if isinstance(found, Missing):
        return None
    measured = found.model_dump(mode="json", by_alias=True)
    groups, images = measured["maps"]["groups"], measured["maps"]["images"]
    # The length that no more than one in fifty exceeds: a few long vectors would leave all others pale
    tops = tuple(
        float(np.quantile([image[side][place] for image in images for side in SIDES], 0.98, method="inverted_cdf"))
        for place in range(len(groups))
    )
    rows = []
    for image in images:
        maps = [
            _heat_map(image[side][place], tops[place], f"Group {group} {side} SGE on image {image['index']}")
            for place, group in enumerate(groups)
            for side in SIDES
        ]
        rows.append((image, maps))
    return Activations(measured, tops, rows, *_histogram(measured["histogram"]), *_bars(measured["variance"]))


def _heat_map(lengths: list[list[float]], top: float, title: str) -> HeatMap:
    found = np.array(lengths)
    pixels = np.full((*found.shape, 4), (*DEEPEST, 0), dtype=np.uint8)
    pixels[..., 3] = np.rint(255 * np.minimum(1, found / top)) if top else 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    mean = float(found.mean())
    return HeatMap(uri, mean, f"{title}: lengths from {found.min():.3g} to {found.max():.3g}, mean {mean:.3g}")


def _histogram(found: dict[str, Any]) -> tuple[Markup, float]:
    """Figure 3, and what it leaves out; its axis ends where SHOWN of the vectors are counted, before as after."""
    bins, shares = 0, []
    for side in SIDES:
        total = sum(found[side])
        shares.append([100 * count / total for count in found[side]])
        bins = max(bins, 1 + [count >= SHOWN * total for count in accumulate(found[side])].index(True))
    edges, end = np.arange(bins + 1) * found["bin_width"], bins * found["bin_width"]
    lines = []
    for of_side, look in zip(shares, LOOKS, strict=True):
        heights = np.repeat(of_side[:bins], 2).tolist()
        steps = list(zip(np.repeat(edges, 2).tolist(), [0, *heights, heights[-1]], strict=True))
        lines.append(replace(look, curves=[steps[:-1]]))
    means = " and ".join(f"{found['mean'][side]:.3g} {side}" for side in SIDES)
    alt = f"Histogram of the lengths of feature vectors from 0 to {end:.3g}; their mean is {means} SGE"
    top = 1.05 * max(max(of_side) for of_side in shares)
    labels = ("length of the feature vector", "% of vectors")
    return draw_lines(alt, lines, (0, end), (0, top), labels, SIZE), 100 - sum(shares[0][:bins])


def _bars(variance: dict[str, Any]) -> tuple[Markup, float]:
    """Figure 4 and its width: two bars a group, with whiskers of one standard deviation to either side, cut at 0."""
    groups = np.arange(len(variance["before"]["mean"]))
    top = max(mean + std for side in SIDES for mean, std in zip(*variance[side].values(), strict=True)) or 1
    margins = (46, 10, 10, 32)
    width = max(SIZE[0], margins[0] + margins[1] + SLOT * len(groups))

    def paint(axes: Any) -> None:
        set_axes(axes, (-0.5, len(groups) - 0.5), (0, 1.03 * top), ("group", "variance of length"))
        axes.set_xticks(groups[:: 1 if len(groups) <= 16 else 4])
        for side, shift, look in zip(SIDES, (-0.2, 0.2), ((PAGE, BASELINE), (ROW, ROW)), strict=True):
            mean, std = (np.array(values) for values in variance[side].values())
            axes.bar(groups + shift, mean, 0.38, color=look[0], edgecolor=look[1], linewidth=1.5)
            axes.vlines(groups + shift, np.maximum(0, mean - std), mean + std, color=INK, linewidth=1)

    means = " and ".join(f"{np.mean(variance[side]['mean']):.3g} {side}" for side in SIDES)
    alt = f"Variance of length by group, {len(groups)} groups; their mean is {means} SGE"
    return draw(alt, paint, (width, SIZE[1]), margins), width * (width > SIZE[0])
