"""The first screen: one sentence that the numbers carry, the counts of cells, and where and when it was computed."""

from dataclasses import dataclass

from sgenet.models.names import parse_name
from sgenet.report.cells import Cell, CellTable
from sgenet.report.results import Found, RunResults
from sgenet.report.verdicts import category_counts
from sgenet.runs import Replication

_OURS = "sge"


@dataclass(frozen=True)
class Overview:
    """What the first screen tells. `seconds` is computing time, summed over the runs; `newest` the last one's end.

    `failed` counts trainings without a usable result, `failed_steps` whatever ended with an error.
    """

    sentence: str
    counts: list[tuple[str, int]]
    trainings: tuple[int, int]  # finished, asked for
    failed: int
    failed_steps: int
    devices: list[str]
    seconds: float
    newest: str | None


def overview(replication: Replication, tables: list[CellTable], found: Found) -> Overview:
    """Sum up what was found."""
    origins = [
        result.origin[step]
        for run in found.runs.values()
        for result in run.by_seed.values()
        for step in ("train", "evaluate")
    ]
    durations = [origin.get("seconds") for origin in origins]
    ends = [origin["finished"] for origin in origins if isinstance(origin.get("finished"), str)]
    runs = list(found.runs.values())
    return Overview(
        sentence=_sentence(replication.scale_name, tables),
        counts=category_counts(cell.verdict for table in tables for cell in table.cells if not cell.column.timed),
        trainings=(sum(len(run.by_seed) for run in runs), len(runs) * len(replication.seeds)),
        failed=sum(_failed(run) for run in runs),
        failed_steps=sum(len(run.failures) for run in runs) + len(found.failures),
        devices=sorted({str(origin["device"]) for origin in origins if "device" in origin}),
        seconds=sum(seconds for seconds in durations if isinstance(seconds, int | float)),
        newest=max(ends, default=None),
    )


def _failed(run: RunResults) -> int:
    return len(run.failures) or int(run.problem is not None)


def _sentence(scale: str, tables: list[CellTable]) -> str:
    told = [_told_of_gains(scale, [cell.verdict for cell in _gains_of_sge(tables)])]
    counts = [cell.verdict for table in tables for cell in table.cells if cell.column.static]
    if compared := [verdict for verdict in counts if verdict in ("exact", "differs")]:
        met = f"{compared.count('exact')} of {len(compared)}"
        told.append(f"{met} published counts of parameters and operations are met in every digit")
    return "; ".join(told) + "."


def _told_of_gains(scale: str, verdicts: list[str]) -> str:
    if not verdicts:
        return f"No gain of SGE was measured yet at scale {scale}"
    if scale == "paper":
        replicated = verdicts.count("replicated") + verdicts.count("gain replicated")
        return (
            f"Of {len(verdicts)} published gains of SGE {replicated} are replicated, {verdicts.count('differs')} "
            f"differ and {verdicts.count('inconclusive')} are inconclusive"
        )
    return (
        f"At scale {scale}, which neither confirms nor refutes the paper, SGE’s gain over its baseline has the "
        f"published direction in {verdicts.count('same direction')} of {len(verdicts)} comparisons, the opposite "
        f"one in {verdicts.count('opposite direction')}, and is undecided in {verdicts.count('undecided')}"
    )


def _gains_of_sge(tables: list[CellTable]) -> list[Cell]:
    """Cells of SGE's rows that were held against a published gain, each comparison once."""
    found: dict[tuple[str, str, str | None], Cell] = {}
    for table in tables:
        for row in table.rows:
            if parse_name(row.row.model)[0] != _OURS:
                continue
            for cell in row.cells:
                if cell.gain and cell.published_gain:
                    found.setdefault((row.run, cell.column.id, cell.baseline), cell)
    return list(found.values())
