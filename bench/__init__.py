"""Benchmarks of SGE, a training step, image loading and the pipeline.

Each benchmark compares variants in one run, and writes a CSV file and its plot to bench/results/.
"""

from collections.abc import Sequence
from importlib import import_module

from sgenet.errors import InputError

WHAT = ("op", "step", "loader", "pipeline")


def bench(names: Sequence[str]) -> int:
    """Run benchmarks by name, or all if `names` is empty; returns the exit status.

    Raises:
        InputError: a name is unknown; nothing is measured then.
    """
    if unknown := [name for name in names if name not in WHAT]:
        raise InputError(f"found {unknown[0]!r}, expected some of {', '.join(WHAT)}")
    for name in dict.fromkeys(names or WHAT):
        import_module(f"bench.{name}").bench()
    return 0
