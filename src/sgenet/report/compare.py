"""Replications side by side: one page from their `comparison.json`, for `sgenet compare`."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from sgenet.config import paths
from sgenet.config.tasks import TASKS
from sgenet.errors import InputError
from sgenet.judgement.differences import (
    ABSENT,
    Setting,
    SharedCell,
    SharedClaim,
    SharedTable,
    find_claims,
    find_settings,
    find_tables,
)
from sgenet.judgement.replications import Replicated, find
from sgenet.report.environment import make_environment
from sgenet.report.figures.curves import QUANTITIES, overlay
from sgenet.report.figures.forest import DIGITS, ForestRow, Mark, draw_forest, gain_axis
from sgenet.report.figures.plot import COLORS, Plot
from sgenet.report.formats import interval, number, signed
from sgenet.runtime.files import write_text

LETTERS = "ABCDEF"  # of the replications, each with a colour in style.css
_LONGEST = 60  # characters of an argument in the name of the folder
_SHOWN = 12  # so many panels of curves are not folded


@dataclass(frozen=True)
class GainRow:
    """A gain in each replication as text, empty where there is none, and what they differ by."""

    cell: SharedCell
    texts: tuple[str, ...]
    difference: str


@dataclass(frozen=True)
class TableOfGains:
    """The gains of a table that are no gains of an earlier one, those that differ first, and their plot."""

    title: str
    gains: list[GainRow]
    plot: Markup

    @property
    def differs(self) -> bool:
        """Whether a gain is contested, or judged differently."""
        return any(gain.cell.contested or gain.cell.differs for gain in self.gains)


@dataclass(frozen=True)
class Differences:
    """What differs between the replications, and how many cells they share."""

    settings: list[Setting]
    claims: list[SharedClaim]
    tables: list[SharedTable]
    gains: list[TableOfGains]
    equal: bool

    @property
    def shared(self) -> list[SharedCell]:
        """The cells that all replications have."""
        return [cell for table in self.tables for cell in table.cells if cell.shared]

    def sentences(self) -> list[str]:
        """The result in words."""
        shared, differing = len(self.shared), sum(cell.differs for cell in self.shared)
        if self.equal:
            return [f"Nothing differs: settings, claims and all {shared} cells are equal."]
        gains = [gain.cell for table in self.gains for gain in table.gains]
        contested = sum(cell.contested for cell in gains)
        claims = sum(claim.differs for claim in self.claims)
        alone = sum(not cell.shared for table in self.tables for cell in table.cells)
        return [
            _part(differing, shared, "cell", "has another verdict", "have another verdict"),
            _part(contested, len(gains), "gain", "is contested", "are contested"),
            _part(claims, len(self.claims), "claim", "has another verdict", "have another verdict"),
            f"{len(self.settings) or 'No'} setting{'s differ' if len(self.settings) != 1 else ' differs'}.",
            *([f"{alone} {'cells are' if alone > 1 else 'cell is'} not in all replications."] if alone else []),
        ]


def compare(names: Sequence[str], out: Path | None = None) -> tuple[Path, list[str]]:
    """Write the page that compares replications.

    Args:
        names: where each is, as `sources.find` describes; two or more.
        out: folder of the page; by default reports/compare/<names>.

    Returns:
        the path of the page, and its first sentences.
    """
    if not 2 <= len(names) <= len(LETTERS):
        raise InputError(f"compare: replications: found {len(names)}, expected 2 to {len(LETTERS)}")
    folder = out or paths.report("compare") / "-".join(map(_slug, names))
    return write_page([find(name) for name in names], folder)


def write_page(replications: Sequence[Replicated], folder: Path) -> tuple[Path, list[str]]:
    """Write the page that compares two to six replications to a folder; returns its path and its first sentences."""
    differences = _differences(replications)
    sentences = differences.sentences()
    scales = {one.comparison.scale for one in replications}
    page = (
        make_environment()
        .get_template("compare.html")
        .render(
            replications=dict(zip(LETTERS, replications, strict=False)),
            over_numbers=[f">{letter}" for letter, _ in zip(LETTERS, replications, strict=False)],
            links=[_link(one.page, folder) for one in replications],
            scales=sorted(scales),
            differences=differences,
            sentences=sentences,
            curves=list(_curves(replications)),
            without_curves=[letter for letter, one in zip(LETTERS, replications, strict=False) if not one.curves],
            absent=ABSENT,
            most_open=_SHOWN,
        )
    )
    path = folder / "index.html"
    write_text(path, page)
    return path, sentences


def _differences(replications: Sequence[Replicated]) -> Differences:
    comparisons = [one.comparison for one in replications]
    tables = find_tables(comparisons)
    equal = all(one == comparisons[0] for one in comparisons)
    return Differences(find_settings(comparisons), find_claims(comparisons), tables, list(_gains(tables)), equal)


def _gains(tables: Sequence[SharedTable]) -> Iterator[TableOfGains]:
    """Yield the gains of each table; one that an earlier table has with the same verdicts is left out."""
    seen: set[tuple[object, ...]] = set()
    for table in tables:
        gained = {(cell.run, cell.baseline, cell.column_id, cell.verdicts): cell for cell in table.gained}
        own = [cell for key, cell in gained.items() if key not in seen]
        seen |= gained.keys()
        if own:
            own.sort(key=lambda cell: (not cell.contested, not cell.differs))
            rows = [_row(cell) for cell in own]
            yield TableOfGains(table.title, list(map(_gain, own)), draw_forest(table.title, rows, gain_axis(rows)))


def _gain(cell: SharedCell) -> GainRow:
    texts, digits = _texts(cell), min(cell.column.digits, DIGITS)
    if cell.difference is None:
        return GainRow(cell, texts, "")
    if len(cell.cells) > 2:
        return GainRow(cell, texts, number(cell.difference, digits))
    return GainRow(cell, texts, _text(cell.difference, cell.difference_interval, digits))


def _texts(cell: SharedCell) -> tuple[str, ...]:
    digits = min(cell.column.digits, DIGITS)
    return tuple(_text(gain.value, gain.interval, digits) if gain else "" for gain in cell.gains)


def _text(value: float, bounds: tuple[float, float] | None, digits: int) -> str:
    return f"{signed(value, digits)} {interval(bounds, digits, sign=True) if bounds else ''}".strip()


def _row(cell: SharedCell) -> ForestRow:
    marks = [
        Mark(gain.value, gain.interval, COLORS[letter]) if gain else None
        for letter, gain in zip(LETTERS, cell.gains, strict=False)
    ]
    words = [
        f"{letter} gain {text}" if text else f"{letter} no gain"
        for letter, text in zip(LETTERS, _texts(cell), strict=False)
    ]
    label = f"{cell.row}, {cell.column.label}"
    return ForestRow(label, marks, f"{label}: {', '.join(words)}")


def _curves(replications: Sequence[Replicated]) -> Iterator[tuple[str, list[Plot]]]:
    """Yield the quantity of each task, and a panel for each run that has curves in two replications or more."""
    for task in TASKS:
        by_run = {
            run: {
                letter: one.curves[run] for letter, one in zip(LETTERS, replications, strict=False) if run in one.curves
            }
            for run in dict.fromkeys(run for one in replications for run in one.curves)
            if run.startswith(f"{task}/")
        }
        if several := {run: curves for run, curves in by_run.items() if len(curves) > 1}:
            quantity = QUANTITIES[task]
            yield f"{task.capitalize()}: {quantity}", overlay(quantity, several)


def _part(count: int, total: int, noun: str, one: str, several: str) -> str:
    return f"{count or 'None'} of {total} {noun}{'s' * (total != 1)} {one if count == 1 else several}."


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)[-_LONGEST:].strip("-.") or "here"


def _link(page: Path | None, folder: Path) -> str | None:
    return quote(Path(os.path.relpath(page, folder)).as_posix()) if page else None
