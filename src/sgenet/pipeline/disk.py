"""Disk space that a scale uses: data, results, and checkpoints of unfinished trainings; not DVC's cache."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths


@dataclass(frozen=True)
class Disk:
    """Bytes that a scale uses, and those that are free."""

    data: int
    results: int
    checkpoints: int
    free: int

    @property
    def used(self) -> int:
        """The sum of what is used."""
        return self.data + self.results + self.checkpoints


def usage(scale: str) -> Disk:
    """Return what a scale uses. Real images are not included: they are read where they are."""
    folders = Path("data", scale), paths.results(scale), paths.RESUME / scale
    data, results, checkpoints = (size(folder.resolve()) for folder in folders)
    return Disk(data, results, checkpoints, shutil.disk_usage(".").free)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder; links are not followed."""
    total = 0
    with suppress(OSError):  # removed in the meantime
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(OSError):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    total += size(Path(entry)) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total


def size_text(count: int) -> str:
    """Return a number of bytes in words."""
    if count >= 2**30:
        return f"{count / 2**30:,.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 or not count else f"{max(count / 2**10, 1):.0f} KiB"


def usage_text(disk: Disk) -> str:
    """Return what a scale uses and what is free, in words."""
    parts = {"data": disk.data, "results": disk.results, "checkpoints": disk.checkpoints}
    used = ", ".join(f"{name} {size_text(count)}" for name, count in parts.items())
    return f"{size_text(disk.used)} used ({used}), {size_text(disk.free)} free"
