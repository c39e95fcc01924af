"""reports/index.html: the reports that were built here, one row a scale, and the results that the repository holds."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sgenet.config import params, paths
from sgenet.errors import InputError
from sgenet.evaluation.verdicts import OUTCOMES, Verdict, count_verdicts
from sgenet.report.cells import NOT_APPLICABLE
from sgenet.report.comparison import VERSION
from sgenet.report.inputs import expect
from sgenet.report.pages import _environment
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
    page = (
        _environment()
        .get_template("index.html")
        .render(entries=entries, categories=categories, published=_published(folder / _PUBLISHED))
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
    value = read_json(path)
    verdicts: list[Verdict] = []
    expect(value, dict, path, "the whole file")
    if value.get("version") != VERSION:
        found = f"found {value.get('version')!r:.20}, expected {VERSION} of this version of sgenet"
        raise InputError(f"{path}: version: {found}; build the report again")
    expect(value.get("tables"), list, path, "tables")
    for place, table in enumerate(value["tables"]):
        rows = _member(table, "rows", list, path, f"tables.{place}")
        for number, row in enumerate(rows):
            at = f"tables.{place}.rows.{number}"
            for name, cell in _member(row, "cells", dict, path, at).items():
                word = _member(cell, "verdict", str, path, f"{at}.cells.{name}")
                if word not in OUTCOMES:
                    raise InputError(f"{path}: {at}.cells.{name}.verdict: found {word!r:.40}, expected a verdict")
                if cell.get("reason") != NOT_APPLICABLE:
                    verdicts.append(next(verdict for verdict in Verdict if verdict == word))
    return verdicts


def _member(value: Any, key: str, kind: type, path: Path, at: str) -> Any:
    expect(value, dict, path, at)
    expect(value.get(key), kind, path, f"{at}.{key}")
    return value[key]


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


def _published(folder: Path) -> list[tuple[str, list[str]]]:
    """Folders of results that the repository holds, with the names of their files."""
    if not folder.is_dir():
        return []
    return [
        (path.name, sorted(file.name for file in path.iterdir() if file.is_file() and file.name.isprintable()))
        for path in sorted(folder.iterdir())
        if _is_folder(path)
    ]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and path.name.isprintable()  # other names cannot be written into a page
