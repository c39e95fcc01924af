"""One function over many items on all cores that this process may use."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sgenet.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 16  # items that a process takes at once


def count_cores() -> int:
    """How many cores this process may use; a workflow may give it fewer (environment variable SGENET_CORES)."""
    given = os.environ.get("SGENET_CORES", "")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(there, int(given))) if given.isdecimal() else there


def map_on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results in the order of `items`; few items, or one core, need no further process.

    `function` stands at the top level of a module. What it raises is raised here, and ends the other processes.

    Raises:
        InputError: a process was killed.
    """
    processes = min(count_cores(), len(items) // CHUNK)
    if processes < 2:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(processes, initializer=_leave_signals_to_the_parent)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for start in range(0, len(items), CHUNK):
            waiting.append(pool.submit(_map, function, items[start : start + CHUNK]))
            if len(waiting) > 4 * processes:  # results that nobody has taken yet take memory
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        cause = "out of memory, or by an image that its decoder cannot bear"
        raise InputError(f"images: a process that read them was killed ({cause}); the same command continues") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return list(map(function, items))


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
