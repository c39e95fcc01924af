"""Verdicts on cells: their meaning, the rules behind them, and the counts of the first screen."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgenet.evaluation.statistics import Gain

VERDICTS = {
    "exact": "a count that agrees with the published one in every printed digit",
    "replicated": "scale paper: the gain is replicated, and the value lies within the tolerance of the published one",
    "gain replicated": "scale paper: the interval of the gain excludes zero on the published side, and another "
    "training could give the published gain (from three seeds on it lies in the prediction interval; with fewer, in "
    "the interval over images or within the tolerance); the value itself lies beyond the tolerance, or has none",
    "within tolerance": "scale paper: the value of a baseline lies within the tolerance of the published one",
    "same direction": "the interval of the gain excludes zero, and the gain has the sign of the published one",
    "opposite direction": "the interval of the gain excludes zero, and the gain has the other sign",
    "undecided": "the interval of the gain contains zero, or there are too few seeds for an interval",
    "inconclusive": "scale paper: another training could give the published gain, but the interval holds zero, or "
    "there is none; beside it stands how many trainings or images would tell the published gain from zero in four "
    "cases of five (80 % power)",
    "differs": "a count that differs from the published one; at scale paper, a gain that another training could not "
    "bring to the published one, or of the other sign, or the value of a baseline beyond its tolerance",
    "did not learn": "a training of this row did not learn: its Top-1 is not above chance, its AP is 0, or its loss is "
    "higher in the last epoch than in the first; the value is shown and not judged",
    "baseline did not learn": "the same of the row that it is compared with",
    "failed": "a training or evaluation that ended in an error, or a result that cannot be used; the reason stands "
    "in the row, or under Problems or What failed",
    "not run": "no result of this run was found",
    "baseline": "a row that gains are measured against; its value is compared with nothing",
    "no baseline": "there is a value, but none of the row that it is compared with",
    "no published gain": "there is a gain, but no published one was recovered to hold it against",
    "no published direction": "there is a gain, but the published one is exactly 0",
    "not published": "a count for which no published value was recovered",
    "equals the log": "a printed value that repeats the one it was taken from in every printed digit",
    "differs from the log": "a printed value that is another than the one it was taken from; a note says which",
    "timed": "a duration on this machine, held against nothing",
    "not measured": "the validation data hold nothing to measure this on, or the training has too few epochs for it",
    "not applicable": "a value that this detector does not have",
}

# What the first screen counts. Every other verdict holds nothing against a published value.
CATEGORIES = {
    "exact": ("exact",),
    "within tolerance": ("replicated", "within tolerance"),
    "gain replicated": ("gain replicated",),
    "direction only": ("same direction", "opposite direction", "undecided"),
    "inconclusive": ("inconclusive",),
    "differs": ("differs",),
    "did not learn": ("did not learn", "baseline did not learn"),
    "failed": ("failed",),
    "not run": ("not run",),
}
WITHHELD = CATEGORIES["did not learn"]
SHOWN_EMPTY = ("exact", "within tolerance", "direction only", "differs", "failed", "not run")  # though there be none


def category_counts(verdicts: Iterable[str]) -> list[tuple[str, int]]:
    """How many cells are of each category of the first screen, and how many of none."""
    found = Counter(verdicts)
    counts = {name: sum(found[verdict] for verdict in members) for name, members in CATEGORIES.items()}
    told = [(name, count) for name, count in counts.items() if count or name in SHOWN_EMPTY]
    return [*told, ("other", found.total() - sum(counts.values()) - found["not applicable"])]


def category_of(verdict: str) -> str:
    """The category of the first screen that a verdict is counted under."""
    return next((name for name, members in CATEGORIES.items() if verdict in members), "other")


def static_verdict(published: float | None, value: float, digits: int) -> str:
    """The verdict on a count: equal in every printed digit or not."""
    if published is None:
        return "not published"
    return "exact" if f"{value:.{digits}f}" == f"{published:.{digits}f}" else "differs"


def paper_verdict(published: float | None, gain: "Gain", difference: float | None, tolerance: float | None) -> str:
    """The verdict on a gain at scale `paper`.

    Args:
        published: the published gain.
        gain: the reproduced gain, in points.
        difference: of the value that gains from the published value.
        tolerance: of such a value.
    """
    if published is None:
        return "no published gain"
    if gain.another is None:
        return "inconclusive"
    reached = gain.another[0] <= published <= gain.another[1]
    if gain.of == "images" and tolerance is not None:  # an interval over images does not know the luck of a training
        reached |= abs(gain.value - published) <= tolerance
    if not reached:
        return "differs"
    if gain.direction == "undecided":
        return "inconclusive"
    if (gain.direction == "higher") != (published > 0):
        return "differs"
    within = difference is not None and tolerance is not None and abs(difference) <= tolerance
    return "replicated" if within else "gain replicated"


def direction_verdict(published: float | None, gain: "Gain") -> str:
    """The verdict on a gain below scale `paper`: on its direction alone."""
    if published is None:
        return "no published gain"
    if published == 0:
        return "no published direction"
    if gain.direction == "undecided":
        return "undecided"
    return "same direction" if (gain.direction == "higher") == (published > 0) else "opposite direction"


def baseline_verdict(difference: float | None, tolerance: float | None) -> str:
    """The verdict on the value of a row that gains are measured against; `difference` is None below scale `paper`."""
    if difference is None or tolerance is None:
        return "baseline"
    return "within tolerance" if abs(difference) <= tolerance else "differs"
