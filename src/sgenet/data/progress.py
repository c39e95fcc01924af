"""Progress output of long steps."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

Item = TypeVar("Item")
SECONDS = 5.0  # between two lines if the output is not a terminal


def progress(items: Iterable[Item], title: str, unit: str, total: int, done: int = 0) -> Iterator[Item]:
    """Yield the items; show a progress bar on a terminal, otherwise print a line every SECONDS.

    Args:
        items: to be counted.
        title: of the bar or line.
        unit: name of an item, in the singular.
        total: number of items in all.
        done: number of items that are not in `items` because they were finished before.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=title, unit=unit, total=total, initial=done)
        return
    started = last = time.monotonic()
    for number, item in enumerate(items, done):
        if (now := time.monotonic()) - last > SECONDS:
            last = now
            text = f"{title}: {number:,} of {total:,} {unit}s"
            if number > done:
                text += f", {timedelta(seconds=round((now - started) / (number - done) * (total - number)))} left"
            print(text, file=sys.stderr, flush=True)
        yield item
