"""Numbers as the report prints them."""

import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from sgenet.config.tables import Column

CONFIDENCE_MARKS = {"high": "", "medium": "†", "low": "‡"}
MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 0) -> str:
    """A number with so many decimals, a real minus sign, and thin spaces between thousands."""
    return f"{value:,.{digits}f}".replace("-", MINUS).replace(",", "\N{NARROW NO-BREAK SPACE}")


def printed(value: float, digits: int) -> str:
    """A published number: no more than so many decimals, and none that it was not published with."""
    return number(value, min(digits, len(str(value).partition(".")[2])))


def signed(value: float, digits: int) -> str:
    """A difference: always with its sign, except for zero."""
    text = number(value, digits)
    return text.lstrip(MINUS) if float(f"{value:.{digits}f}") == 0 else text if value < 0 else f"+{text}"


def interval(bounds: tuple[float, float], digits: int, *, sign: bool = False) -> str:
    """An interval in brackets."""
    show = signed if sign else number
    return f"[{', '.join(show(bound, digits) for bound in bounds)}]"


def unbroken(label: str) -> Markup:
    """A label that breaks neither within a name such as SGE-ResNet50 nor around an equals sign."""
    kept = re.split(r"(\w+ = [\w.+-]*\w|\b\w{1,9}(?:-\w{1,9})+\b)", label)
    shown = [
        Markup('<span class="nb">{}</span>' if place % 2 else "{}").format(text) for place, text in enumerate(kept)
    ]
    return Markup().join(shown)


def duration(seconds: Any) -> str:
    """Seconds as a person says them; what is no number stays as it is."""
    if not isinstance(seconds, int | float):
        return str(seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain(text: str) -> str:
    """One line without control characters."""
    kept = (letter if letter.isprintable() or letter == "\N{NARROW NO-BREAK SPACE}" else " " for letter in text)
    return re.sub(" +", " ", "".join(kept)).strip()


def heading(column: Column, escape: Callable[[str], str]) -> str:
    """What is written over a column: its label, and its unit in parentheses."""
    return escape(column.label) + (f" ({escape(column.unit)})" if column.unit else "")
