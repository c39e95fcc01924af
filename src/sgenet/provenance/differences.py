"""The first setting in which two results differ, in words."""

from typing import Any

_NOTHING = object()


def _short(value: Any) -> str:
    """Return a setting in one line; of one with many values, only that it is set."""
    return "set" if isinstance(value, list | dict) and len(repr(value)) > 60 else f"{value!r:.60}"


def first_difference(old: dict[str, Any], new: dict[str, Any], place: str = "") -> str:
    """Return the first setting that differs, with its key and both values; the two must differ."""
    keys = [*new, *(key for key in old if key not in new)]
    key = next(key for key in keys if old.get(key, _NOTHING) != new.get(key, _NOTHING))
    before, after = old.get(key, _NOTHING), new.get(key, _NOTHING)
    if isinstance(before, dict) and isinstance(after, dict):
        return first_difference(before, after, f"{place}{key}.")
    values = ["not set" if value is _NOTHING else _short(value) for value in (before, after)]
    if values == ["set", "set"]:
        return f"{place}{key:.60} has other values"
    return f"{place}{key:.60} {values[0]}, now {values[1]}"
