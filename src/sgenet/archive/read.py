"""Reading an archive: unpacked by `unpacked`, and its files checked against SHA256SUMS."""

import hashlib
import re
from pathlib import Path

from sgenet.archive.write import SUMS
from sgenet.errors import InputError
from sgenet.runtime.zips import is_inside
from sgenet.runtime.zips import unpacked as unpacked

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_LARGEST_SUMS = 2**26  # bytes of SHA256SUMS


def check_sums(folder: Path, *, complete: bool = True) -> list[str]:
    """Compare the files of an unpacked archive with its SHA256SUMS.

    Args:
        folder: of the archive.
        complete: whether a file that is not listed is a problem; it is none where an archive is used as a checkout.

    Returns:
        a sentence for each file that was changed, is missing or is not listed; none where all are as written.

    Raises:
        InputError: SHA256SUMS is missing or cannot be read.
    """
    place = folder / SUMS
    try:
        if place.stat().st_size > _LARGEST_SUMS:
            raise InputError(f"{SUMS}: is larger than {_LARGEST_SUMS:,} bytes")
        lines = place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "not UTF-8 text").lower()
        raise InputError(f"{place}: cannot be read ({reason}), expected the list of an archive's files") from None
    expected: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not (found := _LINE.fullmatch(line)) or not is_inside(found[2]):
            raise InputError(f"{place}: line {number}: found {line!r:.90}, expected a SHA-256 digest and a file")
        expected[found[2]] = found[1]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {SUMS}
    problems = [f"{name}: is missing" for name in sorted(expected.keys() - present)]
    problems += [f"{name}: is not in {SUMS}" for name in sorted(present - expected.keys()) if complete]
    for name in sorted(expected.keys() & present):
        if (folder / name).is_symlink() or not (folder / name).is_file():
            problems.append(f"{name}: is not a regular file")
        elif _sha256(folder / name) != expected[name]:
            problems.append(f"{name}: was changed since the archive was written")
    return problems


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
