"""A table as CSV, for programs and spreadsheets."""

from typing import Any

from sgenet.report.cells import Cell, CellRow, CellTable
from sgenet.report.exports.values import plain

DECIMALS = 6
CSV_COLUMNS = (
    *("scale", "table", "row", "run", "baseline", "column", "unit", "published", "source", "confidence"),
    *("reproduced", "low", "high", "trainings", "last", "difference"),
    *("published_gain", "gain", "gain_low", "gain_high", "gain_of", "p", "adjusted_p", "verdict"),
    "needed",  # of an inconclusive gain: what would decide it
    *("released", "released_sha256"),  # what the authors' released weights reach, and the digest of their file
)
FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the start of a formula, full-width forms too


def to_csv(table: CellTable, scale: str) -> str:
    """A line a row and column; text that a spreadsheet would take for a formula gets a ' in front."""
    import pandas as pd

    lines = [
        {key: _inert(value) if isinstance(value, str) else value for key, value in line.items()}
        for row in table.rows
        for cell in row.cells
        for line in [{"scale": scale} | _line(table, row, cell)]
    ]
    frame = pd.DataFrame(lines, columns=CSV_COLUMNS)
    return frame.astype({"trainings": "Int64"}).to_csv(index=False, lineterminator="\n")


def _inert(text: str) -> str:
    text = plain(text)
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text


def _line(table: CellTable, row: CellRow, cell: Cell) -> dict[str, Any]:
    published, gain = cell.published, cell.gain
    low, high = cell.interval or (None, None)
    numbers = {
        "reproduced": cell.value,
        "low": low,
        "high": high,
        "trainings": len(cell.seeds) or None,
        "last": cell.last,
        "gain": gain.value if gain else None,
        "gain_low": gain.low if gain else None,
        "gain_high": gain.high if gain else None,
        "published_gain": cell.published_gain,
        "difference": cell.difference,
        "released": cell.released[0] if cell.released else None,
    }
    ps = {"p": gain.p if gain else None, "adjusted_p": cell.adjusted_p}
    return {
        "table": table.table.id,
        "row": row.row.label,
        "run": row.run,
        "baseline": cell.baseline or "",
        "column": cell.column.id,
        "unit": cell.column.unit,
        "published": published.value if published else None,
        "source": " ".join(published.source) if published else "",
        "confidence": published.confidence if published else "",
        **{key: None if value is None else round(value, DECIMALS) for key, value in numbers.items()},
        # rounded to decimals it could be 0
        **{key: None if p is None else float(f"{p:.6g}") for key, p in ps.items()},
        "gain_of": f"{gain.n} {gain.of}" if gain else "",
        "needed": cell.needed or "",
        "released_sha256": cell.released[1] if cell.released else "",
        "verdict": cell.verdict,
    }
