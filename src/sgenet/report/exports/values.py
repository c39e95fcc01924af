"""Texts in the cells of an exported table, whatever the format."""

import re
from collections.abc import Callable

from sgenet.config.tables import Column
from sgenet.judgement.cells import Cell
from sgenet.report.formats import CONFIDENCE_MARKS, interval, number, printed, signed


def plain(text: str) -> str:
    """One line without control characters."""
    kept = (letter if letter.isprintable() or letter == "\N{NARROW NO-BREAK SPACE}" else " " for letter in text)
    return re.sub(" +", " ", "".join(kept)).strip()


def heading(column: Column, escape: Callable[[str], str]) -> str:
    """What stands over a column: its label, and its unit in parentheses."""
    return escape(column.label) + (f" ({escape(column.unit)})" if column.unit else "")


def value_text(cell: Cell, part: str, escape: Callable[[str], str], bold: Callable[[str], str]) -> str:
    """A part of a cell as the page prints it, the best of its peers in bold; nothing where there is no value."""
    if not cell.applicable:
        return ""
    if part == "verdict":
        return escape(f"{cell.verdict}: {cell.reason}" if cell.reason else cell.verdict)
    if part == "published":
        if not cell.published:
            return cell.unpublished
        shown = escape(printed(cell.published.value, cell.column.digits))
        return (bold(shown) if cell.best_published else shown) + escape(CONFIDENCE_MARKS[cell.published.confidence])
    if part == "reproduced":
        shown = "" if cell.value is None else escape(number(cell.value, cell.decimals))
        return bold(shown) if cell.best else shown
    value = cell.number(part)
    digits = cell.column.digits if part == "published gain" else cell.decimals
    return "" if value is None else escape(signed(value, digits))


def interval_text(cell: Cell, part: str) -> str:
    """The interval of a gain or of a reproduced value, behind a latency its quartiles; nothing where there is none."""
    bounds, gain = None, cell.gain
    if part == "reproduced" and cell.value is not None:
        bounds = cell.interval
    elif part == "gain" and gain and gain.low is not None and gain.high is not None:
        bounds = gain.low, gain.high
    if not bounds:
        return ""
    return interval(bounds, cell.decimals, sign=part == "gain")
