"""What a plot of the report shows, read from its SVG; values come from the plot's own ticks and grid."""

import re
from xml.etree import ElementTree

import numpy as np

Point = tuple[float, float]
TICK = "M 0 0 L 0 3.5"  # of a horizontal axis
NUMBER = "[+\N{MINUS SIGN}]?[0-9.]+"


class Drawn:
    """One plot: its texts, and the values of its curves and markers."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.alt = self.root.findtext("title", "")
        self.texts = [text.text or "" for text in self.root.iter("text")]
        self.runs = [group.get("data-run", "") for group in self.root.iter("g")]

    def curves(self, color: str, run: str | None = None) -> list[list[Point]]:
        """The (x, y) of each curve in a colour of the style sheet, in values; of one run if that is given."""
        return [[(self.x(x), self.y(y)) for x, y in curve] for curve in self.lines(color, run)]

    def lines(self, color: str, run: str | None = None) -> list[list[Point]]:
        """The (x, y) of each curve in pixels."""
        found = []
        for path in self._of(run, "path"):
            if f"stroke: var(--{color})" in path.get("style", "") and "transform" not in path.attrib:
                found += [_points(part) for part in path.get("d", "").split("M")[1:]]
        return found

    def markers(self, run: str | None = None, color: str = "") -> list[Point]:
        """The (x, y) of markers in pixels, without ticks."""
        found = []
        for one in (*self._of(run, "circle"), *self._of(run, "path")):
            if color in one.get("style", "") and one.get("d") != TICK:
                if one.tag == "circle":
                    found.append((float(one.get("cx", "")), float(one.get("cy", ""))))
                elif "transform" in one.attrib:
                    found.append(_points(one.attrib["transform"])[0])
        return found

    @property
    def axes(self) -> list[tuple[float, float]]:
        """The ends of each horizontal axis in pixels."""
        paths = [path for path in self._of(None, "path") if "miter" in path.get("style", "")]
        lines = [_points(path.get("d", "")) for path in paths if "transform" not in path.attrib]
        return [(line[0][0], line[1][0]) for line in lines if len(line) == 2]

    def x(self, position: float) -> float:
        """The value at a horizontal position, by the ticks of the axis that it is on."""
        low, high = next(ends for ends in self.axes if ends[0] - 0.2 <= position <= ends[1] + 0.2)
        paths = [path for path in self._of(None, "path") if path.get("d") == TICK]
        ticks = [_points(path.attrib["transform"])[0][0] for path in paths]
        texts = [text for text in self._of(None, "text") if re.fullmatch(NUMBER, text.text or "")]
        labels = {float(text.get("x", "")): text.text or "" for text in texts}
        return _at(position, [(tick, _number(labels[tick])) for tick in ticks if low - 0.2 <= tick <= high + 0.2])

    def y(self, position: float) -> float:
        """The value at a vertical position."""
        grid = sorted({line[0][1] for line in self.lines("rule")}, reverse=True)
        labels = [text.text or "" for text in self._of(None, "text") if "anchor: end" in text.get("style", "")]
        return _at(position, [(at, _number(text)) for at, text in zip(grid, labels, strict=True)])

    def _of(self, run: str | None, tag: str) -> list[ElementTree.Element]:
        groups = [self.root] if run is None else [one for one in self.root.iter("g") if one.get("data-run") == run]
        return [element for group in groups for element in group.iter(tag)]


def drawn(page: str) -> list[Drawn]:
    """All plots of a page, or of a part of it."""
    return [Drawn(svg) for svg in re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL)]


def _points(text: str) -> list[Point]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def _at(position: float, known: list[Point]) -> float:
    places, values = zip(*known, strict=True)
    slope, offset = np.polyfit(places, values, 1)
    return float(slope * position + offset)
