"""What differs between replications: settings, verdicts on claims and cells, and gains."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sgenet.evaluation.comparison import ComparedCell, ComparedColumn, Comparison, ReproducedGain, TrainedOrigin
from sgenet.evaluation.statistics import difference_interval
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.cells import NOT_APPLICABLE

ABSENT = "–"
_FOR = {Verdict.REPLICATED, Verdict.STRONGER, Verdict.SAME}
_AGAINST = {Verdict.CONTRADICTED, Verdict.OPPOSITE}


def contradict(verdicts: Sequence[Verdict | None]) -> bool:
    """Whether one of these verdicts is for a statement and another against it."""
    found = {verdict for verdict in verdicts if verdict}
    return bool(found & _FOR and found & _AGAINST) or {Verdict.EXACT, Verdict.DIFFERS} <= found


def disagree(verdicts: Sequence[Verdict | None]) -> bool:
    """Whether those that are there are not all the same."""
    return len({verdict for verdict in verdicts if verdict}) > 1


@dataclass(frozen=True)
class Setting:
    """A setting that differs, with its value in each replication; `runs` are those that it is of."""

    key: str
    values: tuple[str, ...]
    runs: tuple[str, ...] = ()
    of: str = ""  # in words, where that is shorter


@dataclass(frozen=True)
class SharedClaim:
    """A claim with its verdict in each replication; None where a replication does not have it."""

    id: str
    sentence: str
    verdicts: tuple[Verdict | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the replications that have it disagree."""
        return disagree(self.verdicts)

    @property
    def contested(self) -> bool:
        """Whether one verdict is for it and another against it."""
        return contradict(self.verdicts)


@dataclass(frozen=True)
class SharedCell:
    """A cell as each replication has it; None where a replication does not have it."""

    row: str
    run: str
    column_id: str
    column: ComparedColumn
    cells: tuple[ComparedCell | None, ...]
    baseline: str = ""  # run that it gains over
    confidence: float | None = None  # of the intervals, where all replications have the same

    @property
    def shared(self) -> bool:
        """Whether every replication has it."""
        return None not in self.cells

    @property
    def verdicts(self) -> tuple[Verdict | None, ...]:
        """The verdict of each replication."""
        return tuple(cell.verdict if cell else None for cell in self.cells)

    @property
    def differs(self) -> bool:
        """Whether the replications that have it disagree in their verdict."""
        return disagree(self.verdicts)

    @property
    def values(self) -> tuple[float | None, ...]:
        """The reproduced value of each replication."""
        return tuple(cell.reproduced.value if cell and cell.reproduced else None for cell in self.cells)

    @property
    def gains(self) -> tuple[ReproducedGain | None, ...]:
        """The gain of each replication."""
        return tuple(cell.reproduced.gain if cell and cell.reproduced else None for cell in self.cells)

    @property
    def contested(self) -> bool:
        """Whether verdicts contradict each other, or the intervals of two gains do not overlap."""
        bounds = [gain.interval for gain in self.gains if gain and gain.interval]
        apart = any(max(one[0], two[0]) > min(one[1], two[1]) for one, two in combinations(bounds, 2))
        return apart or contradict(self.verdicts)

    @property
    def difference(self) -> float | None:
        """The second gain minus the first; of more than two, the largest minus the smallest."""
        found = [gain.value for gain in self.gains if gain]
        if len(found) < 2:
            return None
        return found[1] - found[0] if len(self.cells) == 2 else max(found) - min(found)

    @property
    def difference_interval(self) -> tuple[float, float] | None:
        """The interval of the difference of two gains, as if no training were shared; None where one has none."""
        if len(self.gains) != 2 or self.confidence is None:
            return None
        one, two = self.gains
        if not (one and two and one.interval and two.interval and one.df and two.df):
            return None
        return difference_interval(one.interval, two.interval, (one.df, two.df), self.confidence)


@dataclass(frozen=True)
class SharedTable:
    """The cells of a table of any of the replications, those that are not applicable left out."""

    id: str
    title: str
    cells: tuple[SharedCell, ...]

    @property
    def gained(self) -> list[SharedCell]:
        """The cells with a gain in any replication."""
        return [cell for cell in self.cells if any(cell.gains)]

    @property
    def apart(self) -> list[SharedCell]:
        """The cells whose value or verdict differs."""
        return [cell for cell in self.cells if cell.differs or len(set(cell.values)) > 1]


def find_settings(comparisons: Sequence[Comparison]) -> list[Setting]:
    """Return the settings that differ, those of several runs at once where their values are alike."""
    whole = [dict(_flatten(_of_whole(one))) for one in comparisons]
    found = [
        Setting(key, values)
        for key in dict.fromkeys(key for one in whole for key in one)
        if len(set(values := tuple(one.get(key, ABSENT) for one in whole))) > 1
    ]
    fingerprints = [_fingerprints(one) for one in comparisons]
    for task in dict.fromkeys(task for one in fingerprints for task in one):
        values = tuple(one.get(task, ABSENT) for one in fingerprints)
        if len(set(values) - {ABSENT}) > 1:
            found.append(Setting(f"data.{task}: fingerprint", values))
    return found + _of_runs(comparisons)


def _of_whole(comparison: Comparison) -> dict[str, Any]:
    settings = comparison.settings
    return {"scale": comparison.scale, "report": settings.report, "data": settings.data}


def _of_runs(comparisons: Sequence[Comparison]) -> list[Setting]:
    runs = [one.settings.runs for one in comparisons]
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    everywhere = [run for run in runs[0] if all(run in one for one in runs)]
    for run in dict.fromkeys(run for one in runs for run in one):
        if run not in everywhere:
            groups["run", tuple("included" if run in one else ABSENT for one in runs)].append(run)
            continue
        flat = [dict(_flatten(one[run].model_dump(mode="json"))) for one in runs]
        for key in dict.fromkeys(key for one in flat for key in one):
            values = tuple(one.get(key, ABSENT) for one in flat)
            if len(set(values)) > 1:
                groups[key, values].append(run)
    by_task: dict[str, list[str]] = defaultdict(list)
    for run in everywhere:
        by_task[run.partition("/")[0]].append(run)
    words = {tuple(members): f"all of {task}" for task, members in by_task.items()}
    words[tuple(everywhere)] = "all runs"
    keys = list(dict.fromkeys(key for key, _ in groups))
    found = [Setting(key, values, tuple(own), words.get(tuple(own), "")) for (key, values), own in groups.items()]
    return sorted(found, key=lambda setting: keys.index(setting.key))


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and the text of their values."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _flatten(entry, f"{place}.{key}" if place else key)
    else:
        yield place, value if isinstance(value, str) else json.dumps(value)


def _fingerprints(comparison: Comparison) -> dict[str, str]:
    """Return the start of the fingerprints of the data of each task, as its results state them."""
    found: dict[str, set[str]] = defaultdict(set)
    for table in comparison.tables:
        for row in table.rows:
            for cell in row.cells.values():
                if isinstance(cell.origin, TrainedOrigin):
                    found[row.run.partition("/")[0]] |= {fingerprint[:12] for fingerprint in cell.origin.data}
    return {task: ", ".join(sorted(fingerprints)) for task, fingerprints in found.items()}


def find_claims(comparisons: Sequence[Comparison]) -> list[SharedClaim]:
    """Return every claim with its verdicts."""
    by_id = [{claim.id: claim for claim in one.claims} for one in comparisons]
    found = []
    for id in dict.fromkeys(id for one in by_id for id in one):
        claims = [one.get(id) for one in by_id]
        sentence = next(claim.sentence for claim in claims if claim)
        found.append(SharedClaim(id, sentence, tuple(claim.verdict if claim else None for claim in claims)))
    return found


def find_tables(comparisons: Sequence[Comparison]) -> list[SharedTable]:
    """Return every table with its cells, matched by table, label of the row, and column."""
    tables = [{table.id: table for table in one.tables} for one in comparisons]
    levels = {one.settings.report.get("confidence") for one in comparisons}
    confidence = levels.pop() if len(levels) == 1 else None
    found = []
    for id in dict.fromkeys(id for one in tables for id in one):
        own = [one.get(id) for one in tables]
        cells: dict[tuple[str, str], list[ComparedCell | None]] = {}
        columns: dict[str, ComparedColumn | None] = {}
        runs: dict[str, str] = {}
        for number, table in enumerate(own):
            for row in table.rows if table else ():
                runs.setdefault(row.label, row.run)
                for column, cell in row.cells.items():
                    if table and cell.reason != NOT_APPLICABLE:
                        columns.setdefault(column, table.columns.get(column))
                        cells.setdefault((row.label, column), [None] * len(own))[number] = cell
        shared = []
        for (label, column), of_each in cells.items():
            gains = [cell.reproduced.gain for cell in of_each if cell and cell.reproduced and cell.reproduced.gain]
            baseline = runs.get(gains[0].baseline, "") if gains else ""
            heading = columns[column] or ComparedColumn(label=column, unit="", digits=2)
            shared.append(SharedCell(label, runs[label], column, heading, tuple(of_each), baseline, confidence))
        found.append(SharedTable(id, next(table.title for table in own if table), tuple(shared)))
    return found
