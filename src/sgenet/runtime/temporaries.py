"""Temporary files and folders beside what they will become.

Each is locked while its writer lives. What a killed writer left behind can be locked by the next writer of the same
target, which removes it. On a file system without locks it stays.
"""

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path


def create(path: Path, *, folder: bool = False) -> tuple[Path, int]:
    """Make a new empty file or folder beside `path`; returns it and the descriptor that locks it until it is closed."""
    prefix, suffix = _affixes(path)
    while True:
        if folder:
            made = tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=suffix)
            try:
                lock = os.open(made, os.O_RDONLY)
            except FileNotFoundError:  # another writer took it for an abandoned one
                continue
        else:
            lock, made = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        if _lock(lock) is not False and os.path.exists(made):
            return Path(made), lock
        os.close(lock)


def abandoned(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield the files or folders that killed writers of `path` left, each locked until the next one is asked for."""
    prefix, suffix = (re.escape(affix) for affix in _affixes(path))
    name = re.compile(f"{prefix}[a-z0-9_]{{8}}{suffix}")
    try:
        found = [path.parent / entry for entry in os.listdir(path.parent) if name.fullmatch(entry)]
    except OSError:  # may be written to, not listed
        return
    kind = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR
    for left in found:
        try:
            lock = os.open(left, kind | os.O_NOFOLLOW)
        except OSError:  # gone, of the other kind, or another user's
            continue
        try:
            if _lock(lock) and left.exists():
                yield left
        finally:
            os.close(lock)


def sync(path: Path) -> None:
    """Bring to disk the content of a file, or the names in a folder where its file system can do that."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(file)


def _affixes(path: Path) -> tuple[str, str]:
    return f".{path.name}.tmp-", path.suffix  # by which writers choose their format


def _lock(file: int) -> bool | None:
    """Whether the lock was taken; None where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
