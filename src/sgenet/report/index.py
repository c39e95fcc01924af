"""reports/index.html: the reports that were built here, one row a scale."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sgenet.config import params, paths
from sgenet.errors import InputError
from sgenet.evaluation.comparison import read_comparison
from sgenet.evaluation.verdicts import OUTCOMES, Verdict, count_verdicts
from sgenet.judgement.cells import NOT_APPLICABLE
from sgenet.report.environment import make_environment
from sgenet.runtime.files import read_json, write_text

_PUBLISHED = "published"  # small results that git tracks


@dataclass(frozen=True)
class ScaleEntry:
    """A report: its scale, what that is, the end of its newest run, counts of its cells, and what is wrong with it."""

    scale: str
    description: str
    newest: str | None
    counts: dict[Verdict, int]
    problem: str | None = None


def write_index() -> None:
    """Write reports/index.html from what is in reports/; the row of a damaged report says so."""
    folder = paths.report("index").parent
    entries = [
        _entry(path) for path in sorted(folder.iterdir()) if _is_folder(path) and (path / "index.html").is_file()
    ]
    shown = [entry.counts for entry in entries]
    categories = [verdict for verdict in OUTCOMES if any(verdict in counts for counts in shown)]
    heads = [f">{verdict.capitalize()}" for verdict in categories]
    page = (
        make_environment()
        .get_template("index.html")
        .render(entries=entries, categories=categories, heads=heads, published=(folder / _PUBLISHED).is_dir())
    )
    write_text(folder / "index.html", page)


def _entry(folder: Path) -> ScaleEntry:
    scale = folder.name
    try:
        counts, problem = dict(count_verdicts(_verdicts(folder / "comparison.json"))), None
    except InputError as error:
        counts, problem = {}, str(error)
    return ScaleEntry(scale, _description(scale), _newest(scale), counts, problem)


def _verdicts(path: Path) -> list[Verdict]:
    """The verdict of every cell in a comparison.json."""
    return [
        cell.verdict
        for table in read_comparison(path).tables
        for row in table.rows
        for cell in row.cells.values()
        if cell.reason != NOT_APPLICABLE
    ]


def _description(scale: str) -> str:
    """What params/ says of a scale; empty where it is not there (any more), or not valid."""
    try:
        return params.load_scale(scale).description
    except InputError:
        return ""


def _newest(scale: str) -> str | None:
    """When the newest evaluation of a scale ended, in ISO 8601; None where no result states it."""
    found = []
    for path in (paths.evaluation(scale, "", 0).parent).rglob("seed-*/timing.json"):
        try:
            finished = read_json(path)["evaluate"]["finished"]
            datetime.fromisoformat(finished)
        except (InputError, LookupError, TypeError, ValueError):
            continue  # the report of the scale states it
        found.append(finished)
    return max(found, default=None)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and path.name.isprintable()  # other names cannot be written into a page
