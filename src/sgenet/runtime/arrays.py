"""Reading arrays from .npz files that are not trusted."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgenet.errors import InputError
from sgenet.runtime.files import check_file

_LARGEST = 2**30  # bytes, unpacked


def read_arrays(path: str | Path, names: Sequence[str], expected: str) -> dict[str, np.ndarray]:
    """Read arrays by name from an .npz file. No objects are unpickled, and the unpacked size is limited.

    Args:
        path: the file.
        names: of the arrays.
        expected: what the file should be; it ends the error message.

    Raises:
        InputError: an array is missing or cannot be read.
    """
    try:
        check_file(path, _LARGEST)
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _LARGEST:
            raise InputError(f"{path}: unpacks to {unpacked:,} bytes, expected {expected}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason.lower()}), expected {expected}") from None
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}, expected {expected}") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own types
        raise InputError(f"{path}: cannot be read ({type(error).__name__}), expected {expected}") from None
    for name, array in arrays.items():
        if array.dtype.hasobject or array.dtype.names or not array.dtype.isnative:
            raise InputError(f"{path}: {name}: found {array.dtype}, expected {expected}")
    return arrays
