"""Parallel map of a function over items, on all cores that this process may use."""

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
CHUNK = 16  # items per task of a process


def count_cores() -> int:
    """Return how many cores this process may use; the environment variable SGENET_CORES can lower the number."""
    given = os.environ.get("SGENET_CORES", "")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, int(given))) if given.isdecimal() else available


def map_on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results in the order of `items`. With few items, or one core, no further processes are started.

    `function` must be defined at the top level of a module. Its exceptions are raised here and end the other processes.

    Raises:
        InputError: a process was killed.
    """
    processes = min(count_cores(), len(items) // CHUNK)
    if processes < 2:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(processes, initializer=_leave_signals_to_parent)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for start in range(0, len(items), CHUNK):
            waiting.append(pool.submit(_map, function, items[start : start + CHUNK]))
            if len(waiting) > 4 * processes:  # limits the memory of results that are not consumed yet
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        cause = "too little memory, or an image that crashes its decoder"
        raise InputError(f"images: a process that read them was killed ({cause}); the same command continues") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return list(map(function, items))


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
