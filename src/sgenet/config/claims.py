"""The paper's claims that are tested, read from params/claims.yaml."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import params
from sgenet.config.params import Settings
from sgenet.config.tables import Row, Table
from sgenet.errors import InputError

PATH = params.PARAMS / "claims.yaml"


@dataclass(frozen=True)
class Condition:
    """A condition of a claim: a kind (gain, larger_gain, best, extra, statistic) and its settings; see the schema."""

    kind: str
    settings: Settings

    @property
    def table(self) -> str | None:
        """Id of the table that contains its rows."""
        return self.settings.get("table")


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, its place in the paper, its interpretation, and the conditions, which must all hold."""

    id: str
    sentence: str
    where: str
    note: str
    reading: str
    conditions: tuple[Condition, ...]


def load_claims(tables: Iterable[Table]) -> tuple[Claim, ...]:
    """Read params/claims.yaml; InputError if a condition names a row or column that its table does not have.

    Conditions on tables that are not in `tables` are not checked, but such a table must exist.
    """
    value = params.load(PATH, "claims")
    by_id = {table.id: table for table in tables}
    claims: list[Claim] = []
    for index, entry in enumerate(value["claims"]):
        conditions = [Condition(kind, own) for item in entry["conditions"] for kind, own in item.items()]
        for number, condition in enumerate(conditions):
            _check(condition, by_id, f"{PATH}: claims.{index}.conditions.{number}.{condition.kind}")
        if any(entry["id"] == other.id for other in claims):
            raise InputError(f"{PATH}: claims.{index}.id: {entry['id']!r} is used twice, expected another id")
        texts = {key: entry.get(key, "") for key in ("sentence", "where", "note", "reading")}
        claims.append(Claim(id=entry["id"], conditions=tuple(conditions), **texts))
    return tuple(claims)


def rows_of(condition: Condition, table: Table) -> tuple[Row, Row]:
    """Return the row of a condition and the row that it is compared with."""
    by_label = {row.label: row for row in table.rows}
    row = by_label[condition.settings["row"]]
    return row, by_label[condition.settings.get("over") or row.baseline or ""]


def _check(condition: Condition, tables: dict[str, Table], place: str) -> None:
    own = condition.settings
    if condition.table is None:
        return
    if condition.table not in tables:
        if condition.table not in {path.stem for path in Path(params.PARAMS, "tables").glob("*.yaml")}:
            raise InputError(f"{place}.table: found {condition.table!r}, expected a file of {params.PARAMS}/tables/")
        return
    table = tables[condition.table]
    by_label = {row.label: row for row in table.rows}
    labels = {f"rows.{number}": label for number, label in enumerate(own.get("rows", []))}
    labels |= {key: own[key] for key in ("row", "over") if key in own}
    for key, label in labels.items():
        if label not in by_label:
            raise InputError(f"{place}.{key}: found {label!r}, expected the label of a row of {table.id}")
    if "row" in own and "over" not in own and by_label[own["row"]].baseline is None:
        raise InputError(f"{place}.over: missing, and {own['row']!r} has no baseline")
    if own.get("row") is not None and own["row"] == own.get("over"):
        raise InputError(f"{place}.over: found {own['over']!r}, which is the row itself, expected another")
    if "rows" in own and not by_label.keys() - set(own["rows"]):
        raise InputError(f"{place}.rows: found every row of {table.id}, expected one or more left out")
    static = condition.kind == "extra"
    known = [column.id for column in table.columns if (column.static if static else column.trained)]
    columns = {f"columns.{number}": column for number, column in enumerate(own.get("columns", []))}
    columns |= {key: own[key] for key in ("column", "than") if key in own}
    for key, column in columns.items():
        if column not in known:
            raise InputError(f"{place}.{key}: found {column!r}, expected one of {', '.join(known)}")
    _check_sizes(own, place)


def _check_sizes(own: Settings, place: str) -> None:
    if own.get("than") is not None and own["than"] == own["column"]:
        raise InputError(f"{place}.than: found {own['than']!r}, which is the column itself, expected another")
    if "than" in own and own["than"].startswith("mask_") != own["column"].startswith("mask_"):
        raise InputError(
            f"{place}.than: found {own['than']!r} with {own['column']!r}, expected both of boxes or both of masks"
        )
    if "claimed" in own and own["claimed"][0] > own["claimed"][1]:
        raise InputError(f"{place}.claimed: found {own['claimed']}, expected the smallest gain first")
    if "claimed" in own and "above" in own:
        raise InputError(f"{place}.claimed: found together with above, expected one of the two")
