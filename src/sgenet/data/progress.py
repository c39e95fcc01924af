"""Telling how far a long step has come."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
SECONDS = 5.0  # between two lines where there is no terminal


def progress(items: Iterable[Item], title: str, unit: str, total: int, done: int = 0) -> Iterator[Item]:
    """Yield the items, with a bar on a terminal, or a line every SECONDS elsewhere.

    Args:
        items: what is counted.
        title: of the bar or line.
        unit: what an item is, in the singular.
        total: how many there are in all.
        done: how many of them are not among `items`, because they were done before.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=title, unit=unit, total=total, initial=done)
        return
    last = time.monotonic()
    for number, item in enumerate(items, done):
        if time.monotonic() - last > SECONDS:
            last = time.monotonic()
            print(f"{title}: {number:,} of {total:,} {unit}s", file=sys.stderr, flush=True)
        yield item
