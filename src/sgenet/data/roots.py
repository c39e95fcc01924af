"""Where real data stand: `root` in a scale's settings, in which ${NAME} is an environment variable and ~ the home."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sgenet.errors import InputError

COCO_DEFAULTS: dict[str, Any] = {  # as COCO 2017 ships
    "train": {"annotations": "annotations/instances_train2017.json", "images": "train2017"},
    "val": {"annotations": "annotations/instances_val2017.json", "images": "val2017"},
    "defects": "strict",
    "area_limits": [32**2, 96**2],
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def variables(root: str) -> list[str]:
    """Names of the environment variables in `root`."""
    return _VARIABLE.findall(root)


def unset_variables(root: str) -> list[str]:
    """Names of the environment variables in `root` that are not set, or empty."""
    return [name for name in variables(root) if not os.environ.get(name)]


def expand_root(root: str) -> str:
    """`root` with its environment variables, those not set as they are, and ~ as the home folder."""
    return os.path.expanduser(_VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], root))


def stays_below(name: str) -> bool:
    """Whether a name, as any system reads it, leads to no place but below the folder that it starts from.

    Links there may lead elsewhere: they were made on this machine, and no file of the data makes one.
    """
    readings = (PurePosixPath(name), PureWindowsPath(name))
    leaves = any(path.is_absolute() or path.drive or ".." in path.parts for path in readings)
    return not leaves and "\0" not in name and "://" not in name  # which mmengine takes for an address


def resolve_root(root: str, place: str) -> Path:
    """The folder that `root` names; InputError, beginning with `place`, where there is none."""
    for name in unset_variables(root):
        raise InputError(f"{place}: environment variable {name} is not set, expected the folder of the data in it")
    path = Path(expand_root(root))
    if not path.is_dir():
        raise InputError(f"{place}: found {str(path)!r}, expected a folder that exists")
    return path
