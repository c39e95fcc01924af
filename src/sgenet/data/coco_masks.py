"""COCO's masks: run-length masks and polygons are checked before pycocotools decodes them.

COCO's C library does not check the counts of a run-length mask and may read out of bounds, and it allocates memory for
every pixel of a polygon's outline.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

_LARGEST = 2**32  # pixels; COCO's library stores a count as an unsigned 32-bit integer
_SHORTEST = 6  # numbers of a polygon: three points
_FARTHEST = 2**20  # largest absolute coordinate of a polygon, in pixels
_LONGEST = 2**20  # length of a polygon's outline, in pixels
_LONGEST_NUMBER = 7  # characters of a number in the packed format
_AT_ONCE = 512  # texts that are unpacked together, so that the arrays fit in the cache


class RunLength(TypedDict):
    """A run-length mask: height and width, and the lengths of its runs as a list or in COCO's packed format."""

    size: list[int]
    counts: list[int] | str | bytes


Polygons = list[list[float]]  # of each polygon x, y, x, y, ... in pixels


def is_run_length(shape: object, size: Sequence[int], pixels: int) -> bool:
    """Return whether `shape` is a run-length mask of height and width `size`; `pixels` is from `count_pixels`."""
    sides = shape.get("size") if isinstance(shape, dict) else None
    if sides != list(size) or any(type(side) is not int for side in sides):
        return False
    return pixels == size[0] * size[1] < _LARGEST


def count_pixels(shapes: Sequence[object]) -> list[int]:
    """Return the sum of the counts of each run-length mask; -1 for what is not one, or has counts that are not valid.

    `counts` are a list of integers, or COCO's packed text or bytes.
    """
    pixels = [-1] * len(shapes)
    packed: dict[int, bytes] = {}
    for index, shape in enumerate(shapes):
        counts = shape.get("counts") if isinstance(shape, dict) else None
        if isinstance(counts, str | bytes):
            packed[index] = counts if isinstance(counts, bytes) else counts.encode(errors="surrogatepass")
        elif isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts):
            pixels[index] = sum(counts)
    texts = list(packed.values())
    found = [count for start in range(0, len(texts), _AT_ONCE) for count in _sums(texts[start : start + _AT_ONCE])]
    for index, count in zip(packed, found, strict=True):
        pixels[index] = count
    return pixels


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


def _sums(texts: Sequence[bytes]) -> list[int]:
    """Return the sum of the counts in each text of pycocotools' packed format; -1 if a text is not valid.

    Each character encodes five bits of a number, lowest bits first. Its sixth bit is set if another character follows;
    the fifth bit of the last character is the sign. From the fourth number on, a number is the difference to the count
    two places before it.
    """
    texts = [text or b"~" for text in texts]  # neither is valid
    codes = np.frombuffer(b"".join(texts), dtype=np.uint8) - np.uint8(48)  # above 63 for other characters
    ends = np.cumsum([len(text) for text in texts])  # of the texts, in characters
    last = codes & 32 == 0
    last[ends - 1] = True
    stops = np.flatnonzero(last)  # of the numbers
    length = np.diff(stops, prepend=-1)
    numbers = np.zeros(len(stops), dtype=np.int64)
    for place in range(min(_LONGEST_NUMBER, length.max())):
        own = np.flatnonzero(length > place)
        numbers[own] += (codes[stops[own] - length[own] + 1 + place] & 31).astype(np.int64) << 5 * place
    negative = np.flatnonzero(codes[stops] & 16)
    numbers[negative] -= 1 << 5 * np.minimum(length[negative], _LONGEST_NUMBER)
    first = np.searchsorted(stops, np.append(0, ends[:-1]))  # number of each text
    of_text = np.repeat(np.arange(len(texts)), np.diff(first, append=len(stops)))
    index = np.arange(len(stops)) - first[of_text]
    counts = np.where(index == 0, numbers, 0)
    for parity in (0, 1):  # undo the differences
        own = (index > 0) & (index % 2 == parity)
        total = np.cumsum(np.where(own, numbers, 0))
        counts += np.where(own, total - total[first][of_text], 0)
    valid = (counts >= 0) & (length <= _LONGEST_NUMBER) & (codes[stops] & 32 == 0)
    valid[np.searchsorted(stops, np.flatnonzero(codes >= 64))] = False
    return np.where(np.logical_and.reduceat(valid, first), np.add.reduceat(counts, first), -1).tolist()
