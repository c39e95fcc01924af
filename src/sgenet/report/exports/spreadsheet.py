"""A table as CSV, for programs and spreadsheets."""

from typing import Any

from sgenet.judgement.cells import Cell, CellRow, CellTable
from sgenet.report.formats import plain

DECIMALS = 6
CSV_COLUMNS = (
    *("scale", "table", "row", "run", "baseline", "column", "unit", "published", "source", "confidence"),
    *("reproduced", "low", "high", "trainings", "last", "difference"),
    *("published_gain", "gain", "gain_low", "gain_high", "gain_trainings", "df", "smallest", "p", "adjusted_p"),
    *("images_low", "images_high", "images_p", "images"),  # the same gain with the sampling error of the images
    *("verdict", "reason"),
    "needed",  # of an inconclusive gain: how many trainings of each row would decide it
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
    whole = dict.fromkeys(("trainings", "gain_trainings", "images", "needed"), "Int64")
    return frame.astype(whole).to_csv(index=False, lineterminator="\n")


def _inert(text: str) -> str:
    text = plain(text)
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text


def _line(table: CellTable, row: CellRow, cell: Cell) -> dict[str, Any]:
    published, gain, images = cell.published, cell.gain, cell.images
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
        "df": gain.df if gain else None,
        "smallest": gain.smallest if gain else None,
        "images_low": images.low if images else None,
        "images_high": images.high if images else None,
        "published_gain": cell.published_gain,
        "difference": cell.difference,
        "released": cell.released[0] if cell.released else None,
    }
    ps = {"p": gain.p if gain else None, "adjusted_p": cell.adjusted_p, "images_p": images.p if images else None}
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
        "gain_trainings": gain.seeds if gain else None,
        "images": images.n if images else None,
        "needed": cell.needed,
        "released_sha256": cell.released[1] if cell.released else "",
        "verdict": str(cell.verdict),
        "reason": cell.reason,
    }
