"""The published values of the tables, and the cells that are still without one."""

from collections.abc import Iterable, Iterator

from sgenet.config.tables import Column, Row, Table

UNPRINTED = ("macs",)  # counts by a convention of this project's own


def missing(table: Table) -> Iterator[tuple[Row, Column]]:
    """Yield the cells of a table that the paper may print and that have no published value, row by row."""
    for row in table.rows:
        for column in table.columns:
            printed = not column.timed and column.id not in UNPRINTED and row.has(column)
            if printed and column.id not in row.published:
                yield row, column


def to_text(tables: Iterable[Table], *, only_missing: bool) -> str:
    """The published values of the tables, or the cells without one, by table; docs/published-values.md explains."""
    parts = []
    for table in tables:
        empty = [(row.label, column.id) for row, column in missing(table)]
        count = sum(len(row.published) for row in table.rows)
        lines = [f"params/tables/{table.id}.yaml: {count} published values, {len(empty)} cells without one"]
        for row in table.rows:
            if only_missing:
                shown = [id for label, id in empty if label == row.label]
            else:
                shown = [f"{id} {one.value:g} ({', '.join(one.source)})" for id, one in row.published.items()]
            lines += [f"  {row.label}: {', '.join(shown)}"] if shown else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
