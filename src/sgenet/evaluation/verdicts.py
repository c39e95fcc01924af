"""Verdicts on cells and claims: each word with its meaning and tone, and the functions that reach them."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from sgenet.evaluation.trainings import FEWEST_SEEDS, Gain


class Verdict(StrEnum):
    """A verdict, with its tone on the page and its meaning."""

    tone: Literal["good", "bad", "plain"]
    meaning: str

    def __new__(cls, word: str, tone: Literal["good", "bad", "plain"], meaning: str) -> "Verdict":
        """Add tone and meaning to a word."""
        verdict = str.__new__(cls, word)
        verdict._value_, verdict.tone, verdict.meaning = word, tone, meaning
        return verdict

    EXACT = "exact", "good", "a count that equals the published one in every printed digit"
    EXPLAINED = "explained", "plain", "a count that differs from the published one, for a reason that a note gives"
    DIFFERS = "differs", "bad", "a count that differs from the published one, for an unknown reason"
    REPLICATED = (
        "replicated",
        "good",
        "scale paper: the gain has the published direction, its interval reaches the published size and excludes half "
        "of it; or a sentence about counts or activations holds",
    )
    STRONGER = "stronger", "good", "scale paper: the published direction, and the interval is above the published size"
    WEAKER = "weaker", "bad", "scale paper: the published direction, but the interval is below the published size"
    CONTRADICTED = (
        "contradicted",
        "bad",
        "scale paper: the interval is on the other side of zero, or contains zero and excludes half of the published "
        "size; or a sentence about counts or activations does not hold",
    )
    INCONCLUSIVE = "inconclusive", "plain", "scale paper: these trainings do not show which of the above is true"
    SAME = "same direction", "plain", "below scale paper: the interval excludes zero, on the published side"
    OPPOSITE = "opposite direction", "plain", "below scale paper: the interval excludes zero, on the other side"
    UNDECIDED = "undecided", "plain", "below scale paper: the interval contains zero"
    NOT_JUDGED = "not judged", "plain", "nothing to compare with, or too few trainings; the cell gives the reason"
    FAILED = (
        "failed",
        "bad",
        "a step that ended in an error, or a result that cannot be used; the page gives the reason",
    )
    NOT_RUN = "not run", "plain", "there is no result of this run"


# Verdicts in the order of the first screen's counts
COUNTS = (Verdict.EXACT, Verdict.EXPLAINED, Verdict.DIFFERS)
SIZES = (Verdict.REPLICATED, Verdict.STRONGER, Verdict.WEAKER, Verdict.CONTRADICTED, Verdict.INCONCLUSIVE)
DIRECTIONS = (Verdict.SAME, Verdict.OPPOSITE, Verdict.UNDECIDED)
OUTCOMES = (*COUNTS, *SIZES, *DIRECTIONS, Verdict.NOT_JUDGED, Verdict.FAILED, Verdict.NOT_RUN)

# Reasons of Verdict.NOT_JUDGED that other modules ask for
DID_NOT_LEARN, BASELINE_DID_NOT_LEARN = "did not learn", "baseline did not learn"
WITHHELD = (DID_NOT_LEARN, BASELINE_DID_NOT_LEARN)  # of values that are shown all the same


@dataclass(frozen=True)
class Judgement:
    """A verdict and, where nothing was judged, the reason."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Size:
    """The size that a gain is judged by, in points, from `low` to `high`.

    `published`: it was itself measured, by one training of each row, and so varies as one training does. What a
    sentence claims is taken as it is said.
    """

    low: float
    high: float
    published: bool = False

    @classmethod
    def of(cls, published: float | None) -> "Size | None":
        """The size of a published gain."""
        return None if published is None else cls(published, published, published=True)


def judge_count(published: float | None, value: float, digits: int, explanation: str) -> Judgement:
    """The verdict on a count: equal in every printed digit, or not; `explanation` of a difference may be known."""
    if published is None:
        return Judgement(Verdict.NOT_JUDGED, "no published value")
    if f"{value:.{digits}f}" == f"{published:.{digits}f}":
        return Judgement(Verdict.EXACT)
    return Judgement(Verdict.EXPLAINED if explanation else Verdict.DIFFERS)


def judge_gain(gain: Gain, size: Size | None, *, paper: bool, resolution: float = 0.0) -> Judgement:
    """The one verdict on a gain, of a cell or of a condition of a claim.

    Below scale `paper` the direction is judged alone. At scale `paper` the expected gain is compared with the size and
    with half of it. The run-to-run variance of a published gain, which is one training's, is part of the comparison.

    Args:
        gain: the reproduced gain.
        size: what it is judged by; None where none is known.
        paper: whether it is of that scale.
        resolution: published gains below this have no direction, as another training could turn them.
    """
    if size is None:
        return Judgement(Verdict.NOT_JUDGED, "no published gain")
    least = min(abs(size.low), abs(size.high))
    if least == 0 or size.low * size.high < 0 or (size.published and least < resolution):
        return Judgement(Verdict.NOT_JUDGED, "the published gain is too small to have a direction")
    if gain.low is None or gain.high is None:
        return Judgement(Verdict.NOT_JUDGED, few(gain.seeds))
    if size.high < 0:  # a published loss
        turned = replace(gain, value=-gain.value, low=-gain.high, high=-gain.low)
        return judge_gain(turned, Size(-size.high, -size.low, size.published), paper=paper)
    if not paper:
        return Judgement(Verdict.SAME if gain.low > 0 else Verdict.OPPOSITE if gain.high < 0 else Verdict.UNDECIDED)
    return Judgement(_size_verdict(gain, size))


def few(seeds: int) -> str:
    """Why a gain over so many seeds, which has no interval, is not judged."""
    if seeds >= FEWEST_SEEDS:
        return "the run-to-run variance is not known"
    return "one training of each row" if seeds == 1 else f"{seeds} trainings of each row, {FEWEST_SEEDS} are needed"


def _size_verdict(gain: Gain, size: Size) -> Verdict:
    """The verdict on a gain with an interval, by a size above 0."""
    assert gain.low is not None and gain.high is not None
    share = 1.0 if size.published else 0.0
    if gain.high < 0 or (gain.low <= 0 and gain.differs(size.low / 2, share / 2) == "below"):
        return Verdict.CONTRADICTED
    if gain.low <= 0:
        return Verdict.INCONCLUSIVE
    if gain.differs(size.low, share) == "below":
        return Verdict.WEAKER
    if math.isfinite(size.high) and gain.differs(size.high, share) == "above":
        return Verdict.STRONGER
    return Verdict.REPLICATED if gain.differs(size.low / 2, share / 2) == "above" else Verdict.INCONCLUSIVE


def answers(*, paper: bool) -> tuple[Verdict, Verdict, Verdict]:
    """The verdicts on a sentence that holds, does not hold, or is left open, in the words of the scale."""
    return (Verdict.REPLICATED, Verdict.CONTRADICTED, Verdict.INCONCLUSIVE) if paper else DIRECTIONS


def judge_bound(
    low: float, high: float, *, paper: bool, above: float | None = None, below: float | None = None
) -> Verdict:
    """Whether an interval is above, or below, a bound; `paper`: in the words of that scale."""
    if below is not None:
        return judge_bound(-high, -low, paper=paper, above=-below)
    assert above is not None
    holds, fails, is_open = answers(paper=paper)
    return holds if low > above else fails if high < above else is_open


def judge_best(over: list[list[Gain]], *, paper: bool) -> Judgement:
    """Whether the best of some rows beats all others.

    Args:
        over: for each of those rows, its gain over each other row.
        paper: whether the words are those of that scale.
    """
    if any(gain.low is None for gains in over for gain in gains):
        return Judgement(Verdict.NOT_JUDGED, few(min(gain.seeds for gains in over for gain in gains)))
    directions = [[gain.direction for gain in gains] for gains in over]
    holds, fails, is_open = answers(paper=paper)
    if any(all(direction == "higher" for direction in gains) for gains in directions):
        return Judgement(holds)
    if any(all(direction == "lower" for direction in of_other) for of_other in zip(*directions, strict=True)):
        return Judgement(fails)
    return Judgement(is_open)


def combine(judged: list[Judgement]) -> Judgement:
    """The verdict on a claim, whose conditions, one or more, must all hold."""
    verdicts = [one.verdict for one in judged]
    for failed in (Verdict.CONTRADICTED, Verdict.OPPOSITE, Verdict.WEAKER):
        if failed in verdicts:
            return Judgement(failed)
    if len(set(verdicts)) == 1:
        return judged[0]
    if set(verdicts) <= {Verdict.REPLICATED, Verdict.STRONGER, Verdict.SAME}:  # counts have the words of scale `paper`
        return Judgement(Verdict.SAME if Verdict.SAME in verdicts else Verdict.REPLICATED)
    if set(verdicts) <= {Verdict.NOT_JUDGED, Verdict.NOT_RUN, Verdict.FAILED}:
        return Judgement(Verdict.NOT_JUDGED, "some of its conditions were not run")
    small = set(verdicts) & set(DIRECTIONS)
    return Judgement(Verdict.UNDECIDED if small else Verdict.INCONCLUSIVE)


def count_verdicts(verdicts: Iterable[Verdict]) -> list[tuple[Verdict, int]]:
    """How many of each verdict there are, without those that do not occur, in the order of OUTCOMES."""
    found = Counter(verdicts)
    return [(verdict, found[verdict]) for verdict in OUTCOMES if found[verdict]]
