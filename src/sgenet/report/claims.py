"""The claims with their verdicts: the numbers behind each condition, and the published rows that beat SGE."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgenet.config.claims import (
    BestCondition,
    Claim,
    Condition,
    ExtraCondition,
    GainCondition,
    LargerGainCondition,
    StatisticCondition,
    left_out,
)
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.tables import Column, Row, Table
from sgenet.errors import InputError
from sgenet.report import claim_rules as rules
from sgenet.report.claim_rules import NOT_RUN
from sgenet.report.gains import Gains
from sgenet.report.ranking import published_gain
from sgenet.report.results import Found, RunResults

if TYPE_CHECKING:
    from sgenet.evaluation.statistics import Gain

POINTS_DIGITS, PERCENT_DIGITS, RATIO_DIGITS = 2, 3, 3


@dataclass(frozen=True)
class Number:
    """A number behind a condition with its interval.

    `published` is what the paper's tables print of it, `claimed` the range that its sentence claims.
    """

    what: str
    value: float
    digits: int
    unit: str = "points"
    low: float | None = None
    high: float | None = None
    n: int | None = None
    published: float | None = None
    claimed: tuple[float, float] | None = None
    confidence: float | None = None
    timed: bool = False  # no two runs share it

    @property
    def size(self) -> tuple[float, float] | None:
        """Smallest and largest size that the sentence claims, or else what is published, to be shown beside it."""
        return self.claimed or (None if self.published is None else (self.published, self.published))

    @property
    def covers(self) -> bool:
        """Whether the interval holds such a size."""
        if self.size is None or self.low is None or self.high is None:
            return False
        return self.low <= self.size[1] and self.size[0] <= self.high


@dataclass(frozen=True)
class Judgement:
    """A condition in words, its verdict, its numbers, and why it could not be judged where it could not."""

    text: str
    verdict: str
    numbers: tuple[Number, ...] = ()
    reason: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, the verdict on it, and its conditions."""

    claim: Claim
    verdict: str
    conditions: tuple[Judgement, ...]


class Judge:
    """Judges conditions on what was found.

    Args:
        measured: the activations before and after SGE, as in activations.json; None where they were not measured.
    """

    def __init__(self, replication: Replication, found: Found, gains: Gains, measured: dict[str, Any] | None) -> None:
        self._tables = {table.id: table for table in replication.tables}
        self._paper = replication.scale_name == "paper"
        self._found, self._gains, self._measured = found, gains, measured

    def claim(self, claim: Claim) -> JudgedClaim:
        """The verdict on a claim and on each of its conditions."""
        judged = tuple(self.condition(condition) for condition in claim.conditions)
        return JudgedClaim(claim, rules.judge_claim([one.verdict for one in judged]), judged)

    def condition(self, condition: Condition) -> Judgement:
        """The verdict on a condition; what cannot be judged is not run, with the reason."""
        if isinstance(condition, StatisticCondition):
            return self._statistic(condition)
        lists = {key: value if isinstance(value, list) else [value] for key, value in condition.plain().items()}
        text = "; ".join(f"{key}: {', '.join(map(str, value))}" for key, value in lists.items())
        if (table := self._tables.get(condition.table)) is None:
            return Judgement(text, NOT_RUN, reason=f"table {condition.table} is not among the chosen ones")
        if label := left_out(condition, table):
            return Judgement(text, NOT_RUN, reason=f"row {label} is not among the chosen ones")
        match condition:
            case GainCondition():
                return self._gain(condition, table)
            case LargerGainCondition():
                return self._larger_gain(condition, table)
            case BestCondition():
                return self._best(condition, table)
        return self._extra(condition, table)

    def _gain(self, condition: GainCondition, table: Table) -> Judgement:
        row, over = condition.rows(table)
        column, above = _column(table, condition.column), condition.above or 0.0
        text = f"{column.label} of {row.label} above {over.label}"
        text += f" (at scale paper by more than {above:g} point{'s' if above != 1 else ''})" if above else ""
        try:
            gain = self._over(table, over, row, column.id)
        except InputError as error:
            return Judgement(text, NOT_RUN, reason="its results cannot be used", problem=str(error))
        claimed = condition.claimed
        numbers = _numbers("gain", gain, published_gain(row, over, column), claimed)
        verdict = self._worded(rules.judge_gain(gain, claimed, above, paper=self._paper), table, row, over)
        return Judgement(text, verdict, numbers, self._missing(table, gain, row, over))

    def _larger_gain(self, condition: LargerGainCondition, table: Table) -> Judgement:
        row, over = condition.rows(table)
        columns = [_column(table, id) for id in (condition.column, condition.than)]
        text = f"{row.label} gains more {columns[0].label} over {over.label} than {columns[1].label}"
        published = [published_gain(row, over, column) for column in columns]
        more = None if None in published else round(published[0] - published[1], 6)  # type: ignore[operator]
        try:
            gains = [self._over(table, over, row, column.id) for column in columns]
            runs = [self._run(table, one) for one in (over, row)]
            difference = self._gains.difference(runs[0], runs[1], columns[0].id, columns[1].id)
        except InputError as error:
            return Judgement(text, NOT_RUN, reason="its results cannot be used", problem=str(error))
        numbers = _numbers("difference of the gains", difference, more)
        for column, gain, size in zip(columns, gains, published, strict=True):
            numbers += _numbers(f"gain of {column.label}", gain, size)
        verdict = self._worded(rules.judge_gain(difference, None, 0.0, paper=self._paper), table, row, over)
        return Judgement(text, verdict, numbers, self._missing(table, difference, row, over))

    def _best(self, condition: BestCondition, table: Table) -> Judgement:
        column, labels = _column(table, condition.column), condition.rows
        text = f"{column.label} of {' or '.join(labels)} above every other row"
        candidates = [row for row in table.rows if row.label in labels]
        candidates.sort(key=lambda row: self._value(table, row, column.id), reverse=True)
        others = [row for row in table.rows if row.label not in labels]
        try:
            gains = [[self._over(table, other, row, column.id) for other in others] for row in candidates]
        except InputError as error:
            return Judgement(text, NOT_RUN, reason="its results cannot be used", problem=str(error))
        numbers: tuple[Number, ...] = ()
        for other, gain in zip(others, gains[0], strict=True):
            numbers += _numbers(f"{candidates[0].label} over {other.label}", gain, None)
        missing = next((gain for of_row in gains for gain in of_row if gain is None), gains[0][0])
        verdict = self._worded(rules.judge_best(gains), table, *candidates, *others)
        return Judgement(text, verdict, numbers, self._missing(table, missing, *candidates, *others))

    def _extra(self, condition: ExtraCondition, table: Table) -> Judgement:
        row, over = condition.rows(table)
        most = condition.at_most
        text = f"{row.label} counts less than {most:g} % more than {over.label}"
        counts = [self._found.counts.get(table.run_id(one)) for one in (row, over)]
        numbers = []
        for name in condition.columns:
            values = [count.value(name) if count else None for count in counts]
            if values[0] is None or values[1] is None:
                return Judgement(text, NOT_RUN, reason="its networks were not counted")
            percent = 100 * (values[0] / values[1] - 1)
            numbers.append(Number(_column(table, name).label, percent, PERCENT_DIGITS, "%"))
        numbers += self._times(table.run_id(row))
        worst = max(number.value for number in numbers if not number.timed)
        return Judgement(text, rules.judge_bound(worst, worst, below=most), tuple(numbers))

    def _times(self, run: str) -> list[Number]:
        """How much longer a forward pass takes here: shown, not judged."""
        entry = self._found.latency.models.get(run) if self._found.latency else None
        if entry is None or entry.latency_ratio is None:
            return []
        ratio = entry.latency_ratio
        value, low, high = (100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high))
        return [Number("time of a forward pass, not judged", value, 0, "%", low, high, timed=True)]

    def _statistic(self, settings: StatisticCondition) -> Judgement:
        name = settings.name
        bound = {key: value for key in ("above", "below") if (value := getattr(settings, key)) is not None}
        side, words = " ".join(f"{key} {value:g}" for key, value in bound.items()), name.replace("_", " ")
        if self._measured is None:
            return Judgement(f"{words} {side}", NOT_RUN, reason="the activations were not measured")
        found = self._measured["statistics"][name]
        readings = {name: found} | {other: self._measured["statistics"][other] for other in settings.also}
        numbers = [_estimate(other.replace("_", " "), value) for other, value in readings.items()]
        for other in settings.shown:
            what = f"{other.replace('_', ' ')}, not judged"
            numbers.append(_estimate(what, self._measured["statistics"][other]))
        verdicts = {rules.judge_bound(value["low"], value["high"], **bound) for value in readings.values()}
        verdict = verdicts.pop() if len(verdicts) == 1 else rules.UNDECIDED
        reason = "its readings disagree" if verdicts else ""
        if (run := self._found.runs.get(FIGURES_RUN)) and 0 in run.unlearned:
            verdict, reason = rules.UNDECIDED, f"did not learn: {FIGURES_RUN}, seed 0"
        text = f"Stage {self._measured['stage']}: {found['description']}: {side}"
        return Judgement(text, verdict if self._paper else rules.below_paper(verdict, few=True), tuple(numbers), reason)

    def _worded(self, verdict: str, table: Table, *rows: Row) -> str:
        """The verdict on trained rows, in words of its own below scale `paper`; none where a training did not learn."""
        seeds = [self._found.runs[table.run_id(row)].by_seed.keys() for row in rows]
        if verdict != NOT_RUN and self._unlearned(table, *rows):
            return rules.UNDECIDED
        few = len(set.intersection(*map(set, seeds))) < rules.ENOUGH_SEEDS
        return verdict if self._paper else rules.below_paper(verdict, few=few)

    def _run(self, table: Table, row: Row) -> RunResults:
        results = self._found.runs[table.run_id(row)]
        if results.problem and not results.by_seed:
            raise InputError(results.problem)
        return results

    def _over(self, table: Table, baseline: Row, row: Row, metric: str) -> "Gain | None":
        return self._gains.over(self._run(table, baseline), self._run(table, row), metric)

    def _value(self, table: Table, row: Row, metric: str) -> float:
        values = self._found.runs[table.run_id(row)].values(metric).values()
        return sum(values) / len(values) if values else 0.0

    def _missing(self, table: Table, gain: "Gain | None", *rows: Row) -> str:
        """Why there is no gain, or no interval of it."""
        if gain is None:
            without = [row.label for row in rows if not self._found.runs[table.run_id(row)].by_seed]
            return f"no result of {', '.join(without)}" if without else "nothing to measure it on, or no seed in common"
        if unlearned := self._unlearned(table, *rows):
            return f"did not learn: {', '.join(unlearned)}"
        return "" if gain.low is not None else f"no interval: {gain.method}"

    def _unlearned(self, table: Table, *rows: Row) -> list[str]:
        """The labels of the rows of which a training did not learn."""
        return [row.label for row in rows if self._found.runs[table.run_id(row)].remark]


def to_json(judged: JudgedClaim, decimals: int) -> dict[str, Any]:
    """A claim as workflow/schemas/comparison.schema.json describes it."""
    return {
        "id": judged.claim.id,
        "sentence": judged.claim.sentence,
        "verdict": judged.verdict,
        "conditions": [
            {
                "text": one.text,
                "verdict": one.verdict,
                "numbers": [
                    {
                        "what": number.what,
                        "unit": number.unit,
                        **{
                            key: None if bound is None else round(bound, decimals)
                            for key, bound in (("value", number.value), ("low", number.low), ("high", number.high))
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


def _column(table: Table, name: str) -> Column:
    return next(column for column in table.columns if column.id == name)


def _numbers(
    what: str, gain: "Gain | None", published: float | None, claimed: tuple[float, float] | None = None
) -> tuple[Number, ...]:
    if gain is None:
        return ()
    return (Number(what, gain.value, POINTS_DIGITS, "points", gain.low, gain.high, gain.n, published, claimed),)


def _estimate(what: str, found: dict[str, Any]) -> Number:
    bounds = {key: found[key] for key in ("low", "high", "n", "confidence")}
    return Number(what, found["value"], RATIO_DIGITS, "", **bounds)
