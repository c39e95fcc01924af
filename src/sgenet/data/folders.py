"""The folder of a prepared data set: its atomic replacement, and the description of its files."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from sgenet.data.manifest import DataFile
from sgenet.errors import InputError, writing
from sgenet.provenance.records import stored
from sgenet.runtime import temporaries

SPLITS = ("train", "val")
_MADE = {f"{split}{ending}" for split in SPLITS for ending in ("", ".bin", "_index.npy", ".csv")}
_MADE |= {"classes.txt", "annotations", "defects.txt"}
# Other files allowed in a folder that is replaced; the replacement of a folder with any further file is refused.
_COMPANIONS = {"manifest.json", "contact_sheet.png", ".gitignore", ".snakemake_timestamp"}


@contextmanager
def fresh_folder(folder: Path, own: Collection[str] = frozenset(_MADE | _COMPANIONS)) -> Iterator[Path]:
    """Yield a new folder next to `folder` that replaces it when the block ends without an exception.

    Folders left by killed writers of `folder` are removed first; old data that they had moved away are restored.

    Args:
        folder: to write or replace.
        own: names that it may contain; by default those of a prepared data set.

    Raises:
        InputError: `folder` contains anything else, which would be lost; or it cannot be written.
    """
    folder = Path(folder).resolve()
    with writing(folder):
        for left in temporaries.abandoned(folder, folder=True):
            _clear(left, folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder to replace")
    if folder.exists():
        foreign = sorted({path.name for path in folder.iterdir()} - set(own))
        if foreign:
            raise InputError(f"{folder}: found {foreign[0]}, which is not prepared data; expected a folder to replace")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work, lock = temporaries.create(folder, folder=True)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{folder}: cannot be made ({reason}), expected a place for a new folder") from None
    with writing(folder):
        try:
            (work / "new").mkdir()
            yield work / "new"
            for path in (work / "new").rglob("*"):
                temporaries.sync(path)
            if folder.exists():
                folder.rename(work / "old")
            (work / "new").rename(folder)
            temporaries.sync(folder.parent)
        finally:
            _clear(work, folder)
            os.close(lock)


def _clear(work: Path, folder: Path) -> None:
    """Remove a writer's folder; if the writer stopped before the new data were in place, restore the old data first."""
    old = work / "old"
    if old.exists() and (work / "new").exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(work)


def describe_file(path: Path, name: str) -> DataFile:
    """Return name, size and xxh3_128 digest of a file."""
    return DataFile(path=name, **stored(path).plain())


def describe_files(folder: Path, *others: DataFile) -> tuple[list[DataFile], str]:
    """Return path, size and xxh3_128 digest of every file below `folder`, and one digest of all of them.

    `others` are descriptions of files in other folders that belong to the data too.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [describe_file(path, path.relative_to(folder).as_posix()) for path in paths] + list(others)
    listing = "".join(f"{file.xxhash} {file.path}\n" for file in files)
    return files, xxhash.xxh3_128_hexdigest(listing.encode())
