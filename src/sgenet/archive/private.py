"""What identifies a machine and its user, which an archive omits unless requested."""

import getpass
import os
import platform
import re
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.runtime.files import read_json, to_json

_KEYS = {"host", "device_uuid"}
_TEXT = {".csv", ".html", ".json", ".log", ".md", ".tex", ".txt"}
_SHORTEST = 4  # characters of a host or user name that is replaced in a log; others are part of many words
_COMMON = {"root", "user", "localhost"}  # names that identify nobody


def without_machine(path: Path) -> bytes | None:
    """Return a result without the machine's host name and device UUID; None where it states neither."""
    if path.suffix != ".json" or path.name == paths.DETECTIONS:
        return None
    value = read_json(path)
    kept = _without(value)
    return None if kept == value else to_json(kept).encode()


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(member) for key, member in value.items() if key not in _KEYS}
    return [_without(member) for member in value] if isinstance(value, list) else value


def without_places(path: Path) -> bytes | None:
    """Return a log, or a file of a report, which shows logs, without paths and names of this machine.

    The paths of the checkout and of the home folder become `.` and `~`, the host's and the user's name `HOST` and
    `USER`. None where the file has none of them.
    """
    if path.suffix not in _TEXT:
        return None
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    kept = text
    for place, short in ((os.getcwd(), "."), (os.path.realpath(os.curdir), "."), (os.path.expanduser("~"), "~")):
        if place.count("/") > 1 or len(place) > _SHORTEST:
            kept = re.sub(rf"{re.escape(place)}(?![\w-])", short, kept)
    if path.suffix == ".log" or path.name == "index.html":
        for name, short in ((platform.node(), "HOST"), (_user(), "USER")):
            if len(name) >= _SHORTEST and name not in _COMMON:
                kept = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", short, kept)
    return None if kept == text else kept.encode(errors="surrogateescape")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""
