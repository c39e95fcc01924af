"""The first screen: one sentence that the numbers carry, the counts of cells, and where and when it was computed."""

from dataclasses import dataclass

from sgenet.config.replication import Replication
from sgenet.data.manifest import Manifest
from sgenet.report.cells import Cell, CellTable
from sgenet.report.formats import number
from sgenet.report.ranking import is_ours
from sgenet.report.results import Found
from sgenet.report.verdicts import WITHHELD, category_counts

SPLITS = ("train", "val")
_AGAIN = ("top1_last", "top1_mean10")  # the same trainings as Top-1
_DIRECTIONS = {"same direction": "same", "opposite direction": "opposite", "undecided": "undecided"}


@dataclass(frozen=True)
class Overview:
    """What the first screen tells. `seconds` is computing time, summed over the runs; `newest` the last one's end.

    `failed` counts trainings without a usable result, `failed_steps` whatever ended with an error.
    """

    sentence: str
    counts: list[tuple[str, int]]
    directions: list[str]
    trainings: tuple[int, int]  # finished, asked for
    failed: int
    failed_steps: int
    devices: list[str]
    seconds: float
    newest: str | None


def overview(replication: Replication, tables: list[CellTable], found: Found) -> Overview:
    """Sum up what was found."""
    origins = [
        step
        for run in found.runs.values()
        for result in run.by_seed.values()
        for step in (result.origin.train, result.origin.evaluate)
    ]
    ends = [origin.finished for origin in origins if origin.finished]
    runs = list(found.runs.values())
    verdicts = [cell.verdict for table in tables for cell in table.cells if not cell.column.timed]
    return Overview(
        sentence=_sentence(replication.scale_name, tables),
        counts=category_counts(verdicts),
        directions=[f"{verdicts.count(verdict)} {word}" for verdict, word in _DIRECTIONS.items()],
        trainings=(sum(len(run.by_seed) for run in runs), len(runs) * len(replication.seeds)),
        failed=sum(len(run.failures) + len(run.problems) for run in runs),
        failed_steps=sum(len(run.failures) for run in runs) + len(found.failures),
        devices=sorted({origin.device for origin in origins if origin.device}),
        seconds=sum(origin.seconds or 0 for origin in origins),
        newest=max(ends, default=None),
    )


def materials(manifests: dict[str, Manifest | None]) -> list[tuple[str, str]]:
    """What each task was done on, in a line: source, images and classes, as the manifests tell."""
    told = []
    for task, manifest in manifests.items():
        if manifest:
            splits = " + ".join(f"{number(manifest.count(split))}" for split in SPLITS)
            classes = f"{len(manifest.classes)} classes"
            told.append((task, f"{manifest.source} data, {splits} images (train + val), {classes}"))
    return told


def spread(cells: list[Cell]) -> list[str]:
    """What the intervals of these cells hold and what they do not, in sentences: images, trainings or neither."""
    trainings = sorted({len(cell.seeds) for cell in cells if cell.seeds})
    if not trainings:
        return []
    counts = " or ".join(map(str, trainings))
    told = ["One training a row." if trainings == [1] else f"Values are means over {counts} trainings a row."]
    gains = [cell.gain for cell in cells if cell.gain]
    if any(gain.of == "images" and gain.low is not None for gain in gains):
        told.append(
            "Intervals over images hold the choice of validation images, and not the luck of a training, for which it "
            "takes three trainings a row."
        )
    if seeds := sorted({gain.n for gain in gains if gain.of == "seeds" and gain.low is not None}):
        told.append(
            f"Intervals over {' or '.join(map(str, seeds))} trainings hold the luck of a training, on one set of "
            "validation images, whose choice they do not hold."
        )
    if any(gain.low is None for gain in gains):
        told.append("A gain without an interval has too few trainings for one.")
    return told


def _sentence(scale: str, tables: list[CellTable]) -> str:
    told = [_told_of_gains(scale, [cell.verdict for cell in _gains_of_sge(tables)])]
    counts = [cell.verdict for table in tables for cell in table.cells if cell.column.static]
    if compared := [verdict for verdict in counts if verdict in ("exact", "differs")]:
        met = f"{compared.count('exact')} of {len(compared)}"
        told.append(f"{met} published cells of parameters and operations are met in every digit")
    return "; ".join(told) + "."


def _told_of_gains(scale: str, verdicts: list[str]) -> str:
    if not verdicts:
        return f"No gain of SGE was measured yet at scale {scale}"
    withheld = sum(verdict in WITHHELD for verdict in verdicts)
    told = f"; not judged, because a training did not learn: {withheld}" if withheld else ""
    if scale == "paper":
        replicated = verdicts.count("replicated") + verdicts.count("gain replicated")
        return (
            f"Of {len(verdicts)} published gains of SGE {replicated} are replicated, {verdicts.count('differs')} "
            f"differ and {verdicts.count('inconclusive')} are inconclusive{told}"
        )
    return (
        f"At scale {scale}, which neither confirms nor refutes the paper, SGE’s gain over its baseline has the "
        f"published direction in {verdicts.count('same direction')} of {len(verdicts)} comparisons, the opposite "
        f"one in {verdicts.count('opposite direction')}, and is undecided in {verdicts.count('undecided')}{told}"
    )


def _gains_of_sge(tables: list[CellTable]) -> list[Cell]:
    """Cells of SGE's rows that were held against a published gain, each comparison once."""
    found: dict[tuple[str, str, str | None], Cell] = {}
    for table in tables:
        for row in table.rows:
            if not is_ours(row.row):
                continue
            for cell in row.cells:
                if cell.gain and cell.published_gain and cell.column.id not in _AGAIN:
                    found.setdefault((row.run, cell.column.id, cell.baseline), cell)
    return list(found.values())
