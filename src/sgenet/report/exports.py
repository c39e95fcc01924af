"""The tables as files: CSV for programs, Markdown and LaTeX (booktabs) for papers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgenet import params
from sgenet.files import write_text
from sgenet.report.cells import Cell, CellRow, CellTable
from sgenet.report.formats import CONFIDENCE_MARKS, MINUS, number, printed, signed
from sgenet.runs import Replication

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
CSV_COLUMNS = (
    *("table", "row", "run", "column", "unit", "published", "source", "confidence", "reproduced", "low", "high", "n"),
    *("gain", "gain_low", "gain_high", "p", "published_gain", "verdict"),
)
PARTS = ("published", "reproduced", "gain")  # of those of the page, what a paper prints
FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the start of a formula, full-width forms too

_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]<>|~$&"}
# pandas' own escaping leaves < > | as they are, which LaTeX's default font encoding prints as other characters
_LATEX = {ord(mark): f"\\{mark}" for mark in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("["): "{[}",  # behind a line's end, \\[ would begin a length
    ord("]"): "{]}",
    ord(MINUS): "$-$",
    ord("\N{NARROW NO-BREAK SPACE}"): r"\,",
    ord("\N{DAGGER}"): r"\dag{}",
    ord("\N{DOUBLE DAGGER}"): r"\ddag{}",
}


def write_tables(folder: Path, tables: list[CellTable], replication: Replication) -> None:
    """Write <table>.csv, <table>.md and <table>.tex of each table into `folder`; equal cells give equal bytes.

    The CSV has a line a row and column of the table, and says of each value its unit and origin. Markdown and LaTeX
    have a line a row, in each column what the paper prints, what was reproduced and the gain, the best in bold.
    """
    for table in tables:
        path, told = folder / table.table.id, caption(table, replication)
        write_text(path.with_name(f"{path.name}.csv"), to_csv(table))
        write_text(path.with_name(f"{path.name}.md"), to_markdown(table, told))
        write_text(path.with_name(f"{path.name}.tex"), to_latex(table, told))


def to_csv(table: CellTable) -> str:
    """A line a row and column; text that a spreadsheet would take for a formula gets a ' in front."""
    import pandas as pd

    lines = [
        {key: _inert(value) if isinstance(value, str) else value for key, value in _line(table, row, cell).items()}
        for row in table.rows
        for cell in row.cells
    ]
    frame = pd.DataFrame(lines, columns=CSV_COLUMNS)
    return frame.astype({"n": "Int64"}).to_csv(index=False, lineterminator="\n")


def to_markdown(table: CellTable, told: list[str]) -> str:
    """The caption, and a table in pipes as GitHub reads it."""
    frame = _frame(table, escape=markdown_text, bold="**{}**".format)
    labels = _headings(table, markdown_text)
    frame.columns = [f"{labels[column]} {part}".rstrip() for column, part in frame.columns]
    align = ["left", *["right"] * (len(frame.columns) - 1)]
    body = frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align)
    title, *rest = map(markdown_text, told)
    return f"**{title}** {' '.join(rest)}\n\n{body}\n"


def to_latex(table: CellTable, told: list[str]) -> str:
    """A table* that needs the package booktabs alone."""
    frame = _frame(table, escape=latex_text, bold=r"\textbf{{{}}}".format)
    styler = frame.style.hide(axis="index").format_index(_headings(table, latex_text).get, axis=1, level=0)
    text = styler.to_latex(
        environment="table*",
        position_float="centering",
        hrules=True,
        multicol_align="c",
        column_format="l" + "r" * (len(frame.columns) - 1),
        caption=(" ".join(map(latex_text, told)), latex_text(told[0])),
        label=f"tab:{re.sub('[^A-Za-z0-9]+', '-', table.table.id)}",
    )
    return f"% needs \\usepackage{{booktabs}}\n{text}"


def caption(table: CellTable, replication: Replication) -> list[str]:
    """What a reader must know of the table who sees nothing but it, in sentences; the first is its title."""
    columns, scale = table.table.columns, replication.scale_name
    trained = any(column.trained for column in columns)
    told = [f"{_plain(table.table.title).rstrip('.')}, reproduced at scale {scale}."]
    if trained and not table.paper:
        told.append(
            "The trained numbers cannot be compared with the published ones: below the scale paper data, networks and "
            "schedules are smaller, and only the direction of a gain over the baseline is judged."
        )
    if trained:
        seeds = len(replication.seeds)
        told.append("One training a row." if seeds == 1 else f"Means over {seeds} trainings a row.")
    if any(cell.gain and cell.gain.low is not None for cell in table.cells):
        told.append(f"In brackets: {100 * replication.pipeline['report']['confidence']:g} % intervals of the gains.")
    if any(cell.best or cell.best_published for cell in table.cells):
        told.append("Bold: the best of each column among rows of equal depth and detector.")
    if any(column.timed for column in columns):
        told.append("Latencies are of one machine; another gives other numbers.")
    return [*told, *_sources(table)]


def markdown_text(text: str) -> str:
    """Text with every character that Markdown gives a meaning to escaped, on one line."""
    return _plain(text).translate(_MARKDOWN)


def latex_text(text: str) -> str:
    """Text with every character that LaTeX gives a meaning to escaped, on one line."""
    return _plain(text).translate(_LATEX)


def _plain(text: str) -> str:
    """One line without control characters."""
    kept = (letter if letter.isprintable() or letter == "\N{NARROW NO-BREAK SPACE}" else " " for letter in text)
    return re.sub(" +", " ", "".join(kept)).strip()


def _inert(text: str) -> str:
    text = _plain(text)
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text


def _line(table: CellTable, row: CellRow, cell: Cell) -> dict[str, Any]:
    published, gain = cell.published, cell.gain
    low, high = cell.interval or (None, None)
    numbers = {
        "reproduced": cell.value,
        "low": low,
        "high": high,
        "n": None if cell.value is None else len(cell.seeds) or 1,
        "gain": gain.value if gain else None,
        "gain_low": gain.low if gain else None,
        "gain_high": gain.high if gain else None,
        "published_gain": cell.published_gain,
    }
    return {
        "table": table.table.id,
        "row": row.row.label,
        "run": row.run,
        "column": cell.column.id,
        "unit": cell.column.unit,
        "published": published.value if published else None,
        "source": " ".join(published.source) if published else "",
        "confidence": published.confidence if published else "",
        **{key: None if value is None else round(value, DECIMALS) for key, value in numbers.items()},
        "p": float(f"{gain.p:.6g}") if gain and gain.p is not None else None,  # rounded to decimals it could be 0
        "verdict": cell.verdict,
    }


def _frame(table: CellTable, escape: Callable[[str], str], bold: Callable[[str], str]) -> "pd.DataFrame":
    """The table as printed: a column of labels, then one a column and part, named after both."""
    import pandas as pd

    shown = [[part for part in table.parts(column) if part in PARTS] for column in table.table.columns]
    names = [("", "")]
    for column, parts in zip(table.table.columns, shown, strict=True):
        names += [(column.id, part) for part in parts]
    rows = []
    for row in table.rows:
        rows.append([escape(row.row.label)])
        for cell, parts in zip(row.cells, shown, strict=True):
            rows[-1] += [_text(cell, part, escape, bold) for part in parts]
    return pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(names))


def _text(cell: Cell, part: str, escape: Callable[[str], str], bold: Callable[[str], str]) -> str:
    digits = cell.column.digits
    if cell.verdict == "not applicable":
        return ""
    if part == "published":
        if not cell.published:
            return "not recovered"
        text = escape(printed(cell.published.value, digits))
        return (bold(text) if cell.best_published else text) + escape(CONFIDENCE_MARKS[cell.published.confidence])
    if part == "reproduced":
        if cell.value is None:
            return escape(cell.verdict)
        text = escape(number(cell.value, digits))
        return bold(text) if cell.best else text
    if not cell.gain:
        return ""
    text = signed(cell.gain.value, digits)
    if cell.gain.low is not None and cell.gain.high is not None:
        text += f" [{signed(cell.gain.low, digits)}, {signed(cell.gain.high, digits)}]"
    return escape(text)


def _headings(table: CellTable, escape: Callable[[str], str]) -> dict[str, str]:
    """The heading of each column by its id, of the labels by nothing."""
    labels = {"": "Model"}
    for column in table.table.columns:
        labels[column.id] = escape(f"{column.label}, {column.unit}" if column.unit else column.label)
    return labels


def _sources(table: CellTable) -> list[str]:
    """Where the published values were read, and what the marks beside them mean."""
    published = [cell.published for cell in table.cells if cell.published]
    letters, told = {letter for one in published for letter in one.source}, []
    if published:
        meanings = [f"{letter}: {text}" for letter, text in params.load_sources().items() if letter in letters]
        told.append(f"Sources of the published values: {'; '.join(meanings)}.")
    for confidence, mark in CONFIDENCE_MARKS.items():
        if mark and any(one.confidence == confidence for one in published):
            told.append(f"{mark} {confidence} confidence that the paper prints this value.")
    return told
