"""The tables as CSV, Markdown and LaTeX: right numbers, and names that mean nothing to the formats."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from sgenet.report.cells import Cell, CellTable, make_table
from sgenet.report.exports import latex_text, to_csv, to_latex, to_markdown, write_tables
from sgenet.report.gains import Gains
from sgenet.report.ranking import rank
from sgenet.report.results import read_found
from sgenet.runs import Replication, load_replication

from . import conftest as make

LATEX = "a & b % c $ d # e_f {g} ~ ^ \\ < > | [h] \\end{table*}"
HOSTILE = [
    LATEX,
    "pipe | tick ` **bold** _under_ [link](x) <b>tag</b> &lt; $m$ ~~s~~\nnext line",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=2",
    "comma, \"quote\" 'n' \x00 \r end",
]


def tables_of(replication: Replication) -> list[CellTable]:
    found, gains = read_found(replication), Gains(replication.pipeline["report"])
    return [rank(make_table(table, replication, found, gains)) for table in replication.tables]


def hostile(label: str, table: CellTable) -> CellTable:
    """The table with this label on its last row, its last column and in its title."""
    columns = tuple(table.table.columns[:-1]) + (replace(table.table.columns[-1], label=label, unit=label),)
    rows = []
    for number, row in enumerate(table.rows):
        cells = (*row.cells[:-1], replace(row.cells[-1], column=columns[-1]))
        last = number == len(table.rows) - 1
        rows.append(replace(row, row=replace(row.row, label=label) if last else row.row, cells=cells))
    return replace(table, table=replace(table.table, title=label, columns=columns), rows=tuple(rows))


def one_line(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f]", " ", text).split())


def markdown_cells(text: str) -> tuple[str, list[list[str]]]:
    """What a CommonMark reader sees: the caption, and the text of each cell; nothing but bold is marked up."""
    lines: list[list[str]] = []
    captions, in_table = [], False
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            in_table = True
        elif token.type == "tr_open":
            lines.append([])
        elif token.type == "inline":
            assert {child.type for child in token.children} <= {"text", "text_special", "strong_open", "strong_close"}
            content = "".join(child.content for child in token.children)
            (lines[-1] if in_table else captions).append(content)
    return " ".join(captions), lines


def test_csv_has_a_line_a_row_and_column(replication: Replication) -> None:
    one, two = tables_of(replication)
    lines = list(csv.DictReader(to_csv(one).splitlines()))
    assert [(line["row"], line["column"]) for line in lines] == [
        (row["label"], column["id"]) for row in make.CLASSIFICATION["rows"] for column in make.CLASSIFICATION["columns"]
    ]
    first, top1 = lines[0], lines[6]
    assert first["reproduced"] == "25.557032" and first["published"] == "25.56" and first["verdict"] == "exact"
    assert (first["source"], first["confidence"], first["n"], first["gain"]) == ("H", "high", "1", "")
    assert (top1["table"], top1["run"], top1["unit"]) == ("one", "classification/sge-resnet50", "%")
    assert (top1["published"], top1["reproduced"], top1["gain"]) == ("77.584", "70.0", "10.0")
    assert float(top1["gain_low"]) < 10 < float(top1["gain_high"]) and float(top1["low"]) < 70 < float(top1["high"])
    assert (top1["published_gain"], top1["confidence"], top1["verdict"]) == ("1.2", "low", "same direction")
    # 40 images out of 400 turned right and none wrong: the exact test is that of 40 coins falling alike
    assert float(top1["p"]) == pytest.approx(2 * 0.5**40, rel=1e-4)
    assert len(to_csv(two).splitlines()) == 1 + 2 * 3


def test_what_was_not_run_has_no_number(repository: Path) -> None:
    one, _ = tables_of(load_replication())
    lines = list(csv.DictReader(to_csv(one).splitlines()))
    assert {line["reproduced"] + line["n"] + line["gain"] for line in lines} == {""}
    _, cells = markdown_cells(to_markdown(one, ["Title."]))
    assert cells[1][6] == "not run" and cells[2][1] == "not recovered"


def test_paper_columns_and_bold(replication: Replication) -> None:
    one, _ = tables_of(replication)
    text = to_markdown(one, ["Title."])
    _, cells = markdown_cells(text)
    assert cells[0][:5] == ["Model", "#P, M published", "#P, M reproduced", "GFLOPs published", "GFLOPs reproduced"]
    assert cells[0][5:8] == ["Top-1, % published", "Top-1, % reproduced", "Top-1, % gain"]
    assert cells[1][5:8] == ["76.38†", "60.00", ""]
    assert cells[2][5:7] == ["77.58‡", "70.00"] and re.fullmatch(r"\+10\.00 \[\+\d\.\d\d, \+1\d\.\d\d\]", cells[2][7])
    assert "**70.00**" in text and "**77.58**‡" in text and "**60.00**" not in text
    assert r"\textbf{70.00}" in to_latex(one, ["Title."]) and r"\textbf{60.00}" not in to_latex(one, ["Title."])


def test_caption_warns_below_paper(replication: Replication, tmp_path: Path) -> None:
    tables = tables_of(replication)
    write_tables(tmp_path / "below", tables, replication)
    write_tables(tmp_path / "paper", [replace(table, paper=True) for table in tables], replication)
    for kind in ("md", "tex"):
        below, paper = ((tmp_path / scale / f"one.{kind}").read_text() for scale in ("below", "paper"))
        assert "cannot be compared with the published ones" in below and "cannot be compared" not in paper
        assert "reproduced at scale demo" in below and "H: official README" in below and "C: " not in below
        assert "low confidence" in below and "high confidence" not in below


def test_equal_cells_give_equal_bytes(replication: Replication, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_tables(tmp_path / folder, tables_of(replication), replication)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"{table}.{kind}" for table in ("one", "two") for kind in ("csv", "md", "tex")]
    for name in names:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert b"2026" not in content and b"made-up CPU" not in content and b"c0ffee" not in content


@pytest.mark.parametrize("label", HOSTILE)
def test_csv_of_hostile_names(replication: Replication, label: str) -> None:
    lines = to_csv(hostile(label, tables_of(replication)[0])).splitlines()
    assert len(lines) == 1 + 2 * 4
    last = list(csv.DictReader(lines))[-1]
    for text in (last["row"], last["unit"]):
        assert text[0] not in "=+-@" and text.removeprefix("'") == one_line(label)
        assert text.startswith("'") == (one_line(label)[0] in "=+-@")
    for line in csv.DictReader(lines):
        assert not any(value.startswith("'") for key, value in line.items() if key not in ("row", "unit"))


def test_negative_numbers_stay_numbers(replication: Replication) -> None:
    one = tables_of(replication)[0]
    gain = one.rows[1].cells[2].gain
    cell: Cell = replace(one.rows[1].cells[2], gain=replace(gain, value=-1.5, low=-2.0, high=-1.0))
    row = replace(one.rows[1], cells=(cell,))
    (line,) = csv.DictReader(to_csv(replace(one, rows=(row,))).splitlines())
    assert (line["gain"], line["gain_low"], line["gain_high"]) == ("-1.5", "-2.0", "-1.0")


@pytest.mark.parametrize("label", HOSTILE)
def test_markdown_of_hostile_names(replication: Replication, label: str) -> None:
    table = hostile(label, tables_of(replication)[0])
    caption, lines = markdown_cells(to_markdown(table, [label, "The end."]))
    assert caption == f"{one_line(label)} The end."
    assert {len(line) for line in lines} == {11} and len(lines) == 3
    assert lines[2][0] == one_line(label)
    assert lines[0][8] == f"{one_line(label)}, {one_line(label)} published"


WORDS = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">"}
WORDS |= {"textbar": "|", "dag": "†", "ddag": "‡", ",": "\u202f"}


def read_latex(text: str) -> str:
    """What text without other commands prints; a special character that is not escaped is an error."""
    printed, place = "", 0
    while place < len(text):
        letter = text[place]
        if letter == "\\":
            command = re.match(r"\\([A-Za-z]+|.)(\{\})?", text[place:], re.DOTALL)
            assert command is not None
            name, empty = command.groups()
            assert name in WORDS and (empty or name == ",") or name in "&%$#_{}", command.group()
            printed, place = printed + WORDS.get(name, name), place + len(command.group())
        elif text.startswith("$-$", place):
            printed, place = printed + "\N{MINUS SIGN}", place + 3
        else:
            assert letter not in "&%$#_~^<>|", text
            printed, place = printed + ("" if letter in "{}" else letter), place + 1
    return printed


def split_latex(line: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]


@pytest.mark.parametrize("label", HOSTILE)
def test_latex_of_hostile_names(replication: Replication, label: str) -> None:
    text = to_latex(hostile(label, tables_of(replication)[0]), [label, "The end."])
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+\*?)\}", text) == [
        *(("begin", "table*"), ("begin", "tabular")),
        *(("end", "tabular"), ("end", "table*")),
    ]
    (layout,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    lines = text.splitlines()
    rules = [lines.index(f"\\{rule}") for rule in ("toprule", "midrule", "bottomrule")]
    groups, parts, *rows = [split_latex(line) for line in lines[rules[0] + 1 : rules[2]] if line != r"\midrule"]
    assert len(rows) == 2 and {len(row) for row in [parts, *rows]} == {len(layout)}
    spans = [re.fullmatch(r"\\multicolumn\{(\d)\}\{c\}\{(.*)\}", group) for group in groups]
    assert sum(int(span[1]) if span else 1 for span in spans) == len(layout)
    assert read_latex(rows[1][0]) == one_line(label) and spans[-1]
    assert read_latex(spans[-1][2]) == f"{one_line(label)}, {one_line(label)}"
    (caption,) = re.findall(r"\\caption\[.*?\]\{(.*)\}$", text, re.MULTILINE)
    assert read_latex(caption) == f"{one_line(label)} The end."


def test_two_columns_of_one_name_stay_two(replication: Replication) -> None:
    table = tables_of(replication)[0]
    columns: tuple[Any, ...] = tuple(replace(column, label="same", unit="") for column in table.table.columns)
    text = to_latex(replace(table, table=replace(table.table, columns=columns)), ["Title."])
    assert re.findall(r"multicolumn\{(\d)\}\{c\}\{same\}", text) == ["2", "2", "3", "3"]


def test_latex_text() -> None:
    assert latex_text("50 % of #P_1 & <x>\n\N{MINUS SIGN}1") == r"50 \% of \#P\_1 \& \textless{}x\textgreater{} $-$1"
