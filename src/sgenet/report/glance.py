"""Short answers of the first screen: what was seen of each claim, what SGE costs, what a full replication takes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sgenet.config import paths
from sgenet.config.recipes import TrainingSettings
from sgenet.config.replication import Replication, load_replication
from sgenet.config.seeds import number_range
from sgenet.config.tasks import Task
from sgenet.data.folders import SPLITS
from sgenet.errors import InputError
from sgenet.evaluation.verdicts import DID_NOT_LEARN
from sgenet.judgement import Judged
from sgenet.judgement.cells import CellTable
from sgenet.judgement.judged import JudgedClaim, Number
from sgenet.judgement.ranking import is_ours
from sgenet.pipeline.plan import DEVICES, SHIPPED
from sgenet.report.formats import duration, interval, number, signed
from sgenet.report.overview import Overview
from sgenet.runtime.files import read_json

COUNTED = {"params": "parameters", "gflops": "GFLOPs", "macs": "all multiply-adds"}
PLAN = "sgenet plan --scale paper"
PAPER_SETTING = "ImageNet and COCO, the paper’s networks and recipe"


@dataclass(frozen=True)
class AddedCost:
    """What a network with SGE has more than the plain one, in percent by what is counted, and its relative latency."""

    label: str
    more: dict[str, float]
    latency: float | None


@dataclass(frozen=True)
class Compared:
    """A line of this run against a full replication; `full` is empty where they are the same, or it is not known."""

    name: str
    here: str
    full: str = ""


def seen(claim: JudgedClaim) -> str:
    """What was seen of a claim: a number with its name for each condition, in their order; of shares the largest."""
    measured = [one for one in claim.conditions if one.numbers and not one.reason.startswith(DID_NOT_LEARN)]
    if shares := [one for condition in measured for one in condition.numbers if one.unit == "%" and not one.timed]:
        largest = max(shares, key=lambda one: one.value)
        return f"at most {_number(largest)}: {largest.what}"
    return "; ".join(f"{one.subject or one.decisive.what} {_number(one.decisive)}" for one in measured)


def costs(tables: list[CellTable]) -> list[AddedCost]:
    """What SGE costs, by the table of the full-size networks; nothing where that was not counted."""
    found = []
    for table in tables:
        if table.table.task.trained:
            continue
        by_label = {row.row.label: row for row in table.rows}
        for row in filter(lambda row: is_ours(row.row) and row.row.baseline, table.rows):
            base = by_label[row.row.baseline or ""]
            values = {cell.column.id: (cell, plain) for cell, plain in zip(row.cells, base.cells, strict=True)}
            more = {
                COUNTED[id]: 100 * (cell.value / plain.value - 1)
                for id, (cell, plain) in values.items()
                if id in COUNTED and cell.value and plain.value
            }
            latency = values["latency_ratio"][0].value if "latency_ratio" in values else None
            if more:
                found.append(AddedCost(row.row.label, more, latency))
    return found


def compare_with_full(judged: Judged, found: Overview) -> list[Compared]:
    """This run against one of scale `paper` with the same tables and one seed."""
    replication = judged.replication
    full = None if judged.paper else _full(replication)
    finished, asked = found.trainings
    lines = [
        Compared("Setting", replication.scale.description, PAPER_SETTING),
        Compared("Trainings", f"{finished} of {asked} finished", f"{len(full.runs)} for each seed" if full else ""),
    ]
    for task in replication.tasks:
        manifest, shipped = judged.manifest(task), _shipped(task)
        counts = [manifest.count(split) for split in SPLITS] if manifest else []
        here = f"{_counts(counts)} {manifest.source}" if manifest else "not prepared"
        lines.append(Compared(f"Images, {task}", here, _counts(shipped)))
        lines.append(Compared(f"Epochs, {task}", _epochs(replication, task), _epochs(full, task) if full else ""))
    lines += [
        Compared("Device", "; ".join(found.devices) or "–", f"{DEVICES} GPUs for each training"),
        Compared("Computing time", f"{duration(found.seconds)}, one training after another", _planned()),
    ]
    if judged.paper:
        return [replace(line, full="") for line in lines]
    return lines


def _full(replication: Replication) -> Replication | None:
    """The replication at scale `paper`; None where its files cannot be read."""
    try:
        rows = ",".join(replication.pipeline.rows) or None
        return load_replication("paper", 1, [table.id for table in replication.tables], rows=rows)
    except InputError:
        return None


def _planned() -> str:
    """The hours of scale `paper` by the last plan on this machine."""
    try:
        plan = read_json(paths.plan("paper"))
        return f"{duration(3600 * plan['total']['hours'])} on {plan['measured']['name']}, by {PLAN}"
    except (InputError, KeyError, TypeError):
        return f"{PLAN} estimates it on your machine"


def _shipped(task: Task) -> tuple[int, int]:
    return SHIPPED["imagenet" if task is Task.CLASSIFICATION else "coco"]


def _epochs(replication: Replication, task: Task) -> str:
    settings: list[TrainingSettings] = [run.settings for run in replication.runs.values() if run.task is task]
    return number_range(one.epochs for one in settings)


def _counts(images: Iterable[int]) -> str:
    return " + ".join(number(count) for count in images)


def _number(one: Number) -> str:
    """A number with its interval; with one decimal where that is wider than a point."""
    wide = one.unit == "points" and (one.low is None or one.high is None or one.high - one.low > 1)
    digits = min(one.digits, 1) if wide else one.digits
    value = signed(one.value, digits) if one.unit else number(one.value, digits)
    if one.low is not None and one.high is not None:
        value += f" {interval((one.low, one.high), digits, sign=bool(one.unit))}"
    return f"{value} {one.unit}" if one.unit == "%" else value
