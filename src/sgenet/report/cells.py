"""The cells of the report: what the paper prints, what was reproduced, and the verdict on the two."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sgenet.files import InputError
from sgenet.report.gains import accuracy_interval, gains_over
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
    "baseline": "a row that gains are measured against; its value is compared with nothing",
    "no baseline": "there is a value, but none of the row that it is compared with",
    "not measured": "the validation data hold nothing to measure this on",
    "not run": "no result of this run was found",
    "failed": "a result was found and cannot be used; the sentence under Problems says why",
}


@dataclass(frozen=True)
class Cell:
    """One cell of one row. `seeds` holds the value of each seed, `value` their mean, `n` how many there are."""

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


def make_table(table: Table, replication: Replication, found: Found) -> CellTable:
    """Fill in the cells of a table from the results of its runs and the counts of their models."""
    by_label = {row.label: row for row in table.rows}
    metrics = [column.id for column in table.columns if not column.static]
    rows = []
    for row in table.rows:
        own = found.runs[f"{table.task}/{row.run}"]
        baseline, gains, problem = None, {}, own.problem
        if row.baseline:
            baseline = by_label[row.baseline]
            against = found.runs[f"{table.task}/{baseline.run}"]
            try:
                gains = gains_over(against, own, metrics, replication.pipeline["report"])
            except InputError as error:
                problem = problem or str(error)
        cells = tuple(
            _static_cell(column, row, found, own.id, replication.scale_name)
            if column.static
            else _trained_cell(column, row, baseline, own, gains.get(column.id), problem, replication)
            for column in table.columns
        )
        rows.append(CellRow(row, own.id, cells))
    return CellTable(table, tuple(rows))


def static_verdict(published: float | None, value: float, digits: int) -> str:
    """The verdict on a count: equal in every printed digit or not."""
    if published is None:
        return "not published"
    return "exact" if f"{value:.{digits}f}" == f"{published:.{digits}f}" else "differs"


def gain_verdict(published: float | None, gain: "Gain", *, paper: bool) -> str:
    """The verdict on a gain: below scale `paper` on its direction, at `paper` on the published gain itself."""
    if not published:  # not recovered, or a tie that has no direction
        return "no published gain"
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
    value = entry[column.id] / 1e6 if column.id == "params" else entry[column.id]
    verdict = static_verdict(published.value if published else None, value, column.digits)
    origin: dict[str, Any] = {"commands": [f"sgenet complexity --scale {scale}"]}
    origin |= {key: entry.get(key) for key in ("model", "input", "part")}
    return Cell(column, verdict, published, value=value, origin=origin)


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
    )


def _origin(results: RunResults) -> dict[str, Any]:
    """What makes the numbers again, without what differs between equal runs (time, place, machine)."""
    origins = [result.origin for result in results.by_seed.values()]
    settings = json.dumps([origin["train"]["settings"] for origin in origins], sort_keys=True)
    return {
        "commands": [origin[step]["command"] for origin in origins for step in ("train", "evaluate")],
        "settings": hashlib.sha256(settings.encode()).hexdigest()[:16],
        "data": sorted({origin[step]["data"]["fingerprint"] for origin in origins for step in ("train", "evaluate")}),
        "seeds": list(results.by_seed),
    }


def _mean(values: dict[int, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None
