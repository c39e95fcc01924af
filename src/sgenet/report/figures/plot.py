"""Plots as SVG inside the page: drawn by matplotlib, coloured by the page's style sheet (light, dark, print).

Text stays text in the page's font. The same data give the same bytes. Nothing in a plot has an id, so that any number
of them fits on a page; what belongs to a run has the attribute `data-run` instead.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup, escape

Range = tuple[float, float]
Points = Sequence[Range]  # (x, y)

# Variables of the style sheet. matplotlib draws in the hex colour, which the variable replaces in the SVG.
COLORS = {
    name: f"#0000{number:02x}"
    for number, name in enumerate(("ink", "soft", "rule", "page", "row", "baseline", *"ABCDEF"), 1)
}
INK, SOFT, RULE, PAGE, ROW, BASELINE = list(COLORS.values())[:6]
_VARIABLES = {code: f"var(--{name})" for name, code in COLORS.items()}

SIZE = (280, 170)  # of a panel of small multiples, in CSS pixels
MARGINS = (42, 10, 10, 32)  # left, right, top, bottom
LINE = 14  # between the lines of a legend
_UNIT = 72  # matplotlib's units of length to an inch
_STYLE = {
    "font.family": "STIXGeneral",  # has about the widths of the page's font
    "font.size": 11,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may contain a dollar sign
    "text.color": SOFT,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": RULE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "ytick.major.size": 0,
    "lines.scale_dashes": False,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.labelspacing": 0.3,
}


@dataclass(frozen=True)
class Plot:
    """A plot with what the page prints above it; `run` is the run that it is about."""

    title: str
    svg: Markup
    run: str = ""


@dataclass(frozen=True)
class Figure:
    """Plots that belong together: those of one table, where they have its id and title."""

    plots: tuple[Plot, ...]
    table: str = ""
    title: str = ""


@dataclass(frozen=True)
class Line:
    """Curves of one kind, or a line across the plot at `level`, and points; `run` is the run that they belong to."""

    curves: Sequence[Points] = ()
    color: str = ROW
    width: float = 1.8
    dashes: tuple[float, ...] = ()
    dots: Points = ()
    hollow: bool = False
    level: float | None = None
    label: str = ""
    run: str = ""


def draw(
    alt: str,
    paint: Callable[..., None],
    size: tuple[float, float] = SIZE,
    margins: tuple[float, ...] = MARGINS,
) -> Markup:
    """Return what `paint` draws into the axes that it is called with."""
    import matplotlib
    from matplotlib.figure import Figure

    (width, height), (left, right, top, bottom) = size, margins
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that only the page's font has
        figure = Figure(figsize=(width / _UNIT, height / _UNIT))
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
        paint(figure.subplots())
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(buffer.getvalue(), size, alt)


def draw_lines(
    alt: str,
    lines: Sequence[Line],
    x_range: Range,
    y_range: Range,
    labels: tuple[str, str] = ("epoch", ""),
    size: tuple[float, float] = SIZE,
    legend: str = "",
) -> Markup:
    """Return curves and points over one pair of axes; later lines are drawn over earlier ones.

    Args:
        alt: the plot in words.
        lines: what is drawn.
        x_range: ends of the horizontal axis.
        y_range: ends of the vertical axis.
        labels: of the two axes.
        size: width and height, without a legend below.
        legend: where the labels of lines are: "inside" at the lower right, or "below" the plot.
    """
    (width, height), (left, right, top, bottom) = size, MARGINS
    below = 6 + LINE * sum(bool(line.label) for line in lines) if legend == "below" else 0

    def paint(axes: Any) -> None:
        set_axes(axes, x_range, y_range, labels)
        for line in lines:
            add_line(axes, line)
        if legend:
            below_axes = {"bbox_to_anchor": (0.01, 0), "bbox_transform": axes.figure.transFigure} if below else {}
            axes.legend(loc="lower left" if below else "lower right", handlelength=2.4, **below_axes)

    return draw(alt, paint, (width, height + below), (left, right, top, bottom + below))


def set_axes(axes: Any, x_range: Range, y_range: Range, labels: tuple[str, str]) -> None:
    """Set ends and labels of both axes, with round ticks; epochs are whole."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlim=x_range, ylim=y_range, xlabel=labels[0], ylabel=labels[1])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=labels[0] == "epoch"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")


def add_line(axes: Any, line: Line) -> None:
    """Draw the curves as one path, and the points."""
    look = {"color": line.color, "gid": f"run:{line.run}", "clip_on": False}
    stroke = {"linestyle": (0, line.dashes) if line.dashes else "-", "linewidth": line.width}
    stroke["label"] = printable(line.label)
    if line.level is not None:
        axes.axhline(line.level, **look, **stroke)
    if joined := [point for curve in line.curves for point in (*curve, (float("nan"), float("nan")))]:
        axes.plot(*zip(*joined, strict=True), **look, **stroke)
    if line.dots:
        edge = {"markerfacecolor": PAGE, "markeredgewidth": 1.5} if line.hollow else {"markeredgewidth": 0}
        axes.plot(*zip(*line.dots, strict=True), "o", markersize=6, **edge, **look)


def printable(text: str) -> str:
    """Return a text with a replacement for what an SVG cannot contain, such as control characters."""
    return re.sub("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def span(values: Sequence[float], margin: float = 0.0) -> Range:
    """Return the ends of an axis that includes these values, with a margin as a share of their range."""
    low, high = min(values), max(values)
    more = margin * (high - low) if high > low else 0.5
    return low - more, high + more


def _inline(text: str, size: tuple[float, float], alt: str) -> Markup:
    """Return matplotlib's SVG as part of a page: markers in place instead of references to them, and no ids."""
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text.partition("?>")[2]).replace("xlink:href", "href")
    root = ElementTree.fromstring(re.sub("<!DOCTYPE.*?>", "", text, flags=re.DOTALL))
    shapes = {f"#{shape.get('id')}": shape.get("d", "") for shape in root.iterfind(".//defs/path")}
    box = f'<svg class="plot" viewBox="0 0 {size[0]:g} {size[1]:g}" role="img">\n<title>'
    return Markup(box) + alt + Markup("</title>\n" + "\n".join(_elements(root, shapes)) + "\n</svg>")


def _elements(parent: ElementTree.Element, shapes: dict[str, str]) -> Iterator[str]:
    """Yield what a group of matplotlib's SVG contains; groups remain around what belongs to a run."""
    for element in parent:
        style, x, y = _style(element), *(_round(element.get(axis, "")) for axis in "xy")
        kind, _, run = (element.get("id") or "").partition(":")
        if element.tag == "g":
            inside = "\n".join(_elements(element, shapes))
            yield f'<g class="{kind}" data-run="{escape(run)}">{inside}</g>' if run else inside
        elif element.tag == "text":
            turn = f' transform="rotate(-90 {x} {y})"' if "rotate(-90" in element.get("transform", "") else ""
            yield f'<text x="{x}" y="{y}"{turn}{style}>{escape(element.text or "")}</text>'
        elif element.tag == "use":
            shape = _round(shapes[element.get("href", "")])
            if circle := re.match(r"M 0 ([\d.]+) C", shape):
                yield f'<circle cx="{x}" cy="{y}" r="{circle[1]}"{style}/>'
            else:
                yield f'<path transform="translate({x} {y})" d="{shape}"{style}/>'
        elif element.tag == "path" and style != ' style="fill: none"':
            yield f'<path d="{_round(element.get("d", ""))}"{style}/>'


def _style(element: ElementTree.Element) -> str:
    found = re.sub(r"font-family: [^;]*;? ?", "", element.get("style", "")).strip("; ")
    found = re.sub("#[0-9a-f]{6}", lambda code: _VARIABLES.get(code[0], code[0]), found)
    return f' style="{found}"' if found else ""


def _round(numbers: str) -> str:
    return re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), 1):g}", " ".join(numbers.split()))
