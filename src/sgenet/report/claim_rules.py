"""The rules by which the claims of the paper are judged, and the words of the verdicts."""

from sgenet.evaluation.statistics import Gain

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = "supported", "contradicted", "undecided", "not run"
SEEN, NOT_SEEN = "holds in this training", "fails in this training"
SEEN_HERE, NOT_SEEN_HERE = "holds at this scale", "fails at this scale"
ENOUGH_SEEDS = 3  # trainings a row from which their spread is known
CLAIM_VERDICTS = {
    SUPPORTED: "every condition holds: all of its interval, where it has one, lies on the claim's side",
    CONTRADICTED: "a condition does not hold: all of its interval lies on the other side or, at scale paper, what "
    "another training could give lies below the size that the paper claims",
    SEEN_HERE: "below scale paper: every condition holds over three trainings or more; other data and networks may "
    "turn it, so it is no support",
    NOT_SEEN_HERE: "the same, where a condition does not hold; it is no contradiction",
    SEEN: "below scale paper, with fewer than three trainings: every condition holds on the validation images of this "
    "training; another seed may turn it",
    NOT_SEEN: "the same, where a condition does not hold; it is no contradiction",
    UNDECIDED: "no condition fails, but an interval reaches both sides or is missing, or a part was not run, or a "
    "training did not learn",
    NOT_RUN: "nothing that it speaks of was run",
}


def judge_gain(gain: Gain | None, claimed: tuple[float, float] | None, above: float, *, paper: bool) -> str:
    """Whether a gain lies above a bound; at scale `paper` also whether it reaches the claimed size.

    Below `paper` only the direction is judged, and the bound is zero. `claimed` is what the sentence itself says; what
    a table prints is no claim of a size. A size is contradicted where another training could not reach it, which fewer
    than three trainings do not tell.
    """
    if gain is None:
        return NOT_RUN
    if gain.low is None or gain.high is None:
        return UNDECIDED
    verdict = judge_bound(gain.low, gain.high, above=above if paper else 0.0)
    if paper and claimed and gain.another and gain.another[1] < claimed[0] and verdict != CONTRADICTED:
        return CONTRADICTED if gain.of == "seeds" else UNDECIDED
    return verdict


def judge_bound(low: float, high: float, *, above: float | None = None, below: float | None = None) -> str:
    """Whether an interval lies above, or below, a bound."""
    if below is not None:
        return judge_bound(-high, -low, above=-below)
    assert above is not None
    return SUPPORTED if low > above else CONTRADICTED if high < above else UNDECIDED


def judge_best(gains: list[list[Gain | None]]) -> str:
    """Whether the best of some rows beats all others.

    Args:
        gains: for each of those rows, the best one first, its gain over each other row.
    """
    if any(gain is None for of_row in gains for gain in of_row):
        return NOT_RUN
    directions = [[gain.direction for gain in of_row if gain] for of_row in gains]
    if all(direction == "higher" for direction in directions[0]):
        return SUPPORTED
    if any(all(direction == "lower" for direction in of_other) for of_other in zip(*directions, strict=True)):
        return CONTRADICTED
    return UNDECIDED


def below_paper(verdict: str, *, few: bool) -> str:
    """A verdict on what was trained in the words for smaller scales; `few` trainings: their luck is in no interval."""
    words = {SUPPORTED: SEEN, CONTRADICTED: NOT_SEEN} if few else {SUPPORTED: SEEN_HERE, CONTRADICTED: NOT_SEEN_HERE}
    return words.get(verdict, verdict)


def judge_claim(verdicts: list[str]) -> str:
    """The verdict on a claim from those on its conditions."""
    for failed in (CONTRADICTED, NOT_SEEN_HERE, NOT_SEEN):
        if failed in verdicts:
            return failed
    if set(verdicts) <= {SUPPORTED, SEEN, SEEN_HERE}:
        return next(verdict for verdict in (SEEN, SEEN_HERE, SUPPORTED) if verdict in verdicts)
    return verdicts[0] if len(set(verdicts)) == 1 else UNDECIDED
