"""Listing of classified images, with one folder per class; no image is opened."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sgenet.data.checks import Source
from sgenet.data.defects import Defect
from sgenet.data.names import ALLOWED, is_name
from sgenet.errors import InputError

_NO_IMAGES = {"Thumbs.db", "desktop.ini"}  # written by file managers; ignored, as are hidden files
# Folders with thumbnails, metadata or removed files, made by network storage and archivers; their files are counted.
NO_CLASSES = {"@eaDir", "@__thumb", "#recycle", "@Recycle", "__MACOSX", "lost+found"}


@dataclass
class Listing:
    """Images of both splits by class, and the defects of the listing.

    `splits` maps split -> class -> images, each with its name in {split}.csv. `flat` are the splits without a folder
    for each class. `left_out` is the number of files in folders of network storage, by the name of the folder.
    """

    splits: dict[str, dict[str, list[tuple[str, Source]]]]
    defects: list[Defect] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def remarks(self) -> list[str]:
        """What was left out, one sentence each."""
        counts = self.left_out.items()
        return [
            f"{count:,} file{'s' * (count > 1)} in folders named {name} left out" for name, count in counts if count
        ]


def list_folders(root: Path, folders: dict[str, str]) -> Listing:
    """List the classes, which are the folders in root/<train> and root/<val>; images may be in subfolders.

    Args:
        root: of the data.
        folders: split -> its folder, relative to `root`.
    """
    listing = Listing({})
    for split, folder in folders.items():
        listing.splits[split] = list_classes(root, folder, listing)
    return listing


def list_classes(root: Path, folder: str, listing: Listing) -> dict[str, list[tuple[str, Source]]]:
    """Return class -> its images, sorted; an empty folder is a class without images."""
    if not (root / folder).is_dir():
        raise InputError(f"{root / folder}: not found, expected a folder with a folder for each class")
    classes: dict[str, list[tuple[str, Source]]] = {}
    top = (_identity(root / folder),)
    for entry in _entries(root / folder, folder, listing):
        place = f"{folder}/{entry.name}"
        if not os.path.isdir(entry.path):
            listing.defects.append(
                Defect("stray file", f"{place}: found a file next to the class folders, expected it in one")
            )
            continue
        images = classes[entry.name] = []
        for name, size, modified in _files(entry.path, place, listing, top):
            images.append((name[len(folder) + 1 :], Source(name, str(root / name), size, modified)))
    if not classes:
        raise InputError(f"{root / folder}: found no folder in it, expected one for each class")
    return classes


def list_files(root: Path, folder: str, listing: Listing) -> dict[str, Source]:
    """Return name -> image for a folder without classes."""
    found = _files(str(root / folder), folder, listing, ())
    return {name[len(folder) + 1 :]: Source(name, str(root / name), size, modified) for name, size, modified in found}


def _files(
    path: str, name: str, listing: Listing, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of every file in a folder and its subfolders; `above` are its parent folders."""
    here, defects = _identity(path), listing.defects
    if here in above:
        defects.append(Defect("circular link", f"{name}: found a link to one of its parent folders, expected files"))
        return
    for entry in _entries(path, name, listing):
        place = f"{name}/{entry.name}"
        try:
            status = entry.stat()
        except OSError:
            defects.append(Defect("unreadable image", f"{place}: found a broken link, expected an image"))
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _files(entry.path, place, listing, (*above, here))
        elif stat.S_ISREG(status.st_mode):
            yield place, status.st_size, status.st_mtime_ns
        else:
            defects.append(Defect("unreadable image", f"{place}: found a device or a pipe, expected an image"))


def _identity(path: str | Path) -> tuple[int, int]:
    """Return device and inode of a folder, which are equal for all its names."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _entries(path: str | Path, name: str, listing: Listing) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, sorted by name, without hidden ones."""
    try:
        found = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({(error.strerror or 'unknown reason').lower()})") from None
    entries = []
    for entry in found:
        if entry.name.startswith(".") or entry.name in _NO_IMAGES:
            continue
        if entry.name in NO_CLASSES and entry.is_dir():
            listing.left_out[entry.name] += sum(len(files) for _, _, files in os.walk(entry.path))
            continue
        if not is_name(entry.name):  # it could not be written to a list
            text = f"{name}: found the name {entry.name!r}, expected {ALLOWED}"
            listing.defects.append(Defect("file name", text))
            continue
        entries.append(entry)
    return entries
