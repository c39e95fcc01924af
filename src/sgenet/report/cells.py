"""The cells of the report: what the paper prints, what was reproduced, and the verdict on the two."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sgenet.files import InputError
from sgenet.params import Settings
from sgenet.report.results import Result, RunResults
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


def make_table(
    table: Table,
    replication: Replication,
    results: dict[str, RunResults],
    complexity: dict[str, Settings],
    static_problem: str | None = None,
) -> CellTable:
    """Fill in the cells of a table from the results of its runs and the counts of their models.

    `static_problem` says what is wrong with the counts, if anything is.
    """
    by_label = {row.label: row for row in table.rows}
    rows = []
    for row in table.rows:
        run_id = f"{table.task}/{row.run}"
        baseline = by_label[row.baseline] if row.baseline else None
        against = results[f"{table.task}/{baseline.run}"] if baseline else None
        trained = [column.id for column in table.columns if not column.static]
        gains, problem = _gains(against, results[run_id], trained, replication.pipeline["report"])
        cells = []
        for column in table.columns:
            if column.static:
                cells.append(_static_cell(column, row, complexity.get(run_id), static_problem, replication))
            else:
                gain = gains.get(column.id)
                cells.append(_trained_cell(column, row, baseline, results[run_id], gain, problem, replication))
        rows.append(CellRow(row, run_id, tuple(cells)))
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


def _static_cell(
    column: Column, row: Row, entry: Settings | None, problem: str | None, replication: Replication
) -> Cell:
    published = row.published.get(column.id)
    if entry is None:
        return Cell(column, "failed" if problem else "not run", published, problem=problem)
    value = entry[column.id] / 1e6 if column.id == "params" else entry[column.id]
    verdict = static_verdict(published.value if published else None, value, column.digits)
    origin = {"commands": [f"sgenet complexity --scale {replication.scale_name}"]}
    origin |= {key: entry.get(key) for key in ("model", "input", "part")}
    return Cell(column, verdict, published, value=value, origin=origin)


def _trained_cell(
    column: Column,
    row: Row,
    baseline: Row | None,
    results: RunResults,
    gain: "Gain | None",
    gain_problem: str | None,
    replication: Replication,
) -> Cell:
    published = row.published.get(column.id)
    base = baseline.published.get(column.id) if baseline else None
    published_gain = round(published.value - base.value, 6) if published and base else None
    about: dict[str, Any] = {"published": published, "published_gain": published_gain}
    about["baseline"] = baseline.label if baseline else None
    absent = [result for result in results.by_seed.values() if column.id not in result.metrics]
    problem = results.problem
    if absent and not problem:
        problem = f"{absent[0].folder / 'metrics.json'}: metrics.{column.id}: missing"
    if problem:
        return Cell(column, "failed", **about, problem=problem)
    if not results.by_seed:
        return Cell(column, "not run", **about)
    about["origin"] = _origin(results)
    values = results.values(column.id)
    if not values:
        return Cell(column, "not measured", **about)
    confidence = replication.pipeline["report"]["confidence"]
    about |= {"value": _mean(values), "seeds": values, "last": _mean(results.values(f"{column.id}_last"))}
    about["interval"] = _interval(results, column.id, confidence)
    if baseline is None:
        return Cell(column, "baseline", **about)
    if gain_problem:
        return Cell(column, "failed", **about, problem=gain_problem)
    if gain is None:
        return Cell(column, "no baseline", **about)
    verdict = gain_verdict(published_gain, gain, paper=replication.scale_name == "paper")
    return Cell(column, verdict, **about, gain=gain)


def _gains(
    baseline: RunResults | None, other: RunResults, metrics: list[str], settings: Settings
) -> tuple[dict[str, "Gain"], str | None]:
    """Gains of a run over its baseline by metric, where there is one, and what went wrong, in a sentence.

    With two seeds or more the seeds are the sample. With one, the validation images are.
    """
    from sgenet import statistics

    if baseline is None or baseline.problem or other.problem:
        return {}, None
    gains: dict[str, Gain] = {}
    try:
        shared = {}
        for metric in metrics:
            pair = baseline.values(metric), other.values(metric)
            shared[metric] = sorted(pair[0].keys() & pair[1].keys())
            if len(shared[metric]) > 1:
                columns = ([values[seed] for seed in shared[metric]] for values in pair)
                gains[metric] = statistics.seed_gain(*columns, confidence=settings["confidence"])
        single = {metric: seeds[0] for metric, seeds in shared.items() if len(seeds) == 1}
        for seed in sorted(set(single.values())):
            wanted = [metric for metric in single if single[metric] == seed]
            gains |= _image_gains(baseline.by_seed[seed], other.by_seed[seed], other.task, wanted, settings)
    except InputError as error:
        return {}, str(error)
    return gains, None


def _image_gains(
    baseline: Result, other: Result, task: str, metrics: list[str], settings: Settings
) -> dict[str, "Gain"]:
    """Gains of one training over another, paired by validation image."""
    from sgenet import statistics

    if baseline.data != other.data:
        path = other.folder / "metrics.json"
        raise InputError(f"{path}: data fingerprint: found {other.data!r}, expected the baseline's {baseline.data!r}")
    if task == "detection":
        return _ap_gains(baseline, other, metrics, settings)
    gains = {}
    for metric in metrics:
        correct = [result.correct(metric) for result in (baseline, other)]
        if (baseline.labels() != other.labels()).any():
            raise InputError(f"{other.folder / 'predictions.npz'}: label: differs from the baseline's, expected the same")
        gains[metric] = statistics.accuracy_gain(*correct, confidence=settings["confidence"])
    return gains


def _ap_gains(baseline: Result, other: Result, metrics: list[str], settings: Settings) -> dict[str, "Gain"]:
    from sgenet import statistics

    path = other.folder / "matches.npz"
    pair = _matches(baseline), _matches(other)
    try:
        gains = statistics.ap_gains(*pair, settings["confidence"], settings["bootstrap_samples"], seed=0)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for metric in metrics:
        before, after = baseline.metrics[metric], other.metrics[metric]
        if before is None or after is None:
            continue
        if metric not in gains or abs(gains[metric].value - (after - before)) > 1e-3:
            found = f"{gains[metric].value:.3f}" if metric in gains else "none"
            raise InputError(f"{path}: gain of {metric}: found {found}, expected {after - before:.3f} as in metrics.json")
    return {metric: gains[metric] for metric in metrics if metric in gains}


def _matches(result: Result) -> Any:
    from sgenet.detection.coco_eval import Matches

    path = result.folder / "matches.npz"
    try:
        return Matches.load(path)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, numpy and the system each have their own
        name = type(error).__name__
        raise InputError(f"{path}: cannot be read ({name}), expected the matches of an evaluation") from None


def _interval(results: RunResults, metric: str, confidence: float) -> tuple[float, float] | None:
    """Interval of an accuracy over the validation images, where there is one training; none for AP."""
    from sgenet import statistics

    if results.task != "classification" or len(results.by_seed) != 1:
        return None
    metrics = next(iter(results.by_seed.values())).metrics
    images, value = metrics.get("images"), metrics[metric]
    if not images or value is None:
        return None
    return statistics.wilson(round(value * images / 100), int(images), confidence)


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
