"""Labels of points in a plot, placed one after the other where they cover neither a point nor another label."""

from dataclasses import dataclass

CHARACTER, LINE = 7.2, 12.0  # of the text, in units of the drawing: the width of a capital, and a line's height
MARK = 5.0  # half the side of a point
NEAR = 7.0  # from a point's middle to the text beside it
DISTANCES = (NEAR, 14.0, 22.0, 32.0, 44.0, 58.0)
ANCHORS = {1: "start", 0: "middle", -1: "end"}  # of a text to the right of its point, in line with it, to its left
DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1))


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Width times height, in square units of the drawing."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True)
class Label:
    """A placed label: where its text starts, ends or has its middle (`anchor`, SVG's word for it), and its box.

    `leader` is where a line from the point ends, if the label lies far off.
    """

    at: tuple[float, float]
    anchor: str
    box: Box
    leader: tuple[float, float] | None


def place(points: list[tuple[float, float]], texts: list[str], bounds: Box) -> list[Label]:
    """Place a label for each point (x, y), inside `bounds` where there is room; in the order of the points.

    Greedy: from the top down, each at the first place near its point that covers nothing, else where it covers least.
    """
    taken = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]
    placed: dict[int, Label] = {}
    for number in sorted(range(len(points)), key=lambda number: (points[number][1], points[number][0])):
        candidates = _candidates(*points[number], CHARACTER * len(texts[number]))
        costs = [_cost(label.box, taken, bounds) for label in candidates]
        placed[number] = candidates[costs.index(min(costs))]
        taken.append(placed[number].box)
    return [placed[number] for number in range(len(points))]


def _candidates(x: float, y: float, width: float) -> list[Label]:
    labels = []
    for distance in DISTANCES:
        for across, down in DIRECTIONS:
            away = distance * (0.7 if across and down else 1)
            end = (round(x + across * away, 1), round(y + down * away, 1))
            middle, line = end[0] + across * width / 2, round(end[1] + down * LINE / 2, 1)
            box = Box(middle - width / 2, line - LINE / 2, middle + width / 2, line + LINE / 2)
            labels.append(Label((end[0], line), ANCHORS[across], box, end if distance > NEAR else None))
    return labels


def _cost(box: Box, taken: list[Box], bounds: Box) -> float:
    """The area that a label covers of what is there, or has outside the bounds."""
    return sum(box.overlap(other) for other in taken) + box.area - box.overlap(bounds)
