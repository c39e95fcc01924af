"""The claims with their verdicts, and the numbers behind each condition."""

from dataclasses import replace
from typing import TYPE_CHECKING

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
from sgenet.evaluation import verdicts
from sgenet.evaluation.activations import Estimate, MeasuredActivations
from sgenet.evaluation.trainings import mean_interval
from sgenet.evaluation.verdicts import Judgement, Size, Verdict, judge_best, judge_bound, judge_gain
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import Missing
from sgenet.judgement.judged import JudgedClaim, JudgedCondition, Number
from sgenet.judgement.ranking import published_gain
from sgenet.judgement.results import Found, RunResults

if TYPE_CHECKING:
    from sgenet.evaluation.trainings import Gain

POINTS_DIGITS, PERCENT_DIGITS, RATIO_DIGITS = 2, 3, 3


class Judge:
    """Judges conditions on what was found.

    Args:
        measured: the activations before and after SGE.
    """

    def __init__(
        self, replication: Replication, found: Found, gains: Gains, measured: MeasuredActivations | Missing
    ) -> None:
        self._tables = {table.id: table for table in replication.tables}
        self._paper = replication.scale_name == "paper"
        self._found, self._gains, self._measured = found, gains, measured
        self._confidence = replication.pipeline.report.confidence

    def claim(self, claim: Claim) -> JudgedClaim:
        """The verdict on a claim and on each of its conditions."""
        judged = tuple(self.condition(condition) for condition in claim.conditions)
        return JudgedClaim(claim, verdicts.combine([one.judgement for one in judged]), judged)

    def condition(self, condition: Condition) -> JudgedCondition:
        """The verdict on a condition; what cannot be judged is not run, with the reason."""
        if isinstance(condition, StatisticCondition):
            return self._statistic(condition)
        text = _described(condition)
        if (table := self._tables.get(condition.table)) is None:
            return _not_run(text, f"table {condition.table} is not among the chosen ones")
        if label := left_out(condition, table):
            return _not_run(text, f"row {label} is not among the chosen ones")
        try:
            match condition:
                case GainCondition():
                    return self._gain(condition, table)
                case LargerGainCondition():
                    return self._larger_gain(condition, table)
                case BestCondition():
                    return self._best(condition, table)
        except InputError as error:
            judgement = Judgement(Verdict.FAILED, "its results cannot be used")
            return JudgedCondition(text, judgement, problem=str(error))
        return self._extra(condition, table)

    def _gain(self, condition: GainCondition, table: Table) -> JudgedCondition:
        row, over = condition.rows(table)
        column, claimed = _column(table, condition.column), condition.size
        text = f"{column.label} of {row.label} above {over.label}{_claimed(claimed)}"
        published = published_gain(row, over, column)
        size = Size.of(published)
        if claimed:
            high = float("inf") if claimed[1] is None else claimed[1]
            size = Size(claimed[0], high, published=claimed[0] == high)
        judged = self._judged(text, table, (row, over), column.id, None, size, published, claimed)
        subject = f"{row.label} {column.label}" + (f" over {over.label}" if over.label != row.baseline else "")
        return replace(judged, subject=subject)

    def _larger_gain(self, condition: LargerGainCondition, table: Table) -> JudgedCondition:
        row, over = condition.rows(table)
        columns = [_column(table, id) for id in (condition.column, condition.than)]
        text = f"{row.label} gains more {columns[0].label} over {over.label} than {columns[1].label}"
        published = [published_gain(row, over, column) for column in columns]
        more = None if None in published else round(published[0] - published[1], 6)  # type: ignore[operator]
        judged = self._judged(text, table, (row, over), columns[0].id, columns[1].id, Size.of(more), more, None)
        numbers = judged.numbers
        for column, size in zip(columns, published, strict=True):
            numbers += self._numbers(f"gain of {column.label}", table, (row, over), column.id, None, size)
        subject = f"gain of {columns[0].label} minus gain of {columns[1].label}"
        return replace(judged, numbers=numbers, subject=subject)

    def _judged(
        self,
        text: str,
        table: Table,
        rows: tuple[Row, Row],
        metric: str,
        than: str | None,
        size: Size | None,
        published: float | None,
        claimed: tuple[float, float | None] | None,
    ) -> JudgedCondition:
        """A condition on the gain of the first row over the second, in a metric, or in one minus another."""
        what = "difference of the gains" if than else "gain"
        numbers = self._numbers(what, table, rows, metric, than, published, claimed)
        gain = self._over(table, *rows, metric, than)
        if gain is None:
            return JudgedCondition(text, self._missing(table, *rows), numbers)
        if unlearned := self._unlearned(table, *rows):
            return JudgedCondition(text, unlearned, numbers)
        if size is None or size.high <= 0:  # the direction alone, which the sentence gives
            judgement = Judgement(Verdict.NOT_JUDGED, verdicts.few(gain.seeds))
            if gain.low is not None and gain.high is not None:
                judgement = Judgement(judge_bound(gain.low, gain.high, paper=self._paper, above=0.0))
            return JudgedCondition(text, judgement, numbers)
        resolution = _column(table, metric).resolution if size.published and not claimed else None
        least = resolution.value if resolution else 0.0
        judgement = judge_gain(gain, size, paper=self._paper, resolution=least)
        direction = judge_gain(gain, size, paper=False, resolution=least).verdict if self._paper else None
        return JudgedCondition(text, judgement, numbers, direction=direction)

    def _best(self, condition: BestCondition, table: Table) -> JudgedCondition:
        column, labels = _column(table, condition.column), condition.rows
        text = f"{column.label} of {' or '.join(labels)} above every other row"
        candidates = [row for row in table.rows if row.label in labels]
        others = [row for row in table.rows if row.label not in labels]
        candidates.sort(key=lambda row: self._value(table, row, column.id), reverse=True)
        numbers: tuple[Number, ...] = ()
        over_others: list[Number] = []
        for other in others:
            pair = candidates[0], other
            own = self._numbers(f"{pair[0].label} over {other.label}", table, pair, column.id, None, None)
            numbers, over_others = numbers + own, over_others + list(own[:1])
        least = min(over_others, key=lambda one: one.value, default=None)
        subject = f"{column.label} of {least.what}" if least else ""
        gains = [[self._over(table, row, other, column.id) for other in others] for row in candidates]
        known = [[gain for gain in of_row if gain] for of_row in gains]
        if known != gains:
            judgement = self._missing(table, *candidates, *others)
        else:
            judgement = self._unlearned(table, *candidates, *others) or judge_best(known, paper=self._paper)
        return JudgedCondition(text, judgement, numbers, least=least, subject=subject)

    def _extra(self, condition: ExtraCondition, table: Table) -> JudgedCondition:
        row, over = condition.rows(table)
        most = condition.at_most
        text = f"{row.label} counts at most {most:g} % more than {over.label}"
        counts = [self._found.counts.get(table.run_id(one)) for one in (row, over)]
        numbers = []
        for name in condition.columns:
            values = [count.value(name) if count else None for count in counts]
            if values[0] is None or values[1] is None:
                return _not_run(text, "its networks were not counted")
            percent = 100 * (values[0] / values[1] - 1)
            numbers.append(Number(_column(table, name).label, percent, PERCENT_DIGITS, "%"))
        numbers += self._times(table.run_id(row))
        worst = max(number.value for number in numbers if not number.timed)
        verdict = Verdict.REPLICATED if worst <= most else Verdict.CONTRADICTED
        return JudgedCondition(text, Judgement(verdict), tuple(numbers))

    def _times(self, run: str) -> list[Number]:
        """How much longer a forward pass takes on this machine: shown, not judged."""
        entry = self._found.latency.models.get(run) if self._found.latency else None
        if entry is None or entry.latency_ratio is None:
            return []
        ratio = entry.latency_ratio
        value, low, high = (100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high))
        return [Number("time of a forward pass, not judged", value, 0, "%", low, high, timed=True)]

    def _statistic(self, settings: StatisticCondition) -> JudgedCondition:
        bound = {key: value for key in ("above", "below") if (value := getattr(settings, key)) is not None}
        side = " ".join(f"{key} {value:g}" for key, value in bound.items())
        if isinstance(self._measured, Missing):
            return _not_run(f"{settings.name.replace('_', ' ')} {side}", "the activations were not measured")
        found = self._measured.statistics
        text = f"Stage {self._measured.stage}: {getattr(found, settings.name).description}: {side}"
        numbers = [self._estimate(name, getattr(found, name).seeds) for name in (settings.name, *settings.also)]
        judged = tuple(numbers)
        for name in settings.shown:
            numbers.append(self._estimate(name, getattr(found, name).seeds, "not judged"))
        if (run := self._found.runs.get(FIGURES_RUN)) and run.remark:
            return JudgedCondition(text, Judgement(Verdict.NOT_JUDGED, verdicts.DID_NOT_LEARN), tuple(numbers))
        intervals = [(one.low, one.high) for one in judged if one.low is not None and one.high is not None]
        if len(intervals) < len(judged):
            return JudgedCondition(text, Judgement(Verdict.NOT_JUDGED, verdicts.few(judged[0].n or 1)), tuple(numbers))
        reached = {judge_bound(low, high, paper=self._paper, **bound) for low, high in intervals}
        *_, is_open = verdicts.answers(paper=self._paper)
        judgement = Judgement(reached.pop()) if len(reached) == 1 else Judgement(is_open, "the statistics disagree")
        return JudgedCondition(text, judgement, tuple(numbers))

    def _estimate(self, name: str, by_seed: dict[str, Estimate], more: str = "") -> Number:
        """A statistic: its mean over trainings."""
        what = ", ".join(filter(None, [name.replace("_", " "), more]))
        values = [one.value for one in by_seed.values()]
        low, high = mean_interval(values, self._confidence) or (None, None)
        return Number(what, sum(values) / len(values), RATIO_DIGITS, "", low, high, len(values))

    def _numbers(
        self,
        what: str,
        table: Table,
        rows: tuple[Row, Row],
        metric: str,
        than: str | None,
        published: float | None,
        claimed: tuple[float, float | None] | None = None,
    ) -> tuple[Number, ...]:
        """The gain of the first row over the second over trainings, and with the sampling error of the images."""
        gain = self._over(table, *rows, metric, than)
        if gain is None:
            return ()
        images = self._gains.over_images(self._run(table, rows[1]), self._run(table, rows[0]), metric, than)
        bounds = gain.low, gain.high, gain.seeds
        own = Number(what, gain.value, POINTS_DIGITS, "points", *bounds, published, claimed, gain.smallest)
        if images is None or images.low is None:
            return (own,)
        of_images = f"{what}, these trainings on other images"
        return own, Number(of_images, images.value, POINTS_DIGITS, "points", images.low, images.high, images.n)

    def _run(self, table: Table, row: Row) -> RunResults:
        results = self._found.runs[table.run_id(row)]
        if results.problem and not results.by_seed:
            raise InputError(results.problem)
        return results

    def _over(self, table: Table, row: Row, over: Row, metric: str, than: str | None = None) -> "Gain | None":
        return self._gains.over(self._run(table, over), self._run(table, row), metric, than)

    def _value(self, table: Table, row: Row, metric: str) -> float:
        return self._found.runs[table.run_id(row)].mean(metric) or 0.0

    def _missing(self, table: Table, *rows: Row) -> Judgement:
        """Why there is no gain."""
        if failed := [row.label for row in rows if self._found.runs[table.run_id(row)].failures]:
            return Judgement(Verdict.FAILED, f"a step of {', '.join(failed)} failed")
        without = [row.label for row in rows if not self._found.runs[table.run_id(row)].by_seed]
        why = f"no result of {', '.join(without)}" if without else "not defined on these images, or no seed in common"
        return Judgement(Verdict.NOT_RUN, why)

    def _unlearned(self, table: Table, *rows: Row) -> Judgement | None:
        """Not judged, as a training of one of these rows did not learn; None if all did."""
        labels = [row.label for row in rows if self._found.runs[table.run_id(row)].remark]
        return Judgement(Verdict.NOT_JUDGED, f"{verdicts.DID_NOT_LEARN}: {', '.join(labels)}") if labels else None


def _column(table: Table, name: str) -> Column:
    return next(column for column in table.columns if column.id == name)


def _not_run(text: str, why: str) -> JudgedCondition:
    return JudgedCondition(text, Judgement(Verdict.NOT_RUN, why))


def _described(condition: GainCondition | LargerGainCondition | BestCondition | ExtraCondition) -> str:
    """A condition in words, with ids of columns: the table that has their labels may not be chosen."""
    if isinstance(condition, BestCondition):
        return f"{condition.column} of {' or '.join(condition.rows)} above every other row"
    row, over = condition.row, condition.over or "its baseline"
    match condition:
        case GainCondition():
            return f"{condition.column} of {row} above {over}{_claimed(condition.size)}"
        case LargerGainCondition():
            return f"{row} gains more {condition.column} over {over} than {condition.than}"
    return f"{row} counts at most {condition.at_most:g} % more than {over}"


def _claimed(size: tuple[float, float | None] | None) -> str:
    if size is None:
        return ""
    low, high = size
    if high is not None and low != high:
        return f" (claimed: {low:g} to {high:g} points)"
    return f" (claimed: {'more than ' * (high is None)}{low:g} point{'s' * (low != 1)})"
