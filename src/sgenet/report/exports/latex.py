"""A table as LaTeX, for papers: as many columns as fit, and marks in place of verdicts."""

import re
import string

from sgenet.evaluation.verdicts import WITHHELD, Verdict
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.ranking import peers
from sgenet.report.formats import MINUS, heading, plain
from sgenet.report.view import Part, show

HEADS = {"published": "publ.", "reproduced": "repr.", "gain": "gain"}  # of the parts that LaTeX has
UNMARKED = (Verdict.EXACT, Verdict.NOT_JUDGED)  # verdicts without a mark

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


def to_latex(table: CellTable, sentences: list[str]) -> str:
    """A table* as wide as the text at most, under a caption of these sentences and the meaning of the marks."""
    marks = _marks(table)
    texts = [*sentences, "Publ.: published; repr.: reproduced.", *(f"{mark}: {word}." for word, mark in marks.items())]
    shown = [_parts(table, place) for place in range(len(table.table.columns))]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
            r"\begin{table*}",
            r"\centering",
            rf"\caption[{latex_text(sentences[0])}]{{{' '.join(map(latex_text, texts))}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.table.id)}}}",
            r"\smallskip",
            r"\small",
            r"\setlength{\tabcolsep}{3pt}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * sum(map(len, shown))}}}",
            r"\toprule",
            *_head(table, shown),
            r"\midrule",
            *_body(table, shown, marks),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text with every character that LaTeX gives a meaning to escaped, on one line."""
    return plain(text).translate(_LATEX)


def _marks(table: CellTable) -> dict[str, str]:
    """A letter for each verdict, and reason, that a paper's table must state, in reading order."""
    words = dict.fromkeys(word for cell in table.cells if (word := _word(cell)) not in UNMARKED)
    return dict(zip(words, string.ascii_lowercase, strict=False))


def _word(cell: Cell) -> str:
    """What is marked in a cell: its verdict, or that a training did not learn."""
    return cell.reason if cell.reason in WITHHELD else cell.verdict


def _parts(table: CellTable, place: int) -> list[str]:
    """The parts of a column, without published values where there are none."""
    column = table.table.columns[place]
    left_out = "" if column.audits or any(row.cells[place].published for row in table.rows) else "published"
    return [part for part in table.parts(column) if part in HEADS and part != left_out]


def _head(table: CellTable, shown: list[list[str]]) -> list[str]:
    heads, rules, parts = [""], "", ["Model"]
    for column, of_column in zip(table.table.columns, shown, strict=True):
        heads.append(rf"\multicolumn{{{len(of_column)}}}{{c}}{{{heading(column, latex_text)}}}")
        rules += rf"\cmidrule(lr){{{len(parts) + 1}-{len(parts) + len(of_column)}}}"
        parts += [HEADS[part] for part in of_column]
    return [rf"{' & '.join(heads)} \\", rules, rf"{' & '.join(parts)} \\"]


def _body(table: CellTable, shown: list[list[str]], marks: dict[str, str]) -> list[str]:
    """A line a row and, where it has intervals, one for these; rows that are not compared are apart."""
    lines: list[str] = []
    for place, row in enumerate(table.rows):
        if place and peers(table.rows[place - 1].row) != peers(row.row):
            lines.append(r"\addlinespace")
        values, intervals = [latex_text(row.row.label)], [""]
        for cell, of_column in zip(row.cells, shown, strict=True):
            parts = show(table, cell)
            values += [_value(parts.get(name), cell, marks, of_column) for name in of_column]
            intervals += [_interval(parts.get(name), cell) for name in of_column]
        lines.append(rf"{' & '.join(values)} \\")
        if any(intervals):
            lines[-1] += "[-2pt]"
            lines.append(rf"{' & '.join(intervals)} \\")
    return lines


def _value(part: Part | None, cell: Cell, marks: dict[str, str], shown: list[str]) -> str:
    """A part of a cell, with the mark of the verdict behind what was judged."""
    if part is None:
        return ""
    value = latex_text(part.text) or "--"
    value = rf"\textbf{{{value}}}" if part.bold else value
    judged = "gain" if cell.gain and not cell.unlearned else "reproduced" if "reproduced" in shown else "published"
    mark = rf"\textsuperscript{{{marks[_word(cell)]}}}" if part.name == judged and _word(cell) in marks else ""
    return value + latex_text(part.mark) + mark


def _interval(part: Part | None, cell: Cell) -> str:
    """The interval of a gain, or of a time; those of other values would make the table too wide."""
    text = part.interval if part and (part.name == "gain" or cell.column.timed) else ""
    return rf"{{\scriptsize {latex_text(text)}}}" if text else ""
