"""Names of files, classes and categories: which are accepted, and names that differ in Unicode normalisation only."""

import re
import unicodedata
from typing import Literal

# Control characters and line breaks would split a line of a list; half a surrogate pair is how Python shows bytes of a
# name that are not UTF-8. Everything else is accepted: spaces of any width, joiners, every script.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
ALLOWED = "UTF-8 text without control characters and line breaks"


def is_name(text: object) -> bool:
    """Return whether `text` is a name that a list of names can contain: not empty, without control characters."""
    return isinstance(text, str) and bool(text) and (text.isprintable() or not _REFUSED.search(text))


def canonical(text: str) -> str:
    """Return the name in the form NFC of Unicode, which is equal for names that look the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def other_forms(name: str) -> list[str]:
    """Return the names that look like `name` and differ in their Unicode normalisation only."""
    forms = {unicodedata.normalize(form, name) for form in _FORMS}
    return sorted(forms - {name})


def explain_forms(name: str, other: str) -> str:
    """Return the end of a message about two names that differ in their Unicode normalisation only."""
    return f"the names look the same and differ in Unicode normalisation only: {_form(name)} here, {_form(other)} there"


def _form(text: str) -> str:
    forms = [form for form in _FORMS if unicodedata.is_normalized(form, text)]
    return forms[0] if forms else "a mixture of NFC and NFD"
