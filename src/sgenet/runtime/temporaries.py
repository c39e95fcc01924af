"""Temporary files and folders, created next to their target.

Each is locked while its writer runs. The lock of a killed writer is released, so the next writer of the same target can
lock the file that was left behind and remove it. On a file system without locks such files are kept: each has a name
of its own, so several writers do not disturb one another.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sgenet.runtime.locks import NoLocksError, try_lock


def create(path: Path, *, folder: bool = False) -> tuple[Path, int]:
    """Create an empty file or folder next to `path`; return it and the descriptor that locks it until it is closed."""
    prefix, suffix = _affixes(path)
    while True:
        if folder:
            made = tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=suffix)
            try:
                lock = os.open(made, os.O_RDONLY)
            except FileNotFoundError:  # another writer removed it as an abandoned one
                continue
        else:
            lock, made = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        if _lock(lock, Path(made)) is not False and os.path.exists(made):
            return Path(made), lock
        os.close(lock)


def abandoned(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield the files or folders left by killed writers of `path`; each is locked until the next one is requested."""
    prefix, suffix = (re.escape(affix) for affix in _affixes(path))
    name = re.compile(f"{prefix}[a-z0-9_]{{8}}{suffix}")
    try:
        found = [path.parent / entry for entry in os.listdir(path.parent) if name.fullmatch(entry)]
    except OSError:  # the folder may be writable but not readable
        return
    kind = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR
    for left in found:
        try:
            lock = os.open(left, kind | os.O_NOFOLLOW)
        except OSError:  # removed, of the other kind, or owned by another user
            continue
        try:
            if _lock(lock, left) and left.exists():
                yield left
        finally:
            os.close(lock)


def sync(path: Path) -> None:
    """Sync to disk the content of a file, or the entries of a folder if the file system supports that."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(file)


def _affixes(path: Path) -> tuple[str, str]:
    return f".{path.name}.tmp-", path.suffix  # writers choose the format by the suffix


def _lock(file: int, path: Path) -> bool | None:
    """Return whether the file was locked; None if the file system has no locks."""
    try:
        return try_lock(file, path)
    except NoLocksError:
        return None
