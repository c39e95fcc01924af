"""Arrays from files that may hold anything."""

import os
import zipfile

import numpy as np
import pytest

from sgenet.errors import InputError
from sgenet.runtime import arrays
from sgenet.runtime.arrays import read_arrays


def test_arrays_are_read_by_name(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", one=np.arange(3), two=np.eye(2), three=np.zeros(1))
    found = read_arrays(tmp_path / "a.npz", ["two", "one"], "two arrays")
    assert list(found) == ["two", "one"]
    assert np.array_equal(found["two"], np.eye(2)) and np.array_equal(found["one"], np.arange(3))


def bomb(path):
    """A few kilobytes that unpack to a megabyte and more."""
    np.savez_compressed(path, a=np.zeros(2**18))


def header(shape, kind="|b1"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode()
    text += b" " * (-len(text) - 11 & 63) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def liar(path):
    """A terabyte, as the header tells."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header((2**40,)) + bytes(100))


BAD = {
    "unpacks to 2,097,": bomb,
    "cannot be read": liar,
    "a is not a file in the archive": lambda path: np.savez(path, b=np.ones(1)),
    "cannot be read .ValueError.": lambda path: np.savez(path, a=np.array([{}, None], dtype=object)),
    "a: found >i8": lambda path: np.savez(path, a=np.ones(2, dtype=">i8")),
    "a: found .*'x'": lambda path: np.savez(path, a=np.ones(2, dtype=[("x", int)])),
    "cannot be read .BadZipFile.": lambda path: path.write_bytes(b"text"),
    "cannot be read .is a directory.": lambda path: path.mkdir(),
    "cannot be read .is not a regular file.": lambda path: os.mkfifo(path),
    "cannot be read .no such file": lambda path: None,
}


@pytest.mark.parametrize("sentence", BAD)
def test_anything_else_is_refused_in_a_sentence(tmp_path, monkeypatch, sentence):
    monkeypatch.setattr(arrays, "_LARGEST", 2**20)
    BAD[sentence](tmp_path / "a.npz")
    with pytest.raises(InputError, match=f"a.npz: {sentence}.*, expected an array"):
        read_arrays(tmp_path / "a.npz", ["a"], "an array")
