"""Settings as dotted keys and text; what a setting means is the description in its model (sgenet.config)."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
DETECTORS = {
    "retinanet": "RetinaNet",
    "faster-rcnn": "Faster R-CNN",
    "mask-rcnn": "Mask R-CNN",
    "cascade-rcnn": "Cascade R-CNN",
}


def plain(value: Any) -> str:
    """Any value as text: numbers short, thirds and ninths as fractions, what is missing as `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", THIN_SPACE)
    if isinstance(value, float):
        ratio = Fraction(value).limit_denominator(20)
        return str(ratio) if len(f"{value:g}") > 6 and abs(float(ratio) - value) < 1e-9 else f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return str(value)


def plain_pair(one: Any, other: Any) -> tuple[str, str]:
    """Two values as text; where they differ and their texts do not, as Python writes them."""
    texts = plain(one), plain(other)
    return (repr(one), repr(other)) if texts[0] == texts[1] and one != other else texts


def flatten(settings: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value
