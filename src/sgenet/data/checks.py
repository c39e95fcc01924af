"""Checking image files: each is read, hashed and decoded, on all cores; the results are cached in a file."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

import xxhash

from sgenet import errors
from sgenet.data.cores import map_on_cores
from sgenet.data.images import decode, read_bytes
from sgenet.data.progress import progress
from sgenet.errors import InputError, writing
from sgenet.runtime.locks import lock

VERSION = 2  # of the check; results of other versions are recomputed
_COLUMNS = "path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, length INTEGER, xxhash BLOB, width INTEGER,"
_COLUMNS += " height INTEGER, rotated INTEGER, problem TEXT"
_COMMIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Source:
    """The location of an image: a file, or `length` bytes of it from `offset`.

    `name` identifies the file, also in messages. It is relative to the data's root, so that the data can be moved.
    `size` and `modified` (nanoseconds) are those of the file when it was listed.
    """

    name: str
    path: str
    size: int
    modified: int
    offset: int = 0
    length: int | None = None

    @property
    def key(self) -> str:
        """The primary key of the source in the database of checked images."""
        return self.name if self.length is None else f"{self.name} [{self.offset}+{self.length}]"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a check: bytes, xxh3_128 digest, size in pixels (upright), whether EXIF rotates it; or a problem.

    `problem` is the message without the image's name; `lasting` is whether the result can be cached.
    """

    size: int
    xxhash: bytes
    width: int = 0
    height: int = 0
    rotated: bool = False
    problem: str = ""
    lasting: bool = True


def check_images(sources: Sequence[Source], cache: Path, title: str) -> list[Found]:
    """Check each image, in order. Images whose file has the size and time stored in `cache` are not read again.

    The results of an interrupted check are kept in the file `cache`.

    Raises:
        InputError: `cache` is in use, or cannot be written.
    """
    in_use = cache.with_suffix(".lock")
    with writing(cache), lock(in_use, str(cache)), closing(_open(cache)) as known:
        results = [_recall(known, source) for source in sources]
        missing = [position for position, result in enumerate(results) if result is None]
        fresh = _check(known, [sources[position] for position in missing])
        done = len(sources) - len(missing)
        if done and missing:
            print(f"{title}: {done:,} of {len(sources):,} images checked before", file=sys.stderr, flush=True)
        try:
            for position, found in zip(missing, progress(fresh, title, "image", len(sources), done), strict=True):
                results[position] = found
        finally:
            known.commit()  # also when interrupted
    return [result for result in results if result is not None]


def inspect(source: Source) -> Found:
    """Read and decode one image."""
    try:
        content = read_source(source)
    except InputError as error:
        return Found(0, b"", problem=_without(source.name, error), lasting=False)
    digest = xxhash.xxh3_128_digest(content)
    try:
        pixels, rotated = decode(content, source.name)
    except InputError as error:
        return Found(len(content), digest, problem=_without(source.name, error))
    height, width = pixels.shape[:2]
    return Found(len(content), digest, width, height, rotated)


def read_source(source: Source) -> bytes:
    """Return the bytes of an image; InputError if they cannot be read."""
    if source.length is None:
        return read_bytes(source.path, source.name)
    with open(source.path, "rb") as file:
        return os.pread(file.fileno(), source.length, source.offset)


def _without(name: str, error: InputError) -> str:
    return str(error).removeprefix(f"{name}: ")


def _check(known: sqlite3.Connection, sources: Sequence[Source]) -> Iterator[Found]:
    """Inspect the images, and commit the results every few seconds."""
    last = time.monotonic()
    for source, found in zip(sources, map_on_cores(inspect, sources), strict=True):
        if found.lasting:
            known.execute(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (source.key, source.size, source.modified, *astuple(found)[:-1]),
            )
        if time.monotonic() - last > _COMMIT_SECONDS:
            known.commit()
            last = time.monotonic()
        yield found


def _recall(known: sqlite3.Connection, source: Source) -> Found | None:
    row = known.execute(
        "SELECT length, xxhash, width, height, rotated, problem FROM images"
        " WHERE path = ? AND size = ? AND modified = ?",
        (source.key, source.size, source.modified),
    ).fetchone()
    return Found(*row) if row else None


def _open(path: Path) -> sqlite3.Connection:
    """Open the cache; a new one is created if there is none or it is damaged."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if errors.cannot_write(path, error):  # the content is not damaged
            raise
        print(
            f"{path}: removed as unreadable ({error}); all images are checked again",
            file=sys.stderr,
            flush=True,
        )
        for ending in ("", "-journal"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock is kept between commits
        connection.execute("BEGIN EXCLUSIVE")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            connection.execute("DROP TABLE IF EXISTS images")
            connection.execute(f"CREATE TABLE images ({_COLUMNS})")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.commit()
        connection.execute("SELECT path, size, modified, length, xxhash, width, height, rotated, problem FROM images")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
