"""Checks of a report: its numbers and verdicts are derived again from the raw results, without reading them from it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgenet.config.replication import Replication
from sgenet.pipeline.report_identity import read_identity
from sgenet.report import contents
from sgenet.runtime.files import read_json
from sgenet.verification.check import Check

PAGE, COMPARISON = "index.html", "comparison.json"
_BESIDES = ("archive.zip", "scale.yaml")  # next to a published report
_NAMES = ("id", "label", "text", "what")  # entries that name a member of a list
_ROUNDED = 2e-6  # numbers have six decimals


def check_report(replication: Replication, folder: Path, *, archived: bool = False) -> Check:
    """Check every file of a report; cells and claims of comparison.json one by one.

    Args:
        replication: whose results are in the working folder.
        folder: of the report.
        archived: whether images that the page shows may be missing, so that it may differ.
    """
    check = Check("report")
    derived, problems = contents(replication)
    check.deviations += problems
    counts = _compare(check, folder / COMPARISON, json.loads(derived.pop(COMPARISON)))
    page, equal = derived.pop(PAGE), 0
    for name, text in derived.items():
        path = folder / name
        if not path.is_file():
            check.deviate(path, "no file", "one, as `sgenet report` writes it")
        elif (found := path.read_text(encoding="utf-8", errors="replace")) != text:
            check.deviate(*_first_difference(path, found, text))
        else:
            equal += 1
    known = {COMPARISON, PAGE, *_BESIDES, *derived}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.relative_to(folder).as_posix() not in known:
            check.deviate(path, "a file that no report has", "none")
    check.checked = f"{counts} entries of {COMPARISON} and {equal} other files derived again"
    _check_page(check, folder / PAGE, page, archived=archived)
    return check


def _check_page(check: Check, path: Path, page: str, *, archived: bool) -> None:
    """Compare the page; that of an archive may differ, since it has images and commands of where it was made."""
    if not path.is_file():
        check.unchecked.append(f"{path}: it is not here")
        return
    found = path.read_text(encoding="utf-8", errors="replace")
    if found == page:
        check.checked += ", the page too"
    elif archived:
        why = "it has images and commands of where it was made, so that its text proves nothing"
        check.unchecked.append(f"{path}: {why}; `sgenet report` makes it from what was checked")
    elif read_identity(path) == _identity(page):
        check.deviate(*_first_difference(path, found, page))
    else:
        check.deviate(path, "a page of other results, parameters or code", "that of `sgenet report`")


def _identity(page: str) -> str | None:
    return page.partition('name="identity" content="')[2].partition('"')[0] or None


def _compare(check: Check, path: Path, expected: dict[str, Any]) -> int:
    """Compare all entries of comparison.json; returns their number."""
    found, wanted = dict(_flatten(read_json(path))), dict(_flatten(expected))
    for place in dict.fromkeys((*wanted, *found)):
        if place not in found:
            check.deviate(f"{path}: {place}", "no such entry", _shown(wanted[place]))
        elif place not in wanted:
            check.deviate(f"{path}: {place}", _shown(found[place]), "no such entry")
        elif not _equal(found[place], wanted[place]):
            check.deviate(f"{path}: {place}", _shown(found[place]), _shown(wanted[place]))
    return len(wanted)


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested JSON with their place, in which members of lists are named where they have a name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and value:
        known = dict[str, int]()
        for number, inner in enumerate(value):
            name = next((inner[key] for key in _NAMES if key in inner), number) if isinstance(inner, dict) else number
            known[str(name)] = repeated = known.get(str(name), 0) + 1
            yield from _flatten(inner, f"{place}[{name}{f' #{repeated}' if repeated > 1 else ''}]")
    else:
        yield place, value


def _equal(found: Any, expected: Any) -> bool:
    if type(found) is not type(expected) or not isinstance(found, float):
        return bool(found == expected) and isinstance(found, bool) == isinstance(expected, bool)
    return math.isclose(found, expected, rel_tol=0, abs_tol=_ROUNDED)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _first_difference(path: Path, found: str, expected: str) -> tuple[str, str, str]:
    """Place, found and expected text of the first line that differs, cut to where it differs."""
    lines, wanted = found.splitlines() + [""], expected.splitlines() + [""]
    number, (one, other) = next(
        (at, pair) for at, pair in enumerate(zip(lines, wanted, strict=False), 1) if pair[0] != pair[1]
    )
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, start - 30)
    return f"{path}: line {number}", _shown(one[start : start + 70]), _shown(other[start : start + 70])
