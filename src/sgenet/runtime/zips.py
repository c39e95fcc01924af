"""Zip files from elsewhere: unpacked safely into a temporary folder."""

import errno
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sgenet.errors import InputError

_MOST_FILES = 1_000_000
_TIME = 315_532_800  # 1980, of all files: the order of extraction says nothing
_KEPT_FREE = 0.1  # of the free disk space
_OF_NAMES = (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR)  # two entries of one name, or a long one
_BAD = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, RuntimeError)


@contextmanager
def unpacked(path: Path, below: str = "") -> Iterator[Path]:
    """Yield a temporary folder with the files of an archive; it is removed at the end.

    Args:
        path: the zip file.
        below: only the files whose paths begin with this are extracted; all are checked.

    Raises:
        InputError: the file is no zip, an entry is encrypted, damaged, no regular file, or would be outside of the
            folder, or the free disk space is too small for what the archive claims to contain.
    """
    with tempfile.TemporaryDirectory(prefix="sgenet-archive-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as file:
                entries = _checked(path, file.infolist(), shutil.disk_usage(folder).free)
                for entry in (entry for entry in entries if entry.filename.startswith(below)):
                    _extract(path, file, entry, folder)
        except OSError as error:
            inside = error.filename and Path(error.filename).is_relative_to(folder)
            if inside and error.errno not in _OF_NAMES:
                raise
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"{path}: cannot be read ({reason}), expected an archive of sgenet") from None
        except _BAD as error:
            raise InputError(f"{path}: cannot be read ({error}), expected an archive of sgenet") from None
        yield folder


def is_inside(name: str) -> bool:
    """Whether a path of an archive is relative, without `..`, control characters and backslashes."""
    parts = PurePosixPath(name).parts
    return bool(parts) and name.isprintable() and "\\" not in name and ".." not in parts and not name.startswith("/")


def _checked(path: Path, entries: list[zipfile.ZipInfo], free: int) -> list[zipfile.ZipInfo]:
    """Return the files to extract; InputError if one cannot be extracted safely."""
    total, room = sum(entry.file_size for entry in entries), int(free * (1 - _KEPT_FREE))
    if total > room or len(entries) > _MOST_FILES:
        found = f"found {len(entries):,} files of {total:,} bytes"
        raise InputError(f"{path}: {found}, expected at most {room:,} bytes, 90 % of the free disk space")
    names = set()
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_inside(entry.filename.removesuffix("/")):
            raise InputError(f"{path}: found the entry {entry.filename!r}, expected a path inside of the archive")
        if entry.flag_bits & 0x1:
            raise InputError(f"{path}: {entry.filename}: is encrypted, expected an archive without a password")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{path}: {entry.filename}: is a link or device, expected a regular file")
        if entry.filename in names:
            raise InputError(f"{path}: {entry.filename}: is there twice, expected once")
        names.add(entry.filename)
    return [entry for entry in entries if not entry.is_dir()]


def _extract(path: Path, file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Write an entry, which must not be longer than the archive states."""
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with file.open(entry) as source, open(target, "xb") as written:
        while part := source.read(min(2**20, left + 1)):
            left -= len(part)
            if left < 0:
                raise InputError(f"{path}: {entry.filename}: is longer than the archive states")
            written.write(part)
    if entry.external_attr >> 16 & stat.S_IXUSR:
        target.chmod(0o755)
    os.utime(target, (_TIME, _TIME))
