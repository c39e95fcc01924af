"""The paper's tables: columns, rows, the run behind each row, and the published values with their source."""

from dataclasses import dataclass, field
from typing import Any

from sgenet import params
from sgenet.files import InputError

STATIC = ("params", "gflops")
CLASSIFICATION = ("top1", "top5")


@dataclass(frozen=True)
class Published:
    """A value of the paper: as printed, where it was read, and how sure it is that the paper prints it."""

    value: float
    source: tuple[str, ...]
    confidence: str = "medium"
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: metric id, heading, unit, decimals; static columns come from the full-size model at every scale."""

    id: str
    label: str
    digits: int
    unit: str = ""
    measured: str = "trained"

    @property
    def static(self) -> bool:
        return self.measured == "static"


@dataclass(frozen=True)
class Row:
    """A row: its run, the row that gains are measured against, and what the paper prints, by column id."""

    label: str
    run: str
    model: str
    baseline: str | None = None
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the paper; `id` is the name of its file in params/tables/."""

    id: str
    title: str
    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def load_table(name: str) -> Table:
    """Read params/tables/<name>.yaml; InputError when a row names what does not exist."""
    value = params.load_table(name)
    path = params.PARAMS / "tables" / f"{name}.yaml"
    columns = tuple(Column(**column) for column in value["columns"])
    for index, column in enumerate(columns):
        place = f"{path}: columns.{index}"
        if column.static != (column.id in STATIC):
            expected = "static" if column.id in STATIC else "trained"
            raise InputError(f"{place}.measured: found {column.measured!r} for {column.id}, expected {expected!r}")
        if not column.static and (column.id in CLASSIFICATION) != (value["task"] == "classification"):
            raise InputError(f"{place}.id: found {column.id!r}, which {value['task']} does not measure")
    sources = params.load_sources()
    rows: list[Row] = []
    for index, entry in enumerate(value["rows"]):
        place = f"{path}: rows.{index}"
        published = {}
        for column, cell in entry.get("published", {}).items():
            if column not in {known.id for known in columns}:
                raise InputError(f"{place}.published.{column}: no such column, expected one of {_ids(columns)}")
            for letter in cell["source"]:
                if letter not in sources:
                    known_letters = ", ".join(sources)
                    raise InputError(f"{place}.published.{column}.source: found {letter!r}, expected {known_letters}")
            published[column] = Published(**{**cell, "source": tuple(cell["source"])})
        row = Row(**{"model": entry["run"].rpartition("/")[2], **entry, "published": published})
        if any(row.label == other.label for other in rows):
            raise InputError(f"{place}.label: {row.label!r} stands in the table already, expected another label")
        rows.append(row)
    labels = [row.label for row in rows]
    for index, row in enumerate(rows):
        if row.baseline is not None and (row.baseline not in labels or row.baseline == row.label):
            raise InputError(
                f"{path}: rows.{index}.baseline: found {row.baseline!r}, expected the label of another row"
            )
    return Table(name, value["title"], value["task"], columns, tuple(rows))


def _ids(columns: tuple[Column, ...]) -> str:
    return ", ".join(column.id for column in columns)
