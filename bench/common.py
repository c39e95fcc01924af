"""What the benchmarks share: variants that take turns, and rows with their spread.

A machine is never equally busy for long. So variants that are compared take turns, each turn gives one ratio to the
first of them, and what is told is the median of the turns with its quartiles.
"""

import math
import os
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sgenet.provenance.origin import cpu_name

Variants = Mapping[str, Callable[[], object]]
Seconds = dict[str, list[float]]  # by variant, of each turn


@dataclass(frozen=True)
class Row:
    """One variant of a comparison.

    `low`, `seconds` and `high` are quartiles and median, None where it could not be measured, of which `note` tells;
    `ratio` is the median ratio to the first variant; `values` are further columns, `label` says them in words.
    """

    what: str
    variant: str
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    label: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.seconds is None or self.low is None or self.high is None:
            return self.note
        spread = f"{in_words(self.seconds)} ({in_words(self.low)} to {in_words(self.high)})"
        return ", ".join(filter(None, [spread, f"{self.ratio:.2f} of the first", self.label, self.note]))


def take_turns(
    variants: Variants, turns: int, *, device: str = "cpu", warm: bool = True, shortest: float = 0.0
) -> Seconds:
    """Time each variant once a turn.

    Args:
        variants: what is compared, by name.
        turns: how often each is timed.
        device: `cuda` waits for what was started there.
        warm: whether each is called once before, untimed.
        shortest: calls are repeated until a turn takes so many seconds; what counts is the mean of one call.
    """
    calls = {}
    for name, call in variants.items():
        if warm:
            call()
        calls[name] = max(1, math.ceil(shortest / _time(call, 1, device))) if shortest else 1
    seconds: Seconds = {name: [] for name in variants}
    for _ in range(turns):
        for name, call in variants.items():
            seconds[name].append(_time(call, calls[name], device))
    return seconds


def _time(call: Callable[[], object], calls: int, device: str) -> float:
    """Seconds of one call."""
    finish(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    finish(device)
    return (time.perf_counter() - started) / calls


def finish(device: str) -> None:
    """Wait for all that was started on `device`."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def row(what: str, variant: str, seconds: Seconds, values: dict[str, float] | None = None, label: str = "") -> Row:
    """The row of a variant in what `take_turns` measured; it is printed too."""
    first = next(iter(seconds.values()))
    low, median, high = (float(value) for value in np.percentile(seconds[variant], [25, 50, 75]))
    ratio = statistics.median(own / other for own, other in zip(seconds[variant], first, strict=True))
    return told(Row(what, variant, median, low, high, ratio, values or {}, label))


def told(row: Row) -> Row:
    """The row, printed."""
    print(f"{row.what} | {row.variant}: {row}", flush=True)
    return row


def device_name(device: str) -> str:
    """The device as a part of a file's name: the GPU's name, or the CPU's with the threads that torch takes."""
    import torch

    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = f"{re.sub(r'[(](R|TM|C)[)]|CPU', '', cpu_name())} {torch.get_num_threads()} of {os.cpu_count()} cores"
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def in_words(seconds: float) -> str:
    """A duration in three digits, as `1.23 s`, `12.3 ms` or `123 µs`."""
    unit, factor = next((pair for pair in (("s", 1.0), ("ms", 1e3)) if seconds * pair[1] >= 1), ("µs", 1e6))
    value = seconds * factor
    return f"{value:.{max(0, 2 - math.floor(math.log10(value))) if value else 0}f} {unit}"
