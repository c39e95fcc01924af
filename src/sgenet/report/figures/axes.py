"""Axes that the figures share: ticks, and where a value is drawn between the ends of an axis."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Range = tuple[float, float]
Ticks = tuple[tuple[float, str], ...]  # (position, text)


@dataclass(frozen=True)
class Frame:
    """Size and margins of a plot in SVG units; y grows downwards."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, value: float, span: Range = (0, 1)) -> float:
        """Return the position of a value on the horizontal axis, whose ends are `span`."""
        return at(value, span, (self.left, self.width - self.right))

    def y(self, value: float, span: Range = (0, 1)) -> float:
        """Return the position of a value on the vertical axis, whose ends are `span`."""
        return at(value, span, (self.height - self.bottom, self.top))


def at(value: float, span: Range, onto: Range, digits: int = 1) -> float:
    """Return where a value of the range `span` is between the positions `onto`."""
    return round(onto[0] + (onto[1] - onto[0]) * (value - span[0]) / (span[1] - span[0]), digits)


def mark(values: Iterable[float], place: Callable[[float], float]) -> Ticks:
    """Return ticks at these values, with their positions by `place`."""
    return tuple((place(value), f"{value:g}") for value in values)


def ticks(low: float, high: float, most: int = 5, *, whole: bool = False) -> list[float]:
    """Return at most `most` round numbers from `low` to `high`, evenly spaced by 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = [factor * power for factor in (1, 2, 5, 10, 20, 50)]
    step = next(step for step in steps if (high - low) / step < most and (step >= 1 or not whole))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
