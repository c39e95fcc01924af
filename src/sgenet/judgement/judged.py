"""Claims and their conditions with verdicts, and the numbers behind them."""

from dataclasses import dataclass
from typing import Any

from sgenet.config.claims import Claim
from sgenet.evaluation.verdicts import Judgement, Verdict


@dataclass(frozen=True)
class Number:
    """A number behind a condition with its interval.

    `n` is the number of trainings of each row, or of images, behind the interval, and `smallest` the smallest
    difference that these trainings show (`Gain.smallest`). `published` is what the paper's tables print of it, and
    `claimed` the range that its sentence claims, whose upper end may be missing.
    """

    what: str
    value: float
    digits: int
    unit: str = "points"
    low: float | None = None
    high: float | None = None
    n: int | None = None
    published: float | None = None
    claimed: tuple[float, float | None] | None = None
    smallest: float | None = None
    timed: bool = False  # no two runs share it

    @property
    def beyond_reach(self) -> bool:
        """Whether the size that is claimed, or published, is smaller than what these trainings show."""
        size = self.claimed[0] if self.claimed else self.published
        return self.smallest is not None and size is not None and abs(size) < self.smallest


@dataclass(frozen=True)
class JudgedCondition:
    """A condition in words, its verdict with the reason if there is none, its numbers, and what is wrong with them.

    At scale `paper` the verdict on a gain is on its size, and `direction` is that on its direction. `least` is the
    smallest of several gains that are all to be above zero. `subject` names the decisive number in a few words.
    """

    text: str
    judgement: Judgement
    numbers: tuple[Number, ...] = ()
    problem: str | None = None
    direction: Verdict | None = None
    least: Number | None = None
    subject: str = ""

    @property
    def decisive(self) -> Number:
        """The number that decides it: the first one, or of several gains the smallest."""
        return self.least or self.numbers[0]

    @property
    def verdict(self) -> Verdict:
        """The verdict on it."""
        return self.judgement.verdict

    @property
    def reason(self) -> str:
        """Why it could not be judged, or not decided."""
        return self.judgement.reason

    @property
    def undecided(self) -> bool:
        """Whether it was judged, and its numbers leave it open."""
        return self.verdict in (Verdict.UNDECIDED, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, the verdict on it, and its conditions."""

    claim: Claim
    judgement: Judgement
    conditions: tuple[JudgedCondition, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on it."""
        return self.judgement.verdict


def to_json(judged: JudgedClaim, decimals: int) -> dict[str, Any]:
    """A claim as evaluation/comparison.py describes it."""
    return {
        "id": judged.claim.id,
        "sentence": judged.claim.sentence,
        "verdict": judged.verdict,
        "reason": judged.judgement.reason,
        "conditions": [
            {
                "text": one.text,
                "verdict": one.verdict,
                "reason": one.reason,
                "direction": one.direction,
                "numbers": [
                    {
                        "what": number.what,
                        "unit": number.unit,
                        **{
                            key: None if bound is None else round(bound, decimals)
                            for key, bound in {
                                "value": number.value,
                                "low": number.low,
                                "high": number.high,
                                "smallest": number.smallest,
                            }.items()
                        },
                        "n": number.n,
                        "published": number.published,
                        "claimed": list(number.claimed) if number.claimed else None,
                    }
                    for number in one.numbers
                    if not number.timed
                ],
            }
            for one in judged.conditions
        ],
    }
