"""One function over many items on all cores that this process may use."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 16  # items that a process takes at once


def count_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results in the order of `items`; few items, or one core, need no further process.

    `function` stands at the top level of a module. What it raises is raised here, and ends the other processes.
    """
    processes = min(count_cores(), len(items) // CHUNK)
    if processes < 2:
        yield from map(function, items)
        return
    with multiprocessing.Pool(processes, _leave_signals_to_the_parent) as pool:
        yield from pool.imap(function, items, chunksize=CHUNK)


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
