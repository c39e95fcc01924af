"""Taking part of a data set, evenly and the same part each time."""

from collections.abc import Sequence


def spread(counts: Sequence[int], limit: int | None) -> list[int]:
    """How many of each class to take so that at most `limit` are taken in all, as evenly as the counts allow."""
    left, shares = sum(counts) if limit is None else limit, [0] * len(counts)
    order = sorted(range(len(counts)), key=lambda position: (counts[position], -position))
    for done, position in enumerate(order):
        shares[position] = min(counts[position], left // (len(counts) - done))
        left -= shares[position]
    return shares


def pick(count: int, wanted: int) -> list[int]:
    """Positions of `wanted` among `count` images, evenly apart."""
    return [(2 * index + 1) * count // (2 * wanted) for index in range(wanted)]
