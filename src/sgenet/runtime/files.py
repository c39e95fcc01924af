"""Atomic writing of files, and reading with one clear error message when the input is bad."""

import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgenet.errors import InputError, writing
from sgenet.runtime import temporaries

DEEPEST = 40  # levels of nested lists and mappings
_LARGEST, _LARGEST_FOREIGN = 2**25, 2**31  # bytes of a JSON file; COCO's has 470 million
_ODD = object()
_SURROGATES = re.compile(r"[\ud800-\udfff]")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success sync it to disk and rename it to `path`.

    On any exception the temporary file is removed and `path` is unchanged. Temporary files of killed writers of `path`
    are removed first.

    Raises:
        InputError: the file cannot be written, for example because the disk is full or the folder is read-only.
    """
    with temporary_path(path) as temporary:
        yield temporary
        put(temporary, path)


@contextmanager
def temporary_path(path: str | Path) -> Iterator[Path]:
    """Yield a new empty file next to `path`. It is removed at the end unless `put` has renamed it."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in temporaries.abandoned(path):
            left.unlink(missing_ok=True)
        temporary, lock = temporaries.create(path)
        try:
            yield temporary
        finally:
            try:
                temporary.unlink(missing_ok=True)
            finally:
                os.close(lock)


def put(temporary: Path, path: str | Path) -> None:
    """Sync a written file to disk and rename it to `path` in the same folder, replacing any older file."""
    temporaries.sync(temporary)
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)  # mkstemp makes it private
    temporary.replace(path)
    temporaries.sync(temporary.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as JSON, atomically; ValueError for NaN and infinities."""
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Return the text that `write_json` writes."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def check_file(path: str | Path, largest: int) -> None:
    """Raise an OSError unless `path` is a regular file of at most `largest` bytes: pipes and devices may never end."""
    try:
        found = os.stat(path)
    except ValueError:  # no file can have such a name
        raise OSError(errno.EINVAL, "not a valid file name") from None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file")
    if found.st_size > largest:
        raise OSError(errno.EFBIG, f"is larger than {largest:,} bytes")


def read_json(path: str | Path, *, foreign: bool = False) -> Any:
    """Return the content of a JSON file; InputError if it cannot be read.

    Args:
        path: the file.
        foreign: the file is from another program. It may be as large as COCO's and may contain NaN and infinities, as
            Python writes them. Other files may contain only values that `write_json` can write.
    """
    try:
        value = json.loads(read_text(path, _LARGEST_FOREIGN if foreign else _LARGEST))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}), expected a JSON file") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno} is not JSON ({error.msg})") from None
    except (RecursionError, ValueError):
        value = _ODD
    if value is _ODD or _is_deep(value):
        found = "found lists nested too deeply, or a number that is too long"
        raise InputError(f"{path}: {found}, expected an ordinary JSON file")
    if not foreign:
        _refuse_odd(value, path)
    return value


def read_text(path: str | Path, largest: int) -> str:
    """Return the UTF-8 text of a regular file; OSError or UnicodeDecodeError if it cannot be read."""
    check_file(path, largest)
    return Path(path).read_text(encoding="utf-8-sig")  # some editors write a byte order mark


def _is_deep(value: Any) -> bool:
    """Return whether lists and mappings are nested so deeply that recursive functions would overflow the stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        members = (of.values() if isinstance(of, dict) else of for of in level)
        level = [one for of in members for one in of if isinstance(one, (dict, list))]  # faster than dict | list
        if not level:
            return False
    return True


def _refuse_odd(value: Any, path: str | Path) -> None:
    """Raise an InputError if `value` contains NaN, an infinity or half a surrogate pair, which `write_json` refuses."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        left: list[tuple[tuple[str, ...], Any]] = [((), value)]
        while left:
            at, one = left.pop()
            place = ".".join(at) or "the whole file"
            if isinstance(one, float) and not math.isfinite(one):
                raise InputError(f"{path}: {place}: found {one}, expected a finite number") from None
            if _SURROGATES.search(place) or isinstance(one, str) and _SURROGATES.search(one):
                raise InputError(f"{path}: {place}: found half a surrogate pair, expected Unicode text") from None
            members = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
            left += [((*at, str(key)), member) for key, member in members]


def is_private(folder: Path) -> bool:
    """Return whether a folder is one that this user alone can access."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def reason_of(error: Exception) -> str:
    """Return, in words, why a file cannot be read as text."""
    return (getattr(error, "strerror", None) or "not UTF-8 text").lower()
