"""COCO's file format, as training and evaluation both read it: the lists of a file, and its run-length masks.

Masks are checked before they are decoded: COCO's C library trusts the counts, and reads beyond them; of polygons it
takes memory for every pixel of the outline.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgenet.errors import InputError
from sgenet.runtime.files import read_json

_LARGEST = 2**32  # a count is an unsigned 32-bit integer there
_FARTHEST = 2**20  # pixels from an image's corner at which a polygon may have one
_LONGEST = 2**20  # pixels of a polygon's outline


def read_lists(path: Path, name: str | Path) -> dict[str, Any]:
    """The content of a json file that has images, annotations and categories as lists; `name` is for messages.

    InputError where one is missing, or empty (annotations may be); the entries themselves are not looked at.
    """
    content = read_json(path, foreign=True)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{name}: {key}: missing, expected a list (COCO's instances format)")
        if not content[key] and key != "annotations":
            raise InputError(f"{name}: {key}: found an empty list, expected at least one entry")
    return content


def is_run_length(shape: Any, size: Sequence[int]) -> bool:
    """Whether `shape` is a run-length mask of height and width `size` whose counts cover just these pixels.

    `counts` are a list of whole numbers, or the text (or bytes) that COCO packs them into.
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
    """Whether `shape` is a list of polygons [x, y, x, y, ...], in pixels, whose masks can be drawn."""
    return isinstance(shape, list) and all(map(_is_polygon, shape))


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    if not all(isinstance(place, int | float) and abs(place) <= _FARTHEST for place in polygon):  # neither is NaN
        return False
    corners = list(zip(polygon[::2], polygon[1::2], strict=True))
    sides = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(max(abs(x - u), abs(y - v)) for (x, y), (u, v) in sides) <= _LONGEST


def unpack_counts(text: bytes) -> list[int]:
    """The counts in pycocotools' packed form; none where the text is no such form.

    Each character holds five bits of a number, the lowest first, and in its sixth bit whether more follow; the last
    one's fifth bit is the sign. From the fourth on, numbers are differences to the count before the last.
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
