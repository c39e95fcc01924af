"""The tables as files: CSV for programs, Markdown for readers, LaTeX for papers."""

from pathlib import Path

from sgenet.config import params
from sgenet.config.replication import Replication
from sgenet.report.cells import CellTable
from sgenet.report.exports.latex import to_latex
from sgenet.report.exports.markdown import to_markdown
from sgenet.report.exports.spreadsheet import to_csv
from sgenet.report.exports.values import plain
from sgenet.report.formats import CONFIDENCE_MARKS
from sgenet.report.overview import spread
from sgenet.runtime.files import write_text


def write_tables(folder: Path, tables: list[CellTable], replication: Replication) -> None:
    """Write <table>.csv, <table>.md and <table>.tex of each table into `folder`; equal cells give equal bytes.

    The CSV has a line a row and column of the table, and says of each value its unit and origin. Markdown has a line a
    row and all columns of the page, LaTeX what fits a paper: published and reproduced values, gains, marks.
    """
    for table in tables:
        path, told = folder / table.table.id, caption(table, replication)
        write_text(path.with_name(f"{path.name}.csv"), to_csv(table, replication.scale_name))
        write_text(path.with_name(f"{path.name}.md"), to_markdown(table, told))
        write_text(path.with_name(f"{path.name}.tex"), to_latex(table, told))


def caption(table: CellTable, replication: Replication) -> list[str]:
    """What a reader must know of the table who sees nothing but it, in sentences; the first is its title."""
    columns, scale = table.table.columns, replication.scale_name
    trained = any(column.trained for column in columns)
    told = [f"{plain(table.table.title).rstrip('.')}, reproduced at scale {scale}."]
    if trained and not table.paper:
        told.append(
            "The trained numbers cannot be compared with the published ones: below the scale paper data, networks and "
            "schedules are smaller, and only the direction of a gain over the baseline is judged."
        )
    if trained:
        told += spread(table.cells)
    if any(cell.gain and cell.gain.low is not None for cell in table.cells):
        told.append(f"In brackets: {100 * replication.pipeline.report.confidence:g} % intervals.")
    if any(cell.best or cell.best_published for cell in table.cells):
        told.append("Bold: the best of each column among rows of equal depth and detector.")
    if any(column.timed for column in columns):
        told.append("Latencies are medians on one machine, in brackets their quartiles; another gives other numbers.")
    return [*told, *_sources(table)]


def _sources(table: CellTable) -> list[str]:
    """Where the published values were read, and what the marks beside them mean."""
    published = [cell.published for cell in table.cells if cell.published]
    letters, told = {letter for one in published for letter in one.source}, []
    if published:
        meanings = [text for letter, text in params.load_sources().items() if letter in letters]
        told.append(f"Published values: {'; '.join(meanings)}.")
    for confidence, mark in CONFIDENCE_MARKS.items():
        if mark and any(one.confidence == confidence for one in published):
            told.append(f"{mark} {confidence} confidence that the paper prints this value.")
    return told
