"""The tables as CSV, Markdown and LaTeX: right numbers, and names that mean nothing to the formats."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from sgenet.config.replication import Replication, load_replication
from sgenet.judgement import judge
from sgenet.judgement.cells import Cell, CellTable
from sgenet.report.exports import export_tables
from sgenet.report.exports.latex import latex_text, to_latex
from sgenet.report.exports.markdown import to_markdown
from sgenet.report.exports.spreadsheet import to_csv
from support import results as make

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
    return judge(replication).tables


def trained(seeds: int) -> Replication:
    """Made-up results of several seeds; returns what was replicated."""
    replication = load_replication(seeds=seeds)
    make.make_results(replication)
    for seed, skill in enumerate((0.71, 0.70, 0.72)):
        make.make_run("demo", make.SGE, seed, make.IMAGES, skill)
    return replication


def hostile(label: str, table: CellTable) -> CellTable:
    """The table with this label on its last row, its last column and in its title."""
    column = table.table.columns[-1].model_copy(update={"label": label, "unit": label})
    columns = (*table.table.columns[:-1], column)
    rows = []
    for number, row in enumerate(table.rows):
        cells = (*row.cells[:-1], replace(row.cells[-1], column=column))
        last = number == len(table.rows) - 1
        rows.append(replace(row, row=row.row.model_copy(update={"label": label}) if last else row.row, cells=cells))
    titled = table.table.model_copy(update={"title": label, "columns": columns})
    return replace(table, table=titled, rows=tuple(rows))


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
    lines = list(csv.DictReader(to_csv(one, "demo").splitlines()))
    assert [(line["row"], line["column"]) for line in lines] == [
        (row["label"], column["id"]) for row in make.CLASSIFICATION["rows"] for column in make.CLASSIFICATION["columns"]
    ]
    first, top1 = lines[0], lines[6]
    assert first["reproduced"] == "25.557032" and first["published"] == "25.56" and first["verdict"] == "exact"
    assert (first["source"], first["confidence"], first["trainings"], first["gain"]) == ("H", "high", "", "")
    assert (top1["scale"], top1["table"], top1["unit"], top1["trainings"]) == ("demo", "one", "%", "1")
    assert (top1["run"], top1["baseline"]) == ("classification/sge-resnet50", "ResNet50")
    assert (top1["last"], top1["gain_trainings"], top1["images"]) == ("69.0", "1", str(make.IMAGES))
    assert (top1["published"], top1["reproduced"], top1["gain"]) == ("77.584", "70.0", "10.0")
    assert float(top1["images_low"]) < 10 < float(top1["images_high"]) and float(top1["low"]) < 70 < float(top1["high"])
    assert (top1["published_gain"], top1["confidence"]) == ("1.2", "low")
    assert (top1["verdict"], top1["reason"]) == ("not judged", "one training of each row")
    empty = ("gain_low", "gain_high", "df", "smallest", "p", "adjusted_p", "needed")  # of one training
    assert {top1[name] for name in empty} == {""}
    # 40 images out of 400 changed to right and none to wrong: McNemar's mid-p test is that of 40 equal coins
    assert float(top1["images_p"]) == pytest.approx(0.5**40, rel=1e-4)
    assert len(to_csv(two, "demo").splitlines()) == 1 + 2 * 3


def test_what_was_not_run_has_no_number(repository: Path) -> None:
    one, _ = tables_of(load_replication())
    lines = list(csv.DictReader(to_csv(one, "demo").splitlines()))
    assert {line["reproduced"] + line["trainings"] + line["gain"] for line in lines} == {""}
    _, (heads, *rows) = markdown_cells(to_markdown(one, ["Title."]))
    assert rows[0][heads.index("Top-1 (%) verdict")] == "not run" and rows[1][1] == "not recovered"
    text = to_latex(one, ["Title."])
    assert "a: not run." in text and text.count(r"--\textsuperscript{a}") == 8  # counts too, of both rows


def test_markdown_has_all_parts_of_the_page(replication: Replication) -> None:
    one, _ = tables_of(replication)
    text = to_markdown(one, ["Title."])
    _, (heads, *rows) = markdown_cells(text)
    parts = ["published", "reproduced", "published gain", "gain", "verdict"]
    assert heads[:5] == ["Model", *(f"#P (M) {part}" for part in ("published", "reproduced", "difference", "verdict"))]
    assert heads[9:14] == [f"Top-1 (%) {part}" for part in parts]
    plain, sge = (dict(zip(heads, row, strict=True)) for row in rows)
    assert plain["Top-1 (%) published"] == "76.38†" and plain["Top-1 (%) gain"] == ""
    assert sge["Top-1 (%) published"] == "77.58‡" and sge["Top-1 (%) published gain"] == "+1.20"
    assert re.fullmatch(r"70\.0 \[6\d\.\d, 7\d\.\d\] last 69\.0", sge["Top-1 (%) reproduced"])
    assert sge["Top-1 (%) gain"] == "+10.0"
    assert sge["Top-1 (%) verdict"] == "not judged: one training of each row" and sge["#P (M) verdict"] != ""
    assert "**70.0**" in text and "**77.58**‡" in text and "**60.0**" not in text


def test_latex_has_what_fits_a_paper(replication: Replication) -> None:
    """By hand: of the second row the operations differ, and the gain of Top-1 has the published direction."""
    text = to_latex(tables_of(trained(3))[0], ["Title."])
    groups, heads, plain, sge, intervals = latex_lines(text)
    assert groups == ["", "\\#P (M)", "GFLOPs", "Top-1 (\\%)", "Top-5 (\\%)"]
    assert heads == ["Model", "publ.", "repr.", "publ.", "repr.", "publ.", "repr.", "gain", "publ.", "repr.", "gain"]
    assert plain[:8] == ["ResNet50", "25.56", "25.56", "4.122\\dag{}", "4.122", "76.38\\dag{}", "61.0", "--"]
    marks = dict(re.findall(r"([a-z]): ([\w ]+)\.", text.partition("repr.: reproduced.")[2].partition("\\label")[0]))
    told = {verdict: rf"\textsuperscript{{{mark}}}" for mark, verdict in marks.items()}
    assert list(told) == ["differs", "same direction"]
    assert sge[:5] == ["SGE-ResNet50", "--", "25.56", "4.2\\dag{}", f"4.127{told['differs']}"]
    assert sge[5:8] == [r"\textbf{77.58}\ddag{}", r"\textbf{71.0}", f"+10.0{told['same direction']}"]
    assert sge[8] == "--" and re.fullmatch(r"\+\d\.\d", sge[10])  # no published gain: no mark
    assert [bool(interval) for interval in intervals] == [place in (7, 10) for place in range(11)]
    assert re.fullmatch(r"\{\\scriptsize \{\[\}\+\d\.\d, \+1\d\.\d\{\]\}\}", intervals[7])
    one = to_latex(tables_of(replication)[0], ["Title."])
    assert "not judged" not in one and "scriptsize" not in one  # most cells are not judged: no mark, and no interval


def test_latex_parts_what_is_not_compared(replication: Replication) -> None:
    one = tables_of(replication)[0]
    deeper = replace(one.rows[0], row=one.rows[0].row.model_copy(update={"model": "resnet101"}))
    text = to_latex(replace(one, rows=(*one.rows, deeper)), ["Title."])
    assert text.count(r"\addlinespace") == 1 and text.index(r"\addlinespace") > text.index("SGE-ResNet50")


def test_caption_warns_below_paper(replication: Replication) -> None:
    judged = judge(replication)
    files = export_tables(judged)
    of_paper = export_tables(replace(judged, tables=[replace(table, paper=True) for table in judged.tables]))
    for kind in ("md", "tex"):
        below, paper = (texts[f"one.{kind}"] for texts in (files, of_paper))
        assert "cannot be compared with the published ones" in below and "cannot be compared" not in paper
        assert "reproduced at scale demo" in below and "at its last state" in below and "SE-ResNet101" not in below
        assert "low confidence" in below and "high confidence" not in below
        assert "One training of each row" in below
        # Markdown prints the intervals of values too; LaTeX those of gains, of which one training has none
        assert ("In brackets: 95 % intervals." in below) == (kind == "md")


def test_equal_cells_give_equal_text(replication: Replication) -> None:
    first, second = (export_tables(judge(replication)) for _ in range(2))
    assert sorted(first) == [f"{table}.{kind}" for table in ("one", "two") for kind in ("csv", "md", "tex")]
    for name, text in first.items():
        assert text == second[name]
        assert "2026" not in text and "made-up CPU" not in text and "c0ffee" not in text


@pytest.mark.parametrize("label", HOSTILE)
def test_csv_of_hostile_names(replication: Replication, label: str) -> None:
    lines = to_csv(hostile(label, tables_of(replication)[0]), "demo").splitlines()
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
    (line,) = csv.DictReader(to_csv(replace(one, rows=(row,)), "demo").splitlines())
    assert (line["gain"], line["gain_low"], line["gain_high"]) == ("-1.5", "-2.0", "-1.0")


@pytest.mark.parametrize("label", HOSTILE)
def test_markdown_of_hostile_names(replication: Replication, label: str) -> None:
    table = hostile(label, tables_of(replication)[0])
    caption, lines = markdown_cells(to_markdown(table, [label, "The end."]))
    assert caption == f"{one_line(label)} The end."
    assert {len(line) for line in lines} == {19} and len(lines) == 3
    assert lines[2][0] == one_line(label)
    assert lines[0][14] == f"{one_line(label)} ({one_line(label)}) published"


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


def latex_lines(text: str) -> list[list[str]]:
    """The cells of each line of the table between its rules; of the first the headings, without their widths."""
    lines = text.splitlines()
    first, last = lines.index(r"\toprule"), lines.index(r"\bottomrule")
    ends = [
        line for line in lines[first + 1 : last] if not line.startswith((r"\cmidrule", r"\midrule", r"\addlinespace"))
    ]
    assert all(re.search(r"\\\\(\[-2pt\])?$", line) for line in ends)
    found = [[part.strip() for part in re.split(r"(?<!\\)&", re.sub(r"\\\\(\[-2pt\])?$", "", line))] for line in ends]
    (layout,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    spans = [re.fullmatch(r"\\multicolumn\{(\d)\}\{c\}\{(.*)\}", group) for group in found[0]]
    assert sum(int(span[1]) if span else 1 for span in spans) == len(layout)
    assert {len(line) for line in found[1:]} == {len(layout)}
    return [[span[2] if span else group for span, group in zip(spans, found[0], strict=True)], *found[1:]]


@pytest.mark.parametrize("label", HOSTILE)
def test_latex_of_hostile_names(replication: Replication, label: str) -> None:
    text = to_latex(hostile(label, tables_of(replication)[0]), [label, "The end."])
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+\*?)\}", text) == [
        *(("begin", "table*"), ("begin", "tabular")),
        *(("end", "tabular"), ("end", "table*")),
    ]
    groups, _, _, last = latex_lines(text)
    assert read_latex(last[0]) == one_line(label)
    assert read_latex(groups[-1]) == f"{one_line(label)} ({one_line(label)})"
    (caption,) = re.findall(r"\\caption\[.*?\]\{(.*)\}$", text, re.MULTILINE)
    assert read_latex(caption).startswith(f"{one_line(label)} The end. ")


def test_two_columns_of_one_name_stay_two(replication: Replication) -> None:
    table = tables_of(replication)[0]
    columns: tuple[Any, ...] = tuple(
        column.model_copy(update={"label": "same", "unit": ""}) for column in table.table.columns
    )
    text = to_latex(replace(table, table=table.table.model_copy(update={"columns": columns})), ["Title."])
    assert re.findall(r"multicolumn\{(\d)\}\{c\}\{same\}", text) == ["2", "2", "3", "3"]


def test_latex_text() -> None:
    assert latex_text("50 % of #P_1 & <x>\n\N{MINUS SIGN}1") == r"50 \% of \#P\_1 \& \textless{}x\textgreater{} $-$1"
