"""What SGE, a training step, the loading of images and the pipeline cost in time.

Each benchmark compares variants side by side in one run, and leaves a CSV file and its plot in bench/results/.
"""

from collections.abc import Sequence
from importlib import import_module

from sgenet.errors import InputError

WHAT = ("op", "step", "loader", "pipeline")


def bench(names: Sequence[str]) -> int:
    """Run benchmarks by name, all where none is named; returns the exit status.

    Raises:
        InputError: a name that no benchmark has; nothing is measured then.
    """
    if unknown := [name for name in names if name not in WHAT]:
        raise InputError(f"found {unknown[0]!r}, expected some of {', '.join(WHAT)}")
    for name in dict.fromkeys(names or WHAT):
        import_module(f"bench.{name}").bench()
    return 0
