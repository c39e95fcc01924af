"""Short answers of the first screen: what was seen of each claim, what SGE costs, what a full replication takes."""

from dataclasses import dataclass

from sgenet.config.recipes import TrainingSettings
from sgenet.config.replication import Replication, load_replication
from sgenet.config.seeds import number_range
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.evaluation.verdicts import DID_NOT_LEARN, Verdict
from sgenet.pipeline.plan import images_of
from sgenet.report.cells import CellTable
from sgenet.report.formats import interval, number, signed
from sgenet.report.judged import JudgedClaim, JudgedCondition, Number
from sgenet.report.ranking import is_ours

SPLITS = ("train", "val")
COUNTED = {"params": "parameters", "gflops": "operations", "macs": "multiply-adds"}


@dataclass(frozen=True)
class Cost:
    """What a network with SGE has more than the plain one, in percent by what is counted, and its relative latency."""

    label: str
    baseline: str
    more: dict[str, float]
    latency: float | None


@dataclass(frozen=True)
class Compared:
    """A line of this run against a full replication; `full` is empty where they are the same, or it is not known."""

    name: str
    here: str
    full: str = ""


def seen(claim: JudgedClaim) -> str:
    """What was seen of a claim: the first number of each condition that was judged, or of each if none was."""
    unjudged = (Verdict.NOT_JUDGED, Verdict.NOT_RUN, Verdict.FAILED)
    measured = [one for one in claim.conditions if one.numbers and not one.reason.startswith(DID_NOT_LEARN)]
    judged = [one for one in measured if one.verdict not in unjudged]
    shown = judged or measured
    if not shown:
        return ""
    few = f"{len(shown)} of {len(claim.conditions)} conditions: " if len(shown) < len(claim.conditions) else ""
    if all(_is_gain(one) for one in shown):
        if len(shown) == 1:
            return few + _number(shown[0].numbers[0])
        values = [one.numbers[0].value for one in shown]
        digits = 1
        return f"{few}{signed(min(values), digits)} to {signed(max(values), digits)}"
    if shown[0].numbers[0].unit == "%":
        return few + ", ".join(f"{one.what} {_number(one)}" for one in shown[0].numbers if not one.timed)
    return few + ", ".join(f"{one.numbers[0].what} {_number(one.numbers[0])}" for one in shown)


def costs(tables: list[CellTable]) -> list[Cost]:
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
                found.append(Cost(row.row.label, base.row.label, more, latency))
    return found


def compare_with_full(
    replication: Replication, manifests: dict[str, Manifest | None], finished: tuple[int, int]
) -> list[Compared]:
    """This run against one of scale `paper` with the same tables and one seed; `finished` of how many trainings."""
    full = _full(replication)
    lines = [
        Compared("Trainings", f"{finished[0]} of {finished[1]} finished", f"{len(full.runs)} a seed" if full else "")
    ]
    images = _images(full)
    for task in replication.tasks:
        manifest = manifests.get(task)
        here = (
            f"{_counts([manifest.count(split) for split in SPLITS])} {manifest.source}" if manifest else "not prepared"
        )
        lines.append(Compared(f"Images, {task}", here, images.get(task, "")))
        lines.append(Compared(f"Epochs, {task}", _epochs(replication, task), _epochs(full, task) if full else ""))
    return lines


def _full(replication: Replication) -> Replication | None:
    """The replication at scale `paper`; None at this scale, or where its files cannot be read."""
    if replication.scale_name == "paper":
        return None
    try:
        return load_replication("paper", 1, [table.id for table in replication.tables])
    except InputError:
        return None


def _images(full: Replication | None) -> dict[str, str]:
    try:
        found = images_of(full) if full else {}
    except InputError:
        return {}
    return {task: _counts([images.train, images.val]) for task, images in found.items()}


def _epochs(replication: Replication, task: Task) -> str:
    settings: list[TrainingSettings] = [run.settings for run in replication.runs.values() if run.task is task]
    return number_range(one.epochs for one in settings)


def _counts(images: list[int]) -> str:
    return " + ".join(number(count) for count in images)


def _is_gain(condition: JudgedCondition) -> bool:
    return condition.numbers[0].unit == "points"


def _number(one: Number) -> str:
    """A number with its interval; with one decimal where that is wider than a point."""
    wide = one.unit == "points" and (one.low is None or one.high is None or one.high - one.low > 1)
    digits = min(one.digits, 1) if wide else one.digits
    value = signed(one.value, digits) if one.unit else number(one.value, digits)
    if one.low is not None and one.high is not None:
        value += f" {interval((one.low, one.high), digits, sign=bool(one.unit))}"
    return f"{value} {one.unit}" if one.unit == "%" else value
