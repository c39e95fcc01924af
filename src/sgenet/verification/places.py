"""Where a replication to verify is: in this checkout, in an archive, or published as a report next to its archive."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sgenet.archive.read import unpacked
from sgenet.archive.write import SUMS
from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.evaluation.comparison import read_comparison

ARCHIVE = "archive.zip"  # next to a published report


@dataclass(frozen=True)
class Place:
    """A replication to verify.

    `report` is the folder of its report; None: the one of its scale below `root`. `root` has its parameters and
    results; `archived` is whether that is an unpacked archive, and `temporary` whether it was unpacked here.
    """

    root: Path
    report: Path | None
    scale: str | None = None
    archived: bool = False
    temporary: bool = False


@contextlib.contextmanager
def opened(place: Path | None) -> Iterator[Place]:
    """Yield where a replication is, with its root as working folder.

    Args:
        place: a zip file, the folder of an unpacked archive, that of a report, or that of a published report, which is
            next to its archive; None: the present checkout.

    Raises:
        InputError: it is none of these.
    """
    if place is None:
        yield Place(Path(os.curdir), None)
    elif place.is_file():
        with unpacked(place) as folder, contextlib.chdir(folder):
            _check_root(place)
            yield Place(folder, None, archived=True, temporary=True)
    elif (place / ARCHIVE).is_file():
        report = place.absolute()
        with unpacked(place / ARCHIVE) as folder, contextlib.chdir(folder):
            _check_root(place / ARCHIVE)
            yield Place(folder, report, archived=True, temporary=True)
    elif (place / SUMS).is_file():
        with contextlib.chdir(place):
            _check_root(place)
            yield Place(Path(os.curdir), None, archived=True)
    elif (place / "params/pipeline.yaml").is_file():
        with contextlib.chdir(place):
            yield Place(Path(os.curdir), None)
    elif (comparison := place / "comparison.json").is_file():
        yield Place(Path(os.curdir), place, scale=read_comparison(comparison).scale)
    else:
        found = "no such file or folder" if not place.exists() else "a folder without comparison.json"
        raise InputError(f"{place}: found {found}, expected a report, an archive, or the folder of an unpacked one")


def _check_root(place: Path) -> None:
    if not paths.in_checkout():
        raise InputError(f"{place}: found no params/pipeline.yaml in it, expected an archive of `sgenet archive`")
