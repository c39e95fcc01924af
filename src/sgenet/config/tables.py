"""The paper's tables: columns, rows, the run of each row, and the published values with their source."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from sgenet.config import params
from sgenet.config.model import Model, Text, validate
from sgenet.config.plain_yaml import read_yaml
from sgenet.config.tasks import Task
from sgenet.errors import InputError

STATIC = ("params", "gflops", "macs")
TIMED = ("latency", "latency_ratio")
PRINTED = ("readme_top1",)
CLASSIFICATION = ("top1", "top5", "top1_last", "top1_mean10")
_AP = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
DETECTION = (*_AP, *(f"mask_{name}" for name in _AP))
METRICS = (*STATIC, *TIMED, *CLASSIFICATION, *PRINTED, *DETECTION)
_RUN = r"^[a-z0-9][a-z0-9._-]{0,99}(/[a-z0-9][a-z0-9._-]{0,99})?$"
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class Published(Model):
    """A value of the paper, and where it was read."""

    value: float = Field(description="as printed")
    source: Annotated[Texts, Field(min_length=1)] = Field(description="keys of params/sources.yaml")
    confidence: Literal["high", "medium", "low"] = Field("medium", description="that the paper prints this value")
    note: str = Field("", description="further information on this value")
    difference: str = Field("", description="why a count differs from this value")


class Resolution(Model):
    """The smallest published gain that has a direction."""

    value: float = Field(gt=0, description="in the unit of the column")
    reason: Text = Field(description="printed in the report")


class Column(Model):
    """A column of a table."""

    id: str = Field(description="the metric", json_schema_extra={"enum": list(METRICS)})
    label: str = Field(description="heading")
    digits: int = Field(ge=0, le=6, description="decimals printed")
    unit: str = Field("", description="unit of the values")
    measured: Literal["static", "trained", "timed", "printed"] = Field(
        "trained",
        description="static: counted from the full-size model, at every scale; timed: on this machine; "
        "printed: published only",
    )
    note: str = Field("", description="printed under the table")
    audits: str | None = Field(
        None, description="of a printed column: id of the column whose published value it should repeat"
    )
    only: Annotated[Texts, Field(min_length=1)] = Field(
        (), description="detectors that have such a value; by default all"
    )
    resolution: Resolution | None = Field(
        None, description="published gains below this have no direction, as another training could turn them"
    )

    @field_validator("id")
    @classmethod
    def _check_id(cls, id: str) -> str:
        if id not in METRICS:
            raise ValueError(f"found {id!r}, expected one of {', '.join(METRICS)}")
        return id

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


class Row(Model):
    """A row of a table. In a table of complexity nothing is trained, and `run` is the name of the model."""

    label: str = Field(description="first cell of the row; unique in its table")
    run: str = Field(
        "",
        pattern=_RUN,
        description="name of the run: sge-resnet50, or faster-rcnn/sge-resnet50; required except in a table of "
        "complexity",
    )
    model: str = Field(
        "",
        description="model of the run, where its name differs from the run's last part; required in a table of "
        "complexity",
    )
    baseline: str | None = Field(None, description="label of the row that gains are relative to")
    note: str = Field("", description="printed under the table")
    settings: dict[str, Any] = Field({}, description="settings of this run alone")
    published: dict[str, Published] = Field(
        {}, description="column id -> the value that the paper prints; a column left out was not recovered"
    )

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """Derive the run from the model, or the model from the run, if only one of them is given."""
        if not isinstance(value, dict):
            return value
        run, model = value.get("run"), value.get("model")
        if run is None and model is not None:
            return {**value, "run": model}
        if model is None and isinstance(run, str):
            return {**value, "model": run.rpartition("/")[2]}
        return value

    def has(self, column: Column) -> bool:
        """Whether the row can have a value in this column."""
        return not column.only or self.run.partition("/")[0] in column.only


class Table(Model):
    """A table of the paper: a file of params/tables/."""

    id: SkipJsonSchema[str] = Field("", description="the name of its file, without its ending")
    title: str = Field(description="heading in the report")
    task: Task = Field(strict=False, description="what the rows' runs train; complexity: nothing, its rows name models")
    columns: Annotated[tuple[Column, ...], Field(strict=False, min_length=1)] = Field(description="columns")
    rows: Annotated[tuple[Row, ...], Field(strict=False, min_length=1)] = Field(description="rows")
    note: str = Field("", description="printed under the table")
    left_out: SkipJsonSchema[tuple[str, ...]] = Field((), description="labels of the rows that were not chosen")

    def choose(self, labels: Iterable[str]) -> "Table | None":
        """Return the table with the rows of these labels and their baselines; None if it has none of them."""
        wanted = {row.label for row in self.rows} & set(labels)
        for _ in self.rows:  # the baseline of a baseline too
            wanted |= {row.baseline for row in self.rows if row.label in wanted and row.baseline}
        if not wanted:
            return None
        rows = tuple(row for row in self.rows if row.label in wanted)
        return self.model_copy(update={"rows": rows, "left_out": tuple(sorted(self.labels - wanted))})

    @property
    def labels(self) -> set[str]:
        """The labels of the rows."""
        return {row.label for row in self.rows}

    def run_id(self, row: Row) -> str:
        """Return the id of the row's run, or of its model in a table of complexity."""
        return f"{self.task}/{row.run}"

    def row(self, label: str) -> Row:
        """Return the row with a label."""
        return next(row for row in self.rows if row.label == label)


def load_table(name: str) -> Table:
    """Read params/tables/<name>.yaml; InputError if a row names an unknown model, column, source or baseline."""
    path = params.choose("tables", "tables", name)
    value = read_yaml(path)
    for key in ("id", "left_out"):
        if isinstance(value, dict) and key in value:
            raise InputError(f"{path}: {key}: unknown key, expected none: it is derived")
    table = validate(Table, {**value, "id": name} if isinstance(value, dict) else value, path)
    _check_columns(table.columns, table.task, path)
    _check_rows(table, value["rows"], path)
    detectors = {row.run.partition("/")[0] for row in table.rows}
    for index, column in enumerate(table.columns):
        for detector in set(column.only) - detectors:
            raise InputError(f"{path}: columns.{index}.only: found {detector!r}, which no row has")
    return table


def _check_rows(table: Table, entries: list[dict[str, Any]], path: Path) -> None:
    sources = params.load_sources()
    labels = [row.label for row in table.rows]
    for index, (row, entry) in enumerate(zip(table.rows, entries, strict=True)):
        place = f"{path}: rows.{index}"
        _check_names(entry, table.task, place)
        _check_published(row, table.columns, sources, place)
        before = table.rows[:index]
        if not table.task.trained:
            _check_one_count(row, before, place)
        if row.label in labels[:index]:
            raise InputError(f"{place}.label: {row.label!r} is already in the table, expected another label")
    for index, row in enumerate(table.rows):
        place = f"{path}: rows.{index}.baseline: found {row.baseline!r}"
        if row.baseline is not None and (row.baseline not in labels or row.baseline == row.label):
            raise InputError(f"{place}, expected the label of another row")
        if not table.task.trained and row.baseline and table.row(row.baseline).baseline:
            raise InputError(f"{place}, which has a baseline itself, expected a row without one")


def _check_names(entry: dict[str, Any], task: Task, place: str) -> None:
    wanted, unwanted = ("run", None) if task.trained else ("model", "run")
    if wanted not in entry:
        raise InputError(f"{place}.{wanted}: missing")
    if unwanted in entry:
        raise InputError(f"{place}.{unwanted}: found in a table of complexity, expected only {wanted}")


def _check_published(row: Row, columns: Iterable[Column], sources: dict[str, str], place: str) -> None:
    known = [column.id for column in columns]
    for column, cell in row.published.items():
        if column not in known:
            raise InputError(f"{place}.published.{column}: no such column, expected one of {', '.join(known)}")
        percent = next(one for one in columns if one.id == column).trained
        if cell.value < 0 or (percent and cell.value > 100):
            expected = "0 to 100" if percent else "0 or more"
            raise InputError(f"{place}.published.{column}.value: found {cell.value:g}, expected {expected}")
        for letter in cell.source:
            if letter not in sources:
                raise InputError(f"{place}.published.{column}.source: found {letter!r}, expected {', '.join(sources)}")


def _check_one_count(row: Row, before: Iterable[Row], place: str) -> None:
    for other in before:
        if row.model == other.model and row.settings != other.settings:
            found = f"found other settings for {row.model} than {other.label!r} has"
            raise InputError(f"{place}.settings: {found}, expected the same settings in all rows of a model")


def _check_columns(columns: tuple[Column, ...], task: Task, path: Path) -> None:
    for index, column in enumerate(columns):
        place = f"{path}: columns.{index}"
        kinds = {"static": STATIC, "timed": TIMED, "printed": PRINTED}
        expected = next((kind for kind, ids in kinds.items() if column.id in ids), "trained")
        if column.measured != expected:
            raise InputError(f"{place}.measured: found {column.measured!r} for {column.id}, expected {expected!r}")
        if column.resolution and not column.trained:
            raise InputError(f"{place}.resolution: found for {column.id}, expected only for trained columns")
        owner = Task.DETECTION if column.id in DETECTION else Task.CLASSIFICATION
        owner = Task.COMPLEXITY if column.measured == "timed" else owner
        if not column.static and owner != task:
            raise InputError(f"{place}.id: found {column.id!r}, which {task} does not measure")
        ids = [other.id for other in columns]
        if column.id in ids[:index]:
            raise InputError(f"{place}.id: {column.id!r} is already in the table, expected another column")
        if (column.audits is not None) != (column.measured == "printed") or column.audits not in (None, *ids):
            found = f"found {column.audits!r} for {column.id}"
            raise InputError(f"{place}.audits: {found}, expected another column if, and only if, it is printed")
