"""The paper's claims that are tested, read from params/claims.yaml."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from sgenet.config import params
from sgenet.config.model import Above0, Model
from sgenet.config.tables import Row, Table
from sgenet.errors import InputError

PATH = params.PARAMS / "claims.yaml"

Statistic = Literal[
    "variance_ratio", "relative_variance_ratio", "growing_groups",
    "background_length_change", "background_over_foreground_change",
]  # fmt: skip
_OVER = "label of the row that it is compared with; by default the row's baseline"
_COLUMN = "id of a column of that table"


class _InTable(Model):
    table: str = Field(description="a file of params/tables/ without its ending")

    def named(self, *fields: str) -> Iterator[tuple[str, str]]:
        """Yield each name in those of these fields that the condition has, with its place."""
        for field in fields:
            value = getattr(self, field) if field in type(self).model_fields else None
            if isinstance(value, list):
                yield from ((f"{field}.{number}", name) for number, name in enumerate(value))
            elif value is not None:
                yield field, value


class _OfRow(_InTable):
    row: str = Field(description="label of a row of that table")
    over: str | None = Field(None, description=_OVER)

    def rows(self, table: Table) -> tuple[Row, Row]:
        """Return the row, and the row that it is compared with."""
        row = table.row(self.row)
        return row, table.row(self.over or row.baseline or "")


class GainCondition(_OfRow):
    """A row beats another."""

    column: str = Field(description=_COLUMN)
    claimed: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        None,
        description="smallest and largest gain that the sentence claims; by default it is judged by the published gain",
    )
    more_than: Above0 | None = Field(None, description="least gain that the sentence claims; not with claimed")

    @property
    def size(self) -> tuple[float, float | None] | None:
        """Return the smallest and largest gain that the sentence claims; the largest is None if it names none."""
        return self.claimed or (None if self.more_than is None else (self.more_than, None))

    @model_validator(mode="after")
    def _check_sizes(self) -> "GainCondition":
        if self.claimed and not 0 < self.claimed[0] <= self.claimed[1]:
            raise ValueError(f"claimed: found {list(self.claimed)}, expected gains above 0, the smallest first")
        if self.claimed and self.more_than is not None:
            raise ValueError("claimed: found together with more_than, expected one of the two")
        return self


class LargerGainCondition(_OfRow):
    """A row beats another by more in one column than in another column."""

    column: str = Field(description=_COLUMN)
    than: str = Field(description=_COLUMN)

    @model_validator(mode="after")
    def _check_columns(self) -> "LargerGainCondition":
        if self.than == self.column:
            raise ValueError(f"than: found {self.than!r}, which is the column itself, expected another")
        if self.than.startswith("mask_") != self.column.startswith("mask_"):
            raise ValueError(f"than: found {self.than!r} with {self.column!r}, expected both of boxes or both of masks")
        return self


class BestCondition(_InTable):
    """The best of some rows beats every other row of the table."""

    column: str = Field(description=_COLUMN)
    rows: list[str] = Field(min_length=1, description="labels of rows of that table; one of them is the best")


class ExtraCondition(_OfRow):
    """A row counts little more than another."""

    columns: list[str] = Field(min_length=1, description="ids of static columns of that table")
    at_most: float = Field(ge=0, description="percent of the other row's count")


class StatisticCondition(Model):
    """A statistic of the activations before and after SGE is on one side of a bound."""

    name: Statistic = Field(description="key of `statistics` in activations.json")
    also: list[Statistic] = Field(
        [], description="other readings of the same words; where they disagree, the condition is undecided"
    )
    shown: list[Statistic] = Field([], description="printed next to it, not judged")
    above: float | None = Field(None, description="it is larger than this")
    below: float | None = Field(None, description="it is smaller than this")

    @model_validator(mode="after")
    def _check_side(self) -> "StatisticCondition":
        if (self.above is None) == (self.below is None):
            raise ValueError(f"above: found {self.above} with below {self.below}, expected one of the two")
        return self


Condition: TypeAlias = GainCondition | LargerGainCondition | BestCondition | ExtraCondition | StatisticCondition


class ConditionEntry(Model):
    """One kind of condition with its settings."""

    gain: GainCondition | None = Field(None, description="a row beats another")
    larger_gain: LargerGainCondition | None = Field(
        None, description="a row beats another by more in one column than in another column"
    )
    best: BestCondition | None = Field(None, description="the best of some rows beats every other row of the table")
    extra: ExtraCondition | None = Field(None, description="a row counts little more than another")
    statistic: StatisticCondition | None = Field(
        None, description="a statistic of the activations before and after SGE is on one side of a bound"
    )

    @model_validator(mode="after")
    def _check_one(self) -> "ConditionEntry":
        if len(list(self.given())) != 1:
            found = ", ".join(kind for kind, _ in self.given()) or "none"
            raise ValueError(f"found {found}, expected one of {', '.join(ConditionEntry.model_fields)}")
        return self

    def given(self) -> Iterator[tuple[str, Condition]]:
        """Yield the conditions that are set, by kind."""
        for kind in ConditionEntry.model_fields:
            if (condition := getattr(self, kind)) is not None:
                yield kind, condition


class Claim(Model):
    """A sentence of the paper, and the conditions, which must all hold."""

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="short name, unique")
    sentence: str = Field(description="what the paper says")
    where: str = Field(description="where in the paper")
    reading: str = Field("", description="how it is read, printed next to the sentence")
    note: str = Field("", description="what is counted or assumed in judging it")
    entries: list[ConditionEntry] = Field(alias="conditions", min_length=1, description="all must hold")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions, which must all hold."""
        return tuple(condition for entry in self.entries for _, condition in entry.given())


class MainGain(_InTable):
    """A gain of a row of SGE over its baseline."""

    row: str = Field(description="label of a row of that table, which has a baseline")
    column: str = Field(description=_COLUMN)


class Claims(Model):
    """params/claims.yaml, the sentences of the paper that are judged."""

    main_gains: list[MainGain] = Field(
        [], description="gains whose common ratio, reproduced over published, the first screen states"
    )
    claims: list[Claim] = Field(description="the sentences")

    @field_validator("claims")
    @classmethod
    def _check_ids(cls, claims: list[Claim]) -> list[Claim]:
        ids = [claim.id for claim in claims]
        if twice := {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"found id {min(twice)!r} twice, expected unique ones")
        return claims


def load_claims(tables: Iterable[Table]) -> Claims:
    """Read params/claims.yaml; InputError if it names a row or column that its table does not have.

    Entries on tables that are not in `tables`, and those of rows that were not chosen, are not checked; such a table
    must exist.
    """
    by_id = {table.id: table for table in tables}
    found = params.load(PATH, Claims)
    for number, main in enumerate(found.main_gains):
        _check(main, by_id, f"{PATH}: main_gains.{number}")
    for index, claim in enumerate(found.claims):
        for number, entry in enumerate(claim.entries):
            for kind, condition in entry.given():
                if not isinstance(condition, StatisticCondition):
                    _check(condition, by_id, f"{PATH}: claims.{index}.conditions.{number}.{kind}")
    return found


def left_out(condition: _InTable, table: Table) -> str | None:
    """Return the label of a row of a table that a condition needs and that was not chosen; None if there is none."""
    named = [label for _, label in condition.named("row", "over", "rows")]
    needed = table.left_out if isinstance(condition, BestCondition) else named
    return next((label for label in needed if label in table.left_out), None)


def _check(condition: _InTable, tables: dict[str, Table], place: str) -> None:
    if condition.table not in tables:
        if condition.table not in params.names("tables"):
            raise InputError(f"{place}.table: found {condition.table!r}, expected a file of {params.PARAMS}/tables/")
        return
    table = tables[condition.table]
    if left_out(condition, table):
        return
    by_label = {row.label: row for row in table.rows}
    for key, label in condition.named("row", "over", "rows"):
        if label not in by_label:
            raise InputError(f"{place}.{key}: found {label!r}, expected the label of a row of {table.id}")
    if isinstance(condition, MainGain) and by_label[condition.row].baseline is None:
        raise InputError(f"{place}.row: found {condition.row!r}, expected a row with a baseline")
    if isinstance(condition, _OfRow):
        if condition.over is None and by_label[condition.row].baseline is None:
            raise InputError(f"{place}.over: missing, and {condition.row!r} has no baseline")
        if condition.row == condition.over:
            raise InputError(f"{place}.over: found {condition.over!r}, which is the row itself, expected another")
    if isinstance(condition, BestCondition) and not by_label.keys() - set(condition.rows):
        raise InputError(f"{place}.rows: found every row of {table.id}, expected one or more left out")
    static = isinstance(condition, ExtraCondition)
    known = [column.id for column in table.columns if (column.static if static else column.trained)]
    for key, column in condition.named("column", "than", "columns"):
        if column not in known:
            raise InputError(f"{place}.{key}: found {column!r}, expected one of {', '.join(known)}")
