"""The tables as files: CSV for programs, Markdown for readers, LaTeX for papers."""

from sgenet.config import params
from sgenet.judgement import Judged
from sgenet.judgement.cells import CellTable
from sgenet.report.exports.latex import to_latex
from sgenet.report.exports.markdown import to_markdown
from sgenet.report.exports.spreadsheet import to_csv
from sgenet.report.formats import CONFIDENCE_MARKS, plain
from sgenet.report.overview import spread


def export_tables(judged: Judged) -> dict[str, str]:
    """Return the text of <table>.csv, <table>.md and <table>.tex of each table; equal cells give equal text.

    The CSV has a line for each row and column of the table, and states the unit and source of each value. Markdown has
    all columns of the page, LaTeX what fits a paper: published and reproduced values, gains, marks.
    """
    files = dict[str, str]()
    for table in judged.tables:
        name = table.table.id
        files[f"{name}.csv"] = to_csv(table, judged.scale)
        files[f"{name}.md"] = to_markdown(table, caption(table, judged))
        files[f"{name}.tex"] = to_latex(table, caption(table, judged, values=False))
    return files


def caption(table: CellTable, judged: Judged, *, values: bool = True) -> list[str]:
    """Sentences that explain the table on its own; the first is its title. `values`: their intervals are printed."""
    columns = table.table.columns
    trained = any(column.trained for column in columns)
    sentences = [f"{plain(table.table.title).rstrip('.')}, reproduced at scale {judged.scale}."]
    if trained and not table.paper:
        sentences.append(
            "The trained numbers cannot be compared with the published ones: below the scale paper data, networks and "
            "schedules are smaller, and only the direction of a gain over the baseline is judged."
        )
    if trained:
        sentences += spread(table.cells)
    if trained and any((values and cell.interval) or (cell.gain and cell.gain.low is not None) for cell in table.cells):
        sentences.append(f"In brackets: {100 * judged.confidence:g} % intervals.")
    if any(cell.best or cell.best_published for cell in table.cells):
        sentences.append("Bold: the best of each column among rows of equal depth and detector.")
    if any(column.timed for column in columns):
        sentences.append(
            "Latencies are medians on one machine, in brackets their quartiles; another gives other numbers."
        )
    return [*sentences, *_sources(table)]


def _sources(table: CellTable) -> list[str]:
    """Where the published values were read, and what the marks next to them mean."""
    published = [cell.published for cell in table.cells if cell.published]
    letters, sentences = {letter for one in published for letter in one.source}, []
    if published:
        meanings = [text for letter, text in params.load_sources().items() if letter in letters]
        sentences.append(f"Published values: {'; '.join(meanings)}.")
    for confidence, mark in CONFIDENCE_MARKS.items():
        if mark and any(one.confidence == confidence for one in published):
            sentences.append(f"{mark} {confidence} confidence that the paper prints this value.")
    return sentences
