"""A table as Markdown, for readers: all columns of the page."""

from sgenet.judgement.cells import CellTable
from sgenet.report.exports.values import heading, interval_text, plain, value_text
from sgenet.report.formats import number

_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]<>|~$&"}


def to_markdown(table: CellTable, sentences: list[str]) -> str:
    """The caption, and a table in pipes as GitHub reads it."""
    import pandas as pd

    escape, bold = markdown_text, "**{}**".format
    names = ["Model"]
    for column in table.table.columns:
        names += [f"{heading(column, escape)} {part}" for part in table.parts(column)]
    rows = []
    for row in table.rows:
        rows.append([escape(row.row.label)])
        for cell in row.cells:
            for part in table.parts(cell.column):
                texts = [value_text(cell, part, escape, bold), escape(interval_text(cell, part))]
                if part == "reproduced" and cell.unlearned:
                    texts.append("did not learn")
                if part == "reproduced" and cell.last is not None:
                    texts.append(f"last {number(cell.last, cell.decimals)}")
                rows[-1].append(" ".join(filter(None, texts)))
    frame = pd.DataFrame(rows, columns=names)
    align = ["left", *["right"] * (len(names) - 1)]
    body = frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align)
    title, *rest = map(escape, sentences)
    return f"**{title}** {' '.join(rest)}\n\n{body}\n"


def markdown_text(text: str) -> str:
    """Text with every character that Markdown gives a meaning to escaped, on one line."""
    return plain(text).translate(_MARKDOWN)
