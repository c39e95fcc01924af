"""COCO's file format, for training and evaluation: the lists of a file, and the check of its masks.

Masks are checked before they are decoded: COCO's C library does not check the counts of a run-length mask and may read
out of bounds, and it allocates memory for every pixel of a polygon's outline.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgenet.errors import InputError
from sgenet.runtime.files import read_json

_LARGEST = 2**32  # COCO's library stores a count as an unsigned 32-bit integer
_FARTHEST = 2**20  # largest absolute coordinate of a polygon, in pixels
_LONGEST = 2**20  # length of a polygon's outline, in pixels


def read_lists(path: Path, name: str | Path) -> dict[str, Any]:
    """Read a JSON file with the lists images, annotations and categories; their entries are not checked.

    Args:
        path: the file.
        name: of the file, for messages.

    Raises:
        InputError: a list is missing, or is empty (annotations may be empty).
    """
    content = read_json(path, foreign=True)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{name}: {key}: missing, expected a list (COCO's instances format)")
        if not content[key] and key != "annotations":
            raise InputError(f"{name}: {key}: found an empty list, expected at least one entry")
    return content


def is_run_length(shape: Any, size: Sequence[int]) -> bool:
    """Return whether `shape` is a run-length mask of height and width `size` whose counts sum to the number of pixels.

    `counts` are a list of integers, or COCO's packed text or bytes.
    """
    sides = shape.get("size") if isinstance(shape, dict) else None
    if sides != list(size) or any(type(side) is not int for side in sides) or not 0 < size[0] * size[1] < _LARGEST:
        return False
    counts = shape.get("counts")
    if isinstance(counts, str | bytes):
        counts = unpack_counts(counts if isinstance(counts, bytes) else counts.encode(errors="surrogatepass"))
    if not isinstance(counts, list) or not counts:
        return False
    return all(type(count) is int and 0 <= count < _LARGEST for count in counts) and sum(counts) == size[0] * size[1]


def is_polygons(shape: Any) -> bool:
    """Return whether `shape` is a list of polygons [x, y, x, y, ...], in pixels, that can be drawn as masks."""
    return isinstance(shape, list) and all(map(_is_polygon, shape))


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
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
