"""COCO's masks: run-length masks and polygons are checked before pycocotools decodes them.

COCO's C library does not check the counts of a run-length mask and may read out of bounds, and it allocates memory for
every pixel of a polygon's outline.
"""

from collections.abc import Sequence
from typing import TypedDict

_LARGEST = 2**32  # COCO's library stores a count as an unsigned 32-bit integer
_SHORTEST = 6  # numbers of a polygon: three points
_FARTHEST = 2**20  # largest absolute coordinate of a polygon, in pixels
_LONGEST = 2**20  # length of a polygon's outline, in pixels


class RunLength(TypedDict):
    """A run-length mask: height and width, and the lengths of its runs as a list or in COCO's packed format."""

    size: list[int]
    counts: list[int] | str | bytes


Polygons = list[list[float]]  # of each polygon x, y, x, y, ... in pixels


def is_run_length(shape: object, size: Sequence[int]) -> bool:
    """Return whether `shape` is a run-length mask of height and width `size` whose counts sum to the number of pixels.

    `counts` are a list of integers, or COCO's packed text or bytes.
    """
    if not isinstance(shape, dict):
        return False
    sides = shape.get("size")
    if sides != list(size) or any(type(side) is not int for side in sides) or not 0 < size[0] * size[1] < _LARGEST:
        return False
    counts = shape.get("counts")
    if isinstance(counts, str | bytes):
        counts = unpack_counts(counts if isinstance(counts, bytes) else counts.encode(errors="surrogatepass"))
    if not isinstance(counts, list) or not counts:
        return False
    return all(type(count) is int and 0 <= count < _LARGEST for count in counts) and sum(counts) == size[0] * size[1]


def is_polygons(shape: object) -> bool:
    """Return whether `shape` is a list of polygons [x, y, x, y, ...], in pixels, that can be drawn as a mask.

    Polygons of one or two points are allowed next to others; `without_degenerate` leaves them out.
    """
    return isinstance(shape, list) and all(map(_is_polygon, shape)) and (not shape or any(map(_has_area, shape)))


def without_degenerate(shape: Polygons) -> Polygons:
    """Return the polygons of at least three points; mmdet leaves out the others too, pycocotools misreads them."""
    return list(filter(_has_area, shape))


def bounds(shape: Polygons) -> tuple[float, float, float, float]:
    """Return the smallest and largest x and y of polygons: left, top, right, bottom."""
    across = [min(polygon[::2]) for polygon in shape], [max(polygon[::2]) for polygon in shape]
    down = [min(polygon[1::2]) for polygon in shape], [max(polygon[1::2]) for polygon in shape]
    return min(across[0]), min(down[0]), max(across[1]), max(down[1])


def _has_area(polygon: Sequence[float]) -> bool:
    return len(polygon) >= _SHORTEST


def _is_polygon(polygon: object) -> bool:
    if not isinstance(polygon, list) or len(polygon) % 2:
        return False
    if not polygon:
        return True
    if not all(isinstance(place, int | float) and abs(place) <= _FARTHEST for place in polygon):  # false for NaN
        return False
    corners = list(zip(polygon[::2], polygon[1::2], strict=True))
    sides = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(max(abs(x - u), abs(y - v)) for (x, y), (u, v) in sides) <= _LONGEST


def unpack_counts(text: bytes) -> list[int]:
    """Unpack counts from pycocotools' packed format; the list is empty if the text is not valid.

    Each character encodes five bits of a number, lowest bits first. Its sixth bit is set if another character follows;
    the fifth bit of the last character is the sign. From the fourth number on, a number is the difference to the count
    two places before it.
    """
    counts: list[int] = []
    number = place = 0
    for character in text:
        code = character - 48
        if not 0 <= code < 64 or place > 30:
            return []
        number |= (code & 31) << place
        place += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << place
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = place = 0
    return [] if place else counts
