"""A reproducible zip file: equal entries give equal bytes."""

import hashlib
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgenet.errors import InputError
from sgenet.runtime.files import atomic_path

SUMS = "SHA256SUMS"
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can store
_FILE, _EXECUTABLE = 0o100644 << 16, 0o100755 << 16
_UNIX = 3
_PART = 2**20  # bytes that are read at a time
_ANNOUNCED = 256 * 2**20  # bytes after which progress is printed


@dataclass(frozen=True)
class Entry:
    """A file of an archive: its path there, and its content or the file to copy."""

    name: str
    content: Path | bytes
    executable: bool = False

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @property
    def sha256(self) -> str:
        """The digest of its content."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with open(self.content, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def sums(entries: Iterable[Entry]) -> Entry:
    """Return the entry that lists the digests of others, in the format of `sha256sum`."""
    lines = []
    for entry in sorted(entries, key=_name):
        if not entry.name.isprintable() or "\\" in entry.name:
            raise InputError(f"{entry.name}: found a control character or backslash in the name, expected none")
        lines.append(f"{entry.sha256}  {entry.name}\n")
    return Entry(SUMS, "".join(lines).encode())


def write_zip(path: Path, entries: Iterable[Entry]) -> None:
    """Write a zip file atomically: sorted by name, without times, compressed alike; an older file is replaced.

    Progress is printed for files of several hundred megabytes.
    """
    ordered = sorted(entries, key=_name)
    total, done, printed = sum(entry.size for entry in ordered), 0, 0
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for entry in ordered:
            info = zipfile.ZipInfo(entry.name, _TIME)
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, _UNIX
            info.external_attr = _EXECUTABLE if entry.executable else _FILE
            info.file_size = entry.size
            with file.open(info, "w") as target:
                if isinstance(entry.content, bytes):
                    target.write(entry.content)
                else:
                    with open(entry.content, "rb") as source:
                        shutil.copyfileobj(source, target, _PART)
            done += entry.size
            if done - printed >= _ANNOUNCED:
                printed = done
                print(f"{path}: {done / 2**20:,.0f} of {total / 2**20:,.0f} MiB read", flush=True)


def _name(entry: Entry) -> str:
    return entry.name
