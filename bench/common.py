"""Helpers of the benchmarks: alternating timing of variants, and rows with median and quartiles.

The load of a machine changes over time. Therefore the variants under comparison are timed alternately, each turn gives
one ratio to the first variant, and the results are the median and the quartiles of the turns.
"""

import math
import os
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sgenet.runtime.machine import cpu_name

Variants = Mapping[str, Callable[[], object]]
Seconds = dict[str, list[float]]  # by variant, one per turn
Quartiles = tuple[float, float, float]


@dataclass(frozen=True)
class Row:
    """One variant of a comparison.

    `low`, `seconds` and `high` are lower quartile, median and upper quartile of the turns; `ratios` are those of the
    ratio to the first variant. They are None if the variant could not be measured; `note` is the reason. `processor`
    are the median of the processor time and the quartiles of its ratio to the first. `values` are further columns, and
    `label` is their text.
    """

    what: str
    variant: str
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    ratios: Quartiles | None = None
    processor: tuple[float, *Quartiles] | None = None
    values: dict[str, float] = field(default_factory=dict)
    label: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.seconds is None or self.low is None or self.high is None:
            return self.note
        spread = f"{in_words(self.seconds)} ({in_words(self.low)} to {in_words(self.high)})"
        ratio = f"{_in_quartiles(self.ratios)} of the first" if self.ratios else ""
        busy = f"processor time {_in_quartiles(self.processor[1:])} of the first" if self.processor else ""
        return ", ".join(filter(None, [spread, ratio, busy, self.label, self.note]))

    @property
    def ratio(self) -> float | None:
        """Median ratio to the first variant."""
        return self.ratios and self.ratios[1]


def take_turns(
    variants: Variants,
    turns: int,
    *,
    device: str = "cpu",
    warm: bool = True,
    shortest: float = 0.0,
    processor: Seconds | None = None,
) -> Seconds:
    """Time each variant once per turn.

    Args:
        variants: the functions to compare, by name.
        turns: number of turns.
        device: `cuda` waits for the kernels started there.
        warm: whether each variant is called once before, untimed.
        shortest: a variant is repeated so that a turn takes this many seconds; the result is the mean of one call.
        processor: where the processor time of each turn is written, of this process and of those that it started.
    """
    calls = {}
    for name, call in variants.items():
        if warm:
            call()
        calls[name] = max(1, math.ceil(shortest / _time(call, 1, device)[0])) if shortest else 1
    seconds: Seconds = {name: [] for name in variants}
    for _ in range(turns):
        for name, call in variants.items():
            elapsed, busy = _time(call, calls[name], device)
            seconds[name].append(elapsed)
            if processor is not None:
                processor.setdefault(name, []).append(busy)
    return seconds


def _time(call: Callable[[], object], calls: int, device: str) -> tuple[float, float]:
    """Seconds of one call, and its processor time."""
    finish(device)
    started, busy = time.perf_counter(), _processor_time()
    for _ in range(calls):
        call()
    finish(device)
    return (time.perf_counter() - started) / calls, (_processor_time() - busy) / calls


def _processor_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def finish(device: str) -> None:
    """Wait for all kernels started on `device`."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def row(
    what: str,
    variant: str,
    seconds: Seconds,
    values: dict[str, float] | None = None,
    label: str = "",
    processor: Seconds | None = None,
) -> Row:
    """Create and print the row of a variant from the result of `take_turns`, and from the processor time of it."""
    low, median, high = _quartiles(seconds[variant])
    busy = (statistics.median(processor[variant]), *_ratios(processor, variant)) if processor else None
    return report_row(
        Row(what, variant, median, low, high, _ratios(seconds, variant), busy, values=values or {}, label=label)
    )


def _ratios(seconds: Seconds, variant: str) -> Quartiles:
    first = next(iter(seconds.values()))
    return _quartiles([own / other for own, other in zip(seconds[variant], first, strict=True)])


def _quartiles(values: list[float]) -> Quartiles:
    low, median, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
    return low, median, high


def _in_quartiles(quartiles: Quartiles) -> str:
    low, median, high = quartiles
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


def report_row(row: Row) -> Row:
    """Print the row, and return it."""
    print(f"{row.what} | {row.variant}: {row}", flush=True)
    return row


def device_name(device: str) -> str:
    """Device as part of a file name: the GPU's name, or the CPU's with torch's number of threads."""
    import torch

    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = f"{re.sub(r'[(](R|TM|C)[)]|CPU', '', cpu_name())} {torch.get_num_threads()} of {os.cpu_count()} cores"
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def in_words(seconds: float) -> str:
    """Format a duration with three digits, as `1.23 s`, `12.3 ms` or `123 µs`."""
    unit, factor = next((pair for pair in (("s", 1.0), ("ms", 1e3)) if seconds * pair[1] >= 1), ("µs", 1e6))
    value = seconds * factor
    return f"{value:.{max(0, 2 - math.floor(math.log10(value))) if value else 0}f} {unit}"
