"""Classification of objects as small, medium or large by their area."""

from collections.abc import Sequence

SIZES = ("small", "medium", "large")


def size_of(area: float, limits: Sequence[float]) -> str:
    """Return "small", "medium" or "large" for an area in square pixels; `limits` are the largest small and medium."""
    return SIZES[sum(area > limit for limit in limits)]
