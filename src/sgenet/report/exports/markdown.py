"""A table as Markdown, for readers: all columns of the page."""

from sgenet.judgement.cells import CellTable
from sgenet.report.formats import heading, plain
from sgenet.report.view import Part, show

_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]<>|~$&"}


def to_markdown(table: CellTable, sentences: list[str]) -> str:
    """The caption, and a table in pipes as GitHub reads it."""
    import pandas as pd

    names = ["Model"]
    for column in table.table.columns:
        names += [f"{heading(column, markdown_text)} {part}" for part in table.parts(column)]
    rows = []
    for row in table.rows:
        rows.append([markdown_text(row.row.label)])
        for cell in row.cells:
            parts = show(table, cell)
            rows[-1] += [_text(parts[name]) if parts else "" for name in table.parts(cell.column)]
    frame = pd.DataFrame(rows, columns=names)
    align = ["left", *["right"] * (len(names) - 1)]
    body = frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align)
    title, *rest = map(markdown_text, sentences)
    return f"**{title}** {' '.join(rest)}\n\n{body}\n"


def _text(part: Part) -> str:
    value = f"{part.text}:" if part.name == "verdict" and part.remarks else part.text
    shown = markdown_text(value) + markdown_text(part.mark)
    rest = map(markdown_text, (part.interval, *part.remarks))
    return " ".join(filter(None, [f"**{markdown_text(value)}**{part.mark}" if part.bold else shown, *rest]))


def markdown_text(text: str) -> str:
    """Text with every character that Markdown gives a meaning to escaped, on one line."""
    return plain(text).translate(_MARKDOWN)
