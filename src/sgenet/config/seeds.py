"""How often each run is trained: `seeds` of params/pipeline.yaml, or more for single runs, as the scale says."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from sgenet.config.runs import Run


def count(runs: Iterable[Run], least: int, more: Mapping[str, int]) -> dict[str, int]:
    """Return the number of trainings of each run, by id.

    Seed s of a detector starts from seed s of its classifier, which therefore has at least as many seeds.

    Args:
        runs: all of them, also the classifiers from which detectors start.
        least: trainings of every run.
        more: patterns of ids -> trainings of the runs that they fit; the largest number counts.
    """
    runs = list(runs)
    found = {
        run.id: max([least, *(number for pattern, number in more.items() if fnmatchcase(run.id, pattern))])
        for run in runs
    }
    for run in runs:
        if run.starts_from in found:
            found[run.starts_from] = max(found[run.starts_from], found[run.id])
    return found


def number_range(numbers: Iterable[int]) -> str:
    """Return the smallest and the largest of some numbers in words: `1 to 8`, or `3` where they are equal."""
    found = set(numbers)
    fewest, most = min(found), max(found)
    return str(most) if fewest == most else f"{fewest} to {most}"


def in_words(fewest: int, most: int) -> str:
    """Return numbers of trainings in words: `3 trainings a run`, or `1 to 8 trainings a run` where they differ."""
    return f"{number_range((fewest, most))} training{'s' * (most > 1)} a run"
