"""Verdicts on cells: their meaning, the rules behind them, and the counts of the first screen."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgenet.statistics import Gain

VERDICTS = {
    "exact": "a count that agrees with the published one in every printed digit",
    "replicated": "scale paper: the gain is replicated, and the value lies within the tolerance of the published one",
    "gain replicated": "scale paper: the interval of the gain excludes zero and covers the published gain; the value "
    "itself lies beyond the tolerance, or has none",
    "within tolerance": "scale paper: the value of a baseline lies within the tolerance of the published one",
    "same direction": "the interval of the gain excludes zero, and the gain has the sign of the published one",
    "opposite direction": "the interval of the gain excludes zero, and the gain has the other sign",
    "undecided": "the interval of the gain contains zero, or there are too few seeds for an interval",
    "inconclusive": "scale paper: the interval of the gain holds both zero and the published gain, or there is none; "
    "beside it stands what would decide it",
    "differs": "a count that differs from the published one; at scale paper, a gain whose interval excludes the "
    "published one, or the value of a baseline beyond its tolerance",
    "failed": "a training or evaluation that ended in an error, or a result that cannot be used; the reason stands "
    "under Problems or What failed",
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
    "within tolerance": ("replicated", "gain replicated", "within tolerance"),
    "direction only": ("same direction", "opposite direction", "undecided"),
    "inconclusive": ("inconclusive",),
    "differs": ("differs",),
    "failed": ("failed",),
    "not run": ("not run",),
}
SHOWN_EMPTY = ("exact", "within tolerance", "direction only", "differs", "failed", "not run")  # though there be none


def category_counts(verdicts: Iterable[str]) -> list[tuple[str, int]]:
    """How many cells are of each category of the first screen, and how many of none ("not compared")."""
    found = Counter(verdicts)
    counts = {name: sum(found[verdict] for verdict in members) for name, members in CATEGORIES.items()}
    told = [(name, count) for name, count in counts.items() if count or name in SHOWN_EMPTY]
    return [*told, ("not compared", found.total() - sum(counts.values()) - found["not applicable"])]


def static_verdict(published: float | None, value: float, digits: int) -> str:
    """The verdict on a count: equal in every printed digit or not."""
    if published is None:
        return "not published"
    return "exact" if f"{value:.{digits}f}" == f"{published:.{digits}f}" else "differs"


def gain_verdict(published: float | None, gain: "Gain", *, paper: bool, within: bool = False) -> str:
    """The verdict on a gain: below scale `paper` on its direction, at `paper` on the published gain itself.

    Args:
        within: whether the value that gains lies within the tolerance of the published value.
    """
    if published is None:
        return "no published gain"
    if paper:
        if gain.low is None or gain.high is None:
            return "inconclusive"
        if not gain.low <= published <= gain.high:
            return "differs"
        if gain.direction == "undecided":
            return "inconclusive"
        return "replicated" if within else "gain replicated"
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
