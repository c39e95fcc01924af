"""The folder of real data: `root` in a scale's settings, with environment variables as ${NAME} and the home as ~."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from sgenet.errors import InputError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def variables(root: str) -> list[str]:
    """Return the names of the environment variables in `root`."""
    return _VARIABLE.findall(root)


def unset_variables(root: str) -> list[str]:
    """Return the names of the environment variables in `root` that are not set, or empty."""
    return [name for name in variables(root) if not os.environ.get(name)]


def expand_root(root: str) -> str:
    """Expand the environment variables that are set, and ~, in `root`."""
    return os.path.expanduser(_VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], root))


def stays_below(name: str) -> bool:
    """Return whether a relative path, as any operating system reads it, stays below the folder it is relative to.

    Symbolic links in that folder may lead elsewhere: they were created on this machine, not by a file of the data.
    """
    readings = (PurePosixPath(name), PureWindowsPath(name))
    leaves = any(path.is_absolute() or path.drive or ".." in path.parts for path in readings)
    return not leaves and "\0" not in name and "://" not in name  # mmengine reads "://" as a URL


def resolve_root(root: str, place: str) -> Path:
    """Return the folder that `root` names; if it does not exist, the InputError starts with `place`."""
    for name in unset_variables(root):
        raise InputError(f"{place}: environment variable {name} is not set, expected the folder of the data")
    path = Path(expand_root(root))
    if not path.is_dir():
        raise InputError(f"{place}: found {str(path)!r}, expected an existing folder")
    return path
