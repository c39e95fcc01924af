"""The cells of the report: what the paper prints, what was reproduced, and the verdict on the two."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sgenet.config.replication import Replication
from sgenet.config.tables import Column, Published, Row, Table
from sgenet.errors import InputError
from sgenet.report.gains import Gains, value_interval
from sgenet.report.results import Found, RunResults
from sgenet.report.verdicts import baseline_verdict, direction_verdict, paper_verdict, static_verdict

if TYPE_CHECKING:
    from sgenet.evaluation.statistics import Gain

_UNITS = {"params": 1e6, "macs": 1e9}  # of a count, where its column shows millions or thousand millions


@dataclass(frozen=True)
class Cell:
    """One cell of one row. `seeds` holds the value of each seed, `value` their mean.

    `difference` is the value minus the published one: of a count, and at scale `paper`. `released` is what the authors'
    released weights reach, and the digest of their file. `needed` is how many images, or seeds, would decide an
    inconclusive gain. `unpublished` is printed where there is no published value. `unlearned`: a training behind the
    value did not learn. `best`, `best_published` and `adjusted_p` come from `ranking.rank`.
    """

    column: Column
    verdict: str
    published: Published | None = None
    published_gain: float | None = None
    value: float | None = None
    seeds: dict[int, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    last: float | None = None
    gain: "Gain | None" = None
    baseline: str | None = None
    problem: str | None = None
    unlearned: bool = False
    origin: dict[str, Any] | None = None
    released: tuple[float, str] | None = None
    difference: float | None = None
    needed: str | None = None
    best: bool = False
    best_published: bool = False
    adjusted_p: float | None = None
    unpublished: str = "not recovered"

    def number(self, part: str) -> float | None:
        """Return the number of a part of the cell; None where it is text, or there is none."""
        numbers = {
            "published": self.published.value if self.published else None,
            "reproduced": self.value,
            "difference": self.difference,
            "published gain": self.published_gain,
            "gain": self.gain.value if self.gain else None,
        }
        return numbers.get(part)


@dataclass(frozen=True)
class CellRow:
    """A row of a table with its cells, one a column; `remark` names trainings that did not learn."""

    row: Row
    run: str
    cells: tuple[Cell, ...]
    remark: str = ""


@dataclass(frozen=True)
class CellTable:
    """A table of the paper with the cells of every row; `paper` tells that they are of that scale."""

    table: Table
    rows: tuple[CellRow, ...]
    paper: bool = False

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for row in self.rows for cell in row.cells]

    def parts(self, column: Column) -> tuple[str, ...]:
        """What stands in a column, part by part; below scale `paper` no trained value has a difference."""
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
        gained: dict[str, Gain | None] = {}
        problems: dict[str, str] = {}
        for metric in [column.id for column in table.columns if column.trained and row.has(column)]:
            try:
                if own and baseline:
                    gained[metric] = gains.over(found.runs[table.run_id(baseline)], own, metric)
            except InputError as error:
                problems[metric] = str(error)
        cells = []
        for column in table.columns:
            if not row.has(column):
                cells.append(Cell(column, "not applicable"))
            elif column.static:
                cells.append(_static_cell(column, row, found, run_id, replication.scale_name))
            elif column.timed:
                cells.append(_timed_cell(column, row, found, run_id))
            elif column.audits:
                cells.append(_printed_cell(column, row))
            elif own:
                gain = gained.get(column.id)
                problem = problems.get(column.id)
                base = found.runs[table.run_id(baseline)] if baseline else None
                cell = _trained_cell(column, row, baseline, own, gain, problem, replication)
                cells.append(_withheld(cell, own, base))
        if not row.published:  # a row of one's own
            cells = [replace(cell, unpublished="no published value") for cell in cells]
        rows.append(CellRow(row, run_id, tuple(cells), own.remark if own else ""))
    return CellTable(table, tuple(rows), replication.scale_name == "paper")


def _static_cell(column: Column, row: Row, found: Found, run_id: str, scale: str) -> Cell:
    published, entry = row.published.get(column.id), found.counts.get(run_id)
    counted = entry.value(column.id) if entry else None
    if entry is None or counted is None:
        verdict = "failed" if found.counts_problem or run_id in found.uncounted else "not run"
        return Cell(column, verdict, published, problem=found.counts_problem)
    value = counted / _UNITS.get(column.id, 1)
    verdict = static_verdict(published.value if published else None, value, column.digits)
    difference = value - published.value if published else None
    origin: dict[str, Any] = {"commands": [f"sgenet complexity --scale {scale}"]}
    origin |= {"model": entry.model, "input": list(entry.input), "part": entry.part}
    return Cell(column, verdict, published, value=value, difference=difference, origin=origin)


def _timed_cell(column: Column, row: Row, found: Found, run_id: str) -> Cell:
    entry = found.latency.models.get(run_id) if found.latency else None
    if entry is None:
        verdict = "failed" if found.latency_problem or run_id in found.untimed else "not run"
        return Cell(column, verdict, problem=found.latency_problem)
    spread = entry.latency if column.id == "latency" else entry.latency_ratio
    if spread is None:
        return Cell(column, "no baseline" if row.baseline else "baseline")
    return Cell(column, "timed", value=spread.value, interval=(spread.low, spread.high), baseline=row.baseline)


def _printed_cell(column: Column, row: Row) -> Cell:
    """What is printed against what it was taken from, another column's published value."""
    published, source = row.published.get(column.id), row.published.get(column.audits or "")
    if published is None or source is None:
        return Cell(column, "not published", published)
    same = static_verdict(source.value, published.value, column.digits) == "exact"
    return Cell(column, "equals the log" if same else "differs from the log", published)


def _trained_cell(
    column: Column,
    row: Row,
    baseline: Row | None,
    own: RunResults,
    gain: "Gain | None",
    problem: str | None,
    replication: Replication,
) -> Cell:
    published = row.published.get(column.id)
    base = baseline.published.get(column.id) if baseline else None
    published_gain = round(published.value - base.value, 6) if published and base else None
    values, paper = own.values(column.id), replication.scale_name == "paper"
    value = _mean(values)
    difference = value - published.value if paper and published and value is not None else None
    tolerance = column.tolerance.value if column.tolerance else None
    needed = None
    if problem or ((own.failures or own.problem) and not own.by_seed):
        verdict = "failed"
    elif not own.by_seed:
        verdict = "not run"
    elif not values:
        verdict = "not measured"
    elif baseline is None:
        verdict = baseline_verdict(difference, tolerance)
    elif gain is None:
        verdict = "no baseline"
    elif paper:
        verdict = paper_verdict(published_gain, gain, difference, tolerance)
        if verdict == "inconclusive" and published_gain:
            needed = _needed(gain, published_gain)
    else:
        verdict = direction_verdict(published_gain, gain)
    return Cell(
        column,
        verdict,
        published,
        published_gain,
        value=value,
        seeds=values,
        interval=value_interval(own, column.id, replication.pipeline.report.confidence),
        last=_mean(own.values(f"{column.id}_last")),
        gain=gain,
        baseline=row.baseline,
        problem=problem,
        origin=_origin(own) if own.by_seed else None,
        released=_released(own, column.id),
        difference=difference,
        needed=needed,
    )


def _withheld(cell: Cell, own: RunResults, baseline: RunResults | None) -> Cell:
    """A cell without a judgement where one of the trainings behind it did not learn."""
    if cell.value is None or cell.problem or not (own.remark or (baseline and cell.gain and baseline.remark)):
        return cell
    verdict = "did not learn" if own.remark else "baseline did not learn"
    return replace(cell, verdict=verdict, unlearned=bool(own.remark), needed=None)


def _needed(gain: "Gain", published_gain: float) -> str | None:
    """What would tell the published gain from zero, in words; None where no number, or no larger one, is known to."""
    from sgenet.evaluation.statistics import needed

    n = needed(gain, published_gain)
    return f"{n} {gain.of}" if n is not None and n > gain.n else None


def _origin(results: RunResults) -> dict[str, Any]:
    """What makes the numbers again, without what differs between equal runs (time, place, machine)."""
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
    value = results.released.metrics.get(metric) if results.released else None
    return None if value is None or results.released is None else (value, results.released.weights.sha256)


def _mean(values: dict[int, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None
