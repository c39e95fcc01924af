"""Labels of points: held against every pair of boxes, one by one."""

from itertools import combinations

import numpy as np
import pytest

from sgenet.report.figures.labels import MARK, Box, place

BOUNDS = Box(0, 0, 240, 160)


def marks(points: list[tuple[float, float]]) -> list[Box]:
    return [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]


def covers(one: Box, other: Box) -> bool:
    """Whether two boxes share a grid point finer than any text."""
    x, y = np.meshgrid(np.linspace(one.left, one.right, 60)[1:-1], np.linspace(one.top, one.bottom, 60)[1:-1])
    return bool(((x > other.left) & (x < other.right) & (y > other.top) & (y < other.bottom)).any())


@pytest.mark.parametrize("seed", range(4))
def test_labels_cover_nothing_where_there_is_room(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Two crowds as in the tables: five networks close to each other.
    points = [(float(x), float(y)) for middle in (60, 180) for x, y in rng.normal((middle, 80), (12, 18), (5, 2))]
    labels = place(points, ["plain", "SE", "SK", "BAM", "CBAM"] * 2, BOUNDS)
    boxes = [label.box for label in labels]
    assert not any(covers(one, other) for one, other in combinations(boxes, 2))
    assert not any(covers(box, mark) for box in boxes for mark in marks(points))
    for box in boxes:
        assert BOUNDS.left <= box.left and box.right <= BOUNDS.right
        assert BOUNDS.top <= box.top and box.bottom <= BOUNDS.bottom


def test_a_lone_label_stands_beside_its_point() -> None:
    (right,) = place([(100, 80)], ["SGE"], BOUNDS)
    assert right.anchor == "start" and right.at[0] > 100 and right.at[1] == 80 and right.leader is None
    (left,) = place([(236, 80)], ["SGE"], BOUNDS)
    assert left.anchor == "end" and left.at[0] < 236 and left.box.right == left.at[0]


def test_a_far_label_is_led_to() -> None:
    points = [(100 + 3.0 * number, 80.0) for number in range(12)]
    led = 0
    for (x, y), label in zip(points, place(points, ["CBAM"] * 12, BOUNDS), strict=True):
        across, down = (sorted((low, at, high))[1] for low, at, high in (
            (label.box.left, x, label.box.right), (label.box.top, y, label.box.bottom)
        ))  # fmt: skip
        far = np.hypot(across - x, down - y) > 7.1
        assert far == (label.leader is not None)
        led += far
        if label.leader:
            assert label.leader == pytest.approx((across, down), abs=0.2)  # it ends where the box begins
    assert led > 3


def test_a_label_without_room_is_placed_all_the_same() -> None:
    labels = place([(5, 5)] * 3, ["a very long name indeed"] * 3, Box(0, 0, 10, 10))
    assert len(labels) == 3
