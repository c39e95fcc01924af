"""Checks of files of torch.save before torch reads them: refuses those that would take all memory, or hours."""

import io
import os
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sgenet.errors import InputError

_LONGEST = 200  # characters of a name
_PICKLES = 5  # in a file without an archive: magic number, protocol, system, content, names of the storages


def check_pickles(file: IO[bytes], path: str | Path) -> None:
    """Refuse files that torch.load does not handle safely although it runs no code; `file` is rewound to its start.

    An archive may unpack to more than fits into memory, although torch.save never compresses. And the error message of
    torch for a refused name takes time proportional to the square of the name's length.

    Raises:
        InputError: the file is refused; the message names `path`. Other defects are left for torch to report.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        archive = file.read(4) == b"PK\x03\x04"
        if archive:
            entries = zipfile.ZipFile(file).infolist()
            if any(entry.compress_type for entry in entries) or sum(entry.file_size for entry in entries) > size:
                found = f"found an archive that unpacks to more than its {size:,} bytes"
                raise InputError(f"{path}: {found}, expected an archive written by torch.save")
        for stream in _of_archive(file) if archive else _of_file(file):
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL" and isinstance(argument, str) and len(argument) > _LONGEST:
                    found = f"found a name of {len(argument):,} characters"
                    raise InputError(f"{path}: {found}, expected those of tensors and plain values")
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{path}: found a name that is not text, expected those of tensors and plain values") from None
    except Exception:  # zipfile and pickletools raise many kinds of exceptions for bad bytes
        pass
    file.seek(0)


def _of_archive(file: IO[bytes]) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                yield io.BytesIO(archive.read(name))


def _of_file(file: IO[bytes]) -> Iterator[IO[bytes]]:
    file.seek(0)
    for _ in range(_PICKLES):
        yield file
