"""The cells of the report: what the paper prints, what was reproduced, and the verdict on the two."""

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sgenet.config.replication import Replication
from sgenet.config.tables import Column, Published, Row, Table
from sgenet.errors import InputError
from sgenet.evaluation import verdicts
from sgenet.evaluation.verdicts import Judgement, Size, Verdict, judge_count, judge_gain
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import Missing, problem_of
from sgenet.judgement.results import Found, RunResults

if TYPE_CHECKING:
    from sgenet.evaluation.statistics import ImageGain
    from sgenet.evaluation.trainings import Gain

BASELINE, NO_BASELINE = "a baseline", "no value of its baseline"
NOT_APPLICABLE = "this detector has no such value"
_UNITS = {"params": 1e6, "macs": 1e9}  # of a count, where its column shows millions or thousand millions


@dataclass(frozen=True)
class Cell:
    """One cell of one row. `seeds` holds the value of each seed, `value` their mean.

    `reason` is why a cell is not judged. `gain` is over trainings, `images` the same gain of these trainings with the
    sampling error of the images. `difference` is the value minus the published one: of a count, and at scale `paper`.
    `released` is what the authors' released weights reach, and the digest of their file. `needed` is how many trainings
    of each row would decide an inconclusive gain. `unpublished` is printed where there is no published value.
    `unlearned`: a training behind the value did not learn. `digits` are those that the data carry, if fewer than
    the column's. `best`, `best_published` and `adjusted_p` come from `ranking.rank`.
    """

    column: Column
    verdict: Verdict
    reason: str = ""
    published: Published | None = None
    published_gain: float | None = None
    value: float | None = None
    seeds: dict[int, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    last: float | None = None
    gain: "Gain | None" = None
    images: "ImageGain | None" = None
    baseline: str | None = None
    problem: str | None = None
    unlearned: bool = False
    origin: dict[str, Any] | None = None
    released: tuple[float, str] | None = None
    difference: float | None = None
    needed: int | None = None
    digits: int | None = None
    best: bool = False
    best_published: bool = False
    adjusted_p: float | None = None
    unpublished: str = "not recovered"

    @property
    def decimals(self) -> int:
        """Decimals of what was reproduced, as it is printed."""
        return self.column.digits if self.digits is None else min(self.digits, self.column.digits)

    @property
    def applicable(self) -> bool:
        """Whether the row can have a value in this column."""
        return self.reason != NOT_APPLICABLE


@dataclass(frozen=True)
class CellRow:
    """A row of a table with its cells, one a column; `remark` names trainings that did not learn."""

    row: Row
    run: str
    cells: tuple[Cell, ...]
    remark: str = ""


@dataclass(frozen=True)
class CellTable:
    """A table of the paper with the cells of every row; `paper`: they are of that scale."""

    table: Table
    rows: tuple[CellRow, ...]
    paper: bool = False

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for row in self.rows for cell in row.cells]

    def parts(self, column: Column) -> tuple[str, ...]:
        """The parts of a column, in order; below scale `paper` no trained value has a difference."""
        published = any(column.id in row.row.published for row in self.rows)
        if column.audits:
            return ("published", "verdict")
        if column.timed or not (published or column.trained):
            return ("reproduced",)
        if not column.trained:
            return ("published", "reproduced", "difference", "verdict")
        parts = ("published", "reproduced", "difference", "published gain", "gain", "verdict")
        left_out = {"difference"} if not self.paper else set()
        left_out |= {"difference", "published gain"} if not published else set()
        left_out |= {"gain", "published gain"} if not any(row.row.baseline for row in self.rows) else set()
        return tuple(part for part in parts if part not in left_out)


def make_table(table: Table, replication: Replication, found: Found, gains: Gains) -> CellTable:
    """Fill in the cells of a table from the results of its runs, and the counts and times of their models."""
    by_label = {row.label: row for row in table.rows}
    rows = []
    for row in table.rows:
        run_id, baseline = table.run_id(row), by_label[row.baseline] if row.baseline else None
        own = found.runs.get(run_id)
        cells = []
        for column in table.columns:
            if not row.has(column):
                cells.append(Cell(column, Verdict.NOT_JUDGED, NOT_APPLICABLE))
            elif column.static:
                cells.append(_static_cell(column, row, found, run_id, replication.scale_name))
            elif column.timed:
                cells.append(_timed_cell(column, row, found, run_id))
            elif column.audits:
                cells.append(_printed_cell(column, row))
            elif own:
                base = found.runs[table.run_id(baseline)] if baseline else None
                cells.append(_trained_cell(column, row, baseline, own, base, gains, replication))
        if not row.published:  # a row of one's own
            cells = [replace(cell, unpublished="no published value") for cell in cells]
        rows.append(CellRow(row, run_id, tuple(cells), own.remark if own else ""))
    return CellTable(table, tuple(rows), replication.scale_name == "paper")


def _static_cell(column: Column, row: Row, found: Found, run_id: str, scale: str) -> Cell:
    published, entry = row.published.get(column.id), found.counts.get(run_id)
    counted = entry.value(column.id) if entry else None
    if entry is None or counted is None:
        problem = problem_of(found.complexity)
        verdict = Verdict.FAILED if problem or run_id in found.uncounted else Verdict.NOT_RUN
        return Cell(column, verdict, published=published, problem=problem)
    value = counted / _UNITS.get(column.id, 1)
    explanation = published.difference if published else ""
    judged = judge_count(published.value if published else None, value, column.digits, explanation)
    difference = value - published.value if published else None
    origin: dict[str, Any] = {"commands": [f"sgenet complexity --scale {scale}"]}
    origin |= {"model": entry.model, "input": list(entry.input), "part": entry.part}
    return Cell(column, judged.verdict, judged.reason, published, value=value, difference=difference, origin=origin)


def _timed_cell(column: Column, row: Row, found: Found, run_id: str) -> Cell:
    entry = found.latency.models.get(run_id) if found.latency else None
    if entry is None:
        problem = problem_of(found.timing)
        failed = problem or run_id in found.untimed
        return Cell(column, Verdict.FAILED if failed else Verdict.NOT_RUN, problem=problem)
    spread = entry.latency if column.id == "latency" else entry.latency_ratio
    if spread is None:
        return Cell(column, Verdict.NOT_JUDGED, NO_BASELINE if row.baseline else BASELINE)
    bounds = (spread.low, spread.high)
    return Cell(column, Verdict.NOT_JUDGED, "a time", value=spread.value, interval=bounds, baseline=row.baseline)


def _printed_cell(column: Column, row: Row) -> Cell:
    """What is printed against what it was taken from, another column's published value."""
    published, source = row.published.get(column.id), row.published.get(column.audits or "")
    if published is None or source is None:
        return Cell(column, Verdict.NOT_JUDGED, "no published value", published)
    judged = judge_count(source.value, published.value, column.digits, published.note)
    return Cell(column, judged.verdict, judged.reason, published)


def _trained_cell(
    column: Column,
    row: Row,
    baseline: Row | None,
    own: RunResults,
    base: RunResults | None,
    gains: Gains,
    replication: Replication,
) -> Cell:
    published = row.published.get(column.id)
    before = baseline.published.get(column.id) if baseline else None
    published_gain = round(published.value - before.value, 6) if published and before else None
    values, paper = own.values(column.id), replication.scale_name == "paper"
    value, gain, images, problem = own.mean(column.id), None, None, None
    try:
        if base:
            gain = gains.over(base, own, column.id)
            images = gains.over_images(base, own, column.id)
    except InputError as error:
        gain, images, problem = None, None, str(error)
    judged, needed = _judge(column, own, base, gain, published_gain, problem, paper=paper), None
    if judged.verdict is Verdict.INCONCLUSIVE and gain and published_gain:
        needed = _needed(gain, published_gain)
    return Cell(
        column,
        judged.verdict,
        judged.reason,
        published,
        published_gain,
        value=value,
        seeds=values,
        interval=gains.value_interval(own, column.id),
        last=own.mean(f"{column.id}_last"),
        gain=gain,
        images=images,
        baseline=row.baseline,
        problem=problem,
        unlearned=bool(own.remark),
        origin=_origin(own) if own.by_seed else None,
        released=_released(own, column.id),
        difference=value - published.value if paper and published and value is not None else None,
        needed=needed,
        digits=_digits(own.mean("images")),
    )


def _digits(images: float | None) -> int | None:
    """Decimals that percentages of so many images carry: one of 1,000, three of 50,000."""
    return max(1, math.ceil(math.log10(images / 100))) if images else None


def _judge(
    column: Column,
    own: RunResults,
    base: RunResults | None,
    gain: "Gain | None",
    published_gain: float | None,
    problem: str | None,
    *,
    paper: bool,
) -> Judgement:
    """The verdict on a trained cell."""
    if problem or ((own.failures or own.problem) and not own.by_seed):
        return Judgement(Verdict.FAILED)
    if not own.by_seed:
        return Judgement(Verdict.NOT_RUN)
    if not own.values(column.id):
        return Judgement(Verdict.NOT_JUDGED, "not defined on these images")
    if own.remark:
        return Judgement(Verdict.NOT_JUDGED, verdicts.DID_NOT_LEARN)
    if base is None:
        return Judgement(Verdict.NOT_JUDGED, BASELINE)
    if gain is None:
        return Judgement(Verdict.NOT_JUDGED, NO_BASELINE)
    if base.remark:
        return Judgement(Verdict.NOT_JUDGED, verdicts.BASELINE_DID_NOT_LEARN)
    resolution = column.resolution.value if column.resolution else 0.0
    return judge_gain(gain, Size.of(published_gain), paper=paper, resolution=resolution)


def _needed(gain: "Gain", published_gain: float) -> int | None:
    """How many trainings of each row would decide; None where no number, or no larger one, is known to."""
    from sgenet.evaluation.trainings import needed_seeds

    n = needed_seeds(gain, published_gain)
    return n if n is not None and n > gain.seeds else None


def _origin(results: RunResults) -> dict[str, Any]:
    """What recomputes the numbers, without what differs between equal runs (time, place, machine)."""
    origins = [result.origin for result in results.by_seed.values()]
    steps = [step for origin in origins for step in (origin.train, origin.evaluate)]
    used = [[origin.train.settings, origin.evaluate.settings] for origin in origins]
    settings = json.dumps(used, sort_keys=True)
    return {
        "commands": [step.command for step in steps],
        "settings": hashlib.sha256(settings.encode()).hexdigest()[:16],
        "data": sorted({step.data.fingerprint for step in steps}),
        "seeds": list(results.by_seed),
    }


def _released(results: RunResults, metric: str) -> tuple[float, str] | None:
    if isinstance(results.released, Missing):
        return None
    value = results.released.metrics.get(metric)
    return None if value is None else (value, results.released.weights.sha256)
