"""The paper's tables: columns, rows, the run of each row, and the published values with their source."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgenet.config import params
from sgenet.errors import InputError

STATIC = ("params", "gflops", "macs")
TIMED = ("latency", "latency_ratio")
PRINTED = ("readme_top1",)
CLASSIFICATION = ("top1", "top5", "top1_last", "top1_mean10")


@dataclass(frozen=True)
class Published:
    """A value of the paper as printed, where it was read, and the confidence that the paper prints it.

    `difference` explains why a count differs from it; `note` gives further information.
    """

    value: float
    source: tuple[str, ...]
    confidence: str = "medium"
    note: str = ""
    difference: str = ""


@dataclass(frozen=True)
class Tolerance:
    """The allowed difference from the published value at scale `paper`, in the column's unit, and the reason for it."""

    value: float
    reason: str


@dataclass(frozen=True)
class Column:
    """A column: metric id, heading, unit, decimals, and how its values are obtained.

    `measured` is `static` (counted from the full-size model, at every scale), `trained`, `timed` (on this machine) or
    `printed` (not reproduced; the published value should equal that of the column `audits`). `only` names the detectors
    that have such a value; if it is empty, all have one.
    """

    id: str
    label: str
    digits: int
    unit: str = ""
    measured: str = "trained"
    note: str = ""
    audits: str | None = None
    only: tuple[str, ...] = ()
    tolerance: Tolerance | None = None

    @property
    def static(self) -> bool:
        """Whether the values are counted from the full-size model."""
        return self.measured == "static"

    @property
    def trained(self) -> bool:
        """Whether the values are measured on trained models."""
        return self.measured == "trained"

    @property
    def timed(self) -> bool:
        """Whether the values are times measured on this machine."""
        return self.measured == "timed"


@dataclass(frozen=True)
class Row:
    """A row: its run, its baseline (the row that gains are relative to), and the published values by column id.

    In a table of complexity nothing is trained, and `run` is the name of the model.
    """

    label: str
    run: str
    model: str
    baseline: str | None = None
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)

    def has(self, column: Column) -> bool:
        """Whether the row can have a value in this column."""
        return not column.only or self.run.partition("/")[0] in column.only


@dataclass(frozen=True)
class Table:
    """A table of the paper; `id` is the name of its file in params/tables/."""

    id: str
    title: str
    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def run_id(self, row: Row) -> str:
        """Return the id of the row's run, or of its model in a table of complexity."""
        return f"{self.task}/{row.run}"


def load_table(name: str) -> Table:
    """Read params/tables/<name>.yaml; InputError if a row names an unknown model, column, source or baseline."""
    value = params.load_table(name)
    path = params.PARAMS / "tables" / f"{name}.yaml"
    columns = tuple(_column(entry) for entry in value["columns"])
    _check_columns(columns, value["task"], path)
    sources = params.load_sources()
    rows: list[Row] = []
    for index, entry in enumerate(value["rows"]):
        row = _row(entry, value["task"], columns, sources, f"{path}: rows.{index}")
        _check_one_count(row, rows, value["task"], f"{path}: rows.{index}")
        if any(row.label == other.label for other in rows):
            raise InputError(
                f"{path}: rows.{index}.label: {row.label!r} is already in the table, expected another label"
            )
        rows.append(row)
    labels = [row.label for row in rows]
    for index, row in enumerate(rows):
        if row.baseline is not None and (row.baseline not in labels or row.baseline == row.label):
            raise InputError(
                f"{path}: rows.{index}.baseline: found {row.baseline!r}, expected the label of another row"
            )
    _check_plain(rows, value["task"], path)
    detectors = {row.run.partition("/")[0] for row in rows}
    for index, column in enumerate(columns):
        for detector in set(column.only) - detectors:
            raise InputError(f"{path}: columns.{index}.only: found {detector!r}, which no row has")
    return Table(name, value["title"], value["task"], columns, tuple(rows), value.get("note", ""))


def _column(entry: dict[str, Any]) -> Column:
    tolerance = Tolerance(**entry["tolerance"]) if "tolerance" in entry else None
    return Column(**{**entry, "only": tuple(entry.get("only", ())), "tolerance": tolerance})


def _row(entry: dict[str, Any], task: str, columns: tuple[Column, ...], sources: dict[str, str], place: str) -> Row:
    wanted, unwanted = ("model", "run") if task == "complexity" else ("run", None)
    if wanted not in entry:
        raise InputError(f"{place}.{wanted}: missing")
    if unwanted in entry:
        raise InputError(f"{place}.{unwanted}: found in a table of complexity, expected only {wanted}")
    published = {}
    for column, cell in entry.get("published", {}).items():
        if column not in {known.id for known in columns}:
            expected = ", ".join(known.id for known in columns)
            raise InputError(f"{place}.published.{column}: no such column, expected one of {expected}")
        for letter in cell["source"]:
            if letter not in sources:
                raise InputError(f"{place}.published.{column}.source: found {letter!r}, expected {', '.join(sources)}")
        published[column] = Published(**{**cell, "source": tuple(cell["source"])})
    run = entry["run"] if "run" in entry else entry["model"]
    return Row(**{"run": run, "model": run.rpartition("/")[2], **entry, "published": published})


def _check_one_count(row: Row, before: list[Row], task: str, place: str) -> None:
    for other in before:
        if task == "complexity" and row.model == other.model and row.settings != other.settings:
            found = f"found other settings for {row.model} than {other.label!r} has"
            raise InputError(f"{place}.settings: {found}, expected the same settings in all rows of a model")


def _check_plain(rows: list[Row], task: str, path: Path) -> None:
    """Check that in a table of complexity a baseline has no baseline itself."""
    by_label = {row.label: row for row in rows}
    for index, row in enumerate(rows):
        if task == "complexity" and row.baseline and by_label[row.baseline].baseline:
            found = f"found {row.baseline!r}, which has a baseline itself"
            raise InputError(f"{path}: rows.{index}.baseline: {found}, expected a row without one")


def _check_columns(columns: tuple[Column, ...], task: str, path: Path) -> None:
    for index, column in enumerate(columns):
        place = f"{path}: columns.{index}"
        kinds = {"static": STATIC, "timed": TIMED, "printed": PRINTED}
        expected = next((kind for kind, ids in kinds.items() if column.id in ids), "trained")
        if column.measured != expected:
            raise InputError(f"{place}.measured: found {column.measured!r} for {column.id}, expected {expected!r}")
        if column.tolerance and not column.trained:
            raise InputError(f"{place}.tolerance: found for {column.id}, expected only for trained columns")
        owner = "classification" if column.id in (*CLASSIFICATION, *PRINTED) else "detection"
        owner = "complexity" if column.measured == "timed" else owner
        if not column.static and owner != task:
            raise InputError(f"{place}.id: found {column.id!r}, which {task} does not measure")
        ids = [other.id for other in columns]
        if column.id in ids[:index]:
            raise InputError(f"{place}.id: {column.id!r} is already in the table, expected another column")
        if (column.audits is not None) != (column.measured == "printed") or column.audits not in (None, *ids):
            found = f"found {column.audits!r} for {column.id}"
            raise InputError(f"{place}.audits: {found}, expected another column if, and only if, it is printed")
