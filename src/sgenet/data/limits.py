"""Deterministic, evenly spread subsets of a data set."""

from collections.abc import Sequence


def spread(counts: Sequence[int], limit: int | None) -> list[int]:
    """Return how many items of each class to use: at most `limit` in total, as evenly as the counts allow."""
    left, shares = sum(counts) if limit is None else limit, [0] * len(counts)
    order = sorted(range(len(counts)), key=lambda position: (counts[position], -position))
    for done, position in enumerate(order):
        shares[position] = min(counts[position], left // (len(counts) - done))
        left -= shares[position]
    return shares


def pick(count: int, wanted: int) -> list[int]:
    """Return `wanted` evenly spaced positions out of `count`."""
    return [(2 * index + 1) * count // (2 * wanted) for index in range(wanted)]
