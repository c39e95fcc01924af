"""The cells of the report: what the paper prints, what was reproduced, and the verdict on the two."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sgenet.files import InputError
from sgenet.report.gains import Gains, accuracy_interval
from sgenet.report.results import Found, RunResults
from sgenet.runs import Replication
from sgenet.tables import Column, Published, Row, Table

if TYPE_CHECKING:
    from sgenet.statistics import Gain

VERDICTS = {
    "exact": "a count that agrees with the published one in every printed digit",
    "differs": "a count that differs from the published one; at scale paper, a gain whose interval excludes it",
    "not published": "a count for which no published value was recovered",
    "gain replicated": "scale paper: the interval of the gain excludes zero and covers the published gain",
    "same direction": "the interval of the gain excludes zero, and the gain has the sign of the published one",
    "opposite direction": "the interval of the gain excludes zero, and the gain has the other sign",
    "undecided": "the interval of the gain contains zero, or there are too few seeds for an interval",
    "no published gain": "there is a gain, but no published one was recovered to hold it against",
    "no published direction": "there is a gain, but the published one is exactly 0",
    "baseline": "a row that gains are measured against; its value is compared with nothing",
    "no baseline": "there is a value, but none of the row that it is compared with",
    "equals the log": "a printed value that repeats the one it was taken from in every printed digit",
    "differs from the log": "a printed value that is another than the one it was taken from; a note says which",
    "timed": "a duration on this machine, held against nothing",
    "not measured": "the validation data hold nothing to measure this on, or the training has too few epochs for it",
    "not applicable": "a value that this detector does not have",
    "not run": "no result of this run was found",
    "failed": "a result was found and cannot be used; the sentence under Problems says why",
}

_UNITS = {"params": 1e6, "macs": 1e9}  # of a count, where its column shows millions or thousand millions


@dataclass(frozen=True)
class Cell:
    """One cell of one row. `seeds` holds the value of each seed, `value` their mean, `n` how many there are.

    `released` is what the authors' released weights reach, and the digest of their file.
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
    origin: dict[str, Any] | None = None
    released: tuple[float, str] | None = None


@dataclass(frozen=True)
class CellRow:
    """A row of a table with its cells, one a column."""

    row: Row
    run: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CellTable:
    """A table of the paper with the cells of every row."""

    table: Table
    rows: tuple[CellRow, ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row.cells]

    def parts(self, column: Column) -> tuple[str, ...]:
        """What stands in a column: what was published, what was found here, the gain."""
        if column.trained:
            return ("published", "here", "gain")
        if column.audits:
            return ("published",)
        published = any(column.id in row.row.published for row in self.rows)
        return ("published", "here") if published else ("here",)


def make_table(table: Table, replication: Replication, found: Found, gains: Gains) -> CellTable:
    """Fill in the cells of a table from the results of its runs, and the counts and times of their models."""
    by_label = {row.label: row for row in table.rows}
    rows = []
    for row in table.rows:
        run_id, baseline = table.run_id(row), by_label[row.baseline] if row.baseline else None
        own, of_row, problem = found.runs.get(run_id), {}, None
        if own:
            problem = own.problem
            metrics = [column.id for column in table.columns if column.trained and row.has(column)]
            try:
                of_row = gains.over(found.runs[table.run_id(baseline)], own, metrics) if baseline else {}
            except InputError as error:
                problem = problem or str(error)
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
                gain = of_row.get(column.id)
                cells.append(_trained_cell(column, row, baseline, own, gain, problem, replication))
        rows.append(CellRow(row, run_id, tuple(cells)))
    return CellTable(table, tuple(rows))


def static_verdict(published: float | None, value: float, digits: int) -> str:
    """The verdict on a count: equal in every printed digit or not."""
    if published is None:
        return "not published"
    return "exact" if f"{value:.{digits}f}" == f"{published:.{digits}f}" else "differs"


def gain_verdict(published: float | None, gain: "Gain", *, paper: bool) -> str:
    """The verdict on a gain: below scale `paper` on its direction, at `paper` on the published gain itself."""
    if published is None:
        return "no published gain"
    if published == 0 and not paper:
        return "no published direction"
    covered = gain.low is not None and gain.high is not None and gain.low <= published <= gain.high
    if paper and gain.low is not None and not covered:
        return "differs"
    if gain.direction == "undecided":
        return "undecided"
    if paper:
        return "gain replicated"
    return "same direction" if (gain.direction == "higher") == (published > 0) else "opposite direction"


def _static_cell(column: Column, row: Row, found: Found, run_id: str, scale: str) -> Cell:
    published, entry = row.published.get(column.id), found.counts.get(run_id)
    if entry is None or column.id not in entry:
        verdict = "failed" if found.counts_problem else "not run"
        return Cell(column, verdict, published, problem=found.counts_problem)
    value = entry[column.id] / _UNITS.get(column.id, 1)
    verdict = static_verdict(published.value if published else None, value, column.digits)
    origin: dict[str, Any] = {"commands": [f"sgenet complexity --scale {scale}"]}
    origin |= {key: entry.get(key) for key in ("model", "input", "part")}
    return Cell(column, verdict, published, value=value, origin=origin)


def _timed_cell(column: Column, row: Row, found: Found, run_id: str) -> Cell:
    entry = found.latency["models"].get(run_id) if found.latency else None
    if entry is None:
        verdict = "failed" if found.latency_problem else "not run"
        return Cell(column, verdict, problem=found.latency_problem)
    if column.id not in entry:
        return Cell(column, "baseline")
    spread = entry[column.id]
    return Cell(column, "timed", value=spread["value"], interval=(spread["low"], spread["high"]), baseline=row.baseline)


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
    values = own.values(column.id)
    if problem:
        verdict = "failed"
    elif not own.by_seed:
        verdict = "not run"
    elif not values:
        verdict = "not measured"
    elif baseline is None:
        verdict = "baseline"
    elif gain is None:
        verdict = "no baseline"
    else:
        verdict = gain_verdict(published_gain, gain, paper=replication.scale_name == "paper")
    return Cell(
        column,
        verdict,
        published,
        published_gain,
        value=_mean(values),
        seeds=values,
        interval=accuracy_interval(own, column.id, replication.pipeline["report"]["confidence"]),
        last=_mean(own.values(f"{column.id}_last")),
        gain=gain,
        baseline=row.baseline,
        problem=problem,
        origin=_origin(own) if own.by_seed else None,
        released=_released(own, column.id),
    )


def _origin(results: RunResults) -> dict[str, Any]:
    """What makes the numbers again, without what differs between equal runs (time, place, machine)."""
    origins = [result.origin for result in results.by_seed.values()]
    used = [[origin[step].get("settings") for step in ("train", "evaluate")] for origin in origins]
    settings = json.dumps(used, sort_keys=True)
    return {
        "commands": [origin[step]["command"] for origin in origins for step in ("train", "evaluate")],
        "settings": hashlib.sha256(settings.encode()).hexdigest()[:16],
        "data": sorted({origin[step]["data"]["fingerprint"] for origin in origins for step in ("train", "evaluate")}),
        "seeds": list(results.by_seed),
    }


def _released(results: RunResults, metric: str) -> tuple[float, str] | None:
    if results.released is None or metric not in results.released.metrics:
        return None
    return results.released.metrics[metric], results.released.weights["sha256"]


def _mean(values: dict[int, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None
