"""Every writer refused at every place of a file: a sentence, the older file as it was, and no other one beside it."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgenet import errors
from sgenet.data.packed import write_packed
from sgenet.errors import InputError
from sgenet.runtime.files import atomic_path, write_json, write_text
from sgenet.weights.checkpoints import save_weights
from support.faults import can_mount, fill, forked, lift_limit, limit_files, mount

SIZES = (0, 1, 127, 128, 129, 1000, 2000, 4095, 4096, 4097, 8192, 12_000, 20_000, 24_575)
PICTURE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
WRITERS = {
    "text": lambda: write_text("file", "word " * 5000),
    "json": lambda: write_json("file", list(range(5000))),
    "weights": lambda: save_weights(torch.nn.Linear(80, 80), "file"),
    "image": lambda: save_image("file"),
    "arrays": lambda: save_arrays("file"),
    "index": lambda: write_packed(Path(), "train", [b"x"] * 3000, [0] * 3000),  # numpy.save says nothing of a full disk
    "images": lambda: write_packed(Path(), "train", [Image.fromarray(PICTURE)], [0]),
}


def save_image(name):
    with atomic_path(name) as temporary:
        Image.fromarray(PICTURE).save(temporary, format="PNG", optimize=True)


def save_arrays(name):
    with atomic_path(name) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, a=PICTURE, b=PICTURE[::-1])


def written(write, folder, refuse, relent):
    """In `folder`, with older files: how often `write` was refused, which must change nothing, under each of SIZES."""
    torch.manual_seed(0)
    os.chdir(folder)
    write()
    whole, refused = read(folder), 0
    old = dict.fromkeys(whole, b"old")
    for size in SIZES:
        for name, content in old.items():
            (folder / name).write_bytes(content)
        torch.manual_seed(0)
        refuse(size)
        problem = None
        try:
            write()
        except InputError as error:
            problem = str(error)
        relent()
        if problem is None:
            assert read(folder) == whole, f"{size}: taken for written"
            continue
        kept = {name: content for name, content in read(folder).items() if content == b"old"}
        assert problem.split(": cannot be written (")[0] in kept, problem
        assert read(folder).keys() == old.keys() and "and the same command continues" in problem
        refused += 1
    return refused


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "fill"}


@pytest.mark.parametrize("writer", WRITERS)
def test_under_limits_on_the_size_of_files(tmp_path, writer):
    assert forked(lambda: written(WRITERS[writer], tmp_path, limit_files, lift_limit)) >= 10


@pytest.mark.parametrize("writer", WRITERS)
def test_with_little_room(tmp_path, writer):
    if why := can_mount(tmp_path):
        pytest.skip(f"nothing can be mounted here: {why}")

    def act():
        mount(tmp_path, "1m")
        return written(WRITERS[writer], tmp_path, lambda size: fill(tmp_path, size), lambda: os.unlink("fill"))

    assert forked(act) >= 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("call", ["mkdir", "open", "fsync", "replace"])
def test_whatever_the_system_refuses_in_the_course_of_writing(tmp_path, monkeypatch, call, number):
    """As a disk that fails, or a quota, does it: the error names a file, or none."""
    (tmp_path / "file").write_text("old")
    monkeypatch.chdir(tmp_path)
    target = Path("new/file" if call == "mkdir" else "file")

    def refuse(*names, **_):
        raise OSError(number, os.strerror(number), *[str(name) for name in names[:1] if call != "fsync"])

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(InputError) as caught:
            write_text(target, "new")
    assert str(caught.value).startswith(f"{target}: cannot be written ({os.strerror(number).lower()})")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "old"
    write_text(target, "new")
    assert target.read_text() == "new"


def test_errors_of_other_files_and_other_kinds_are_left_alone(tmp_path):
    for error in (ValueError("no"), PermissionError(errno.EACCES, "no", "/elsewhere/data.bin")):
        with pytest.raises(type(error)), atomic_path(tmp_path / "file"):
            raise error
    assert not list(tmp_path.iterdir())
    assert errors.cannot_write(tmp_path / "file", OSError("image file is truncated")) is None


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "the machine's memory is full (allocation failed); fewer `workers` or a smaller device_batch"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "the GPU's memory is full (CUDA out of memory."),
        (RuntimeError("CUDA error: out of memory\nmore"), "the GPU's memory is full (CUDA error: out of memory);"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "DataLoader worker (pid 7) is killed",
        ),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "DataLoader worker (pid(s) 7) exited"),
        (RuntimeError("Too many open files. Communication with"), "Too many open files. Communication with; fewer"),
        (PermissionError(errno.EACCES, "no", "a.bin"), "a.bin: cannot be used (permission denied); give this user"),
        (OSError(errno.ENOSPC, "no"), "a file or the output: cannot be used (no space left on device); make room"),
    ],
)
def test_what_the_machine_has_not_is_told(error, sentence):
    told = errors.explain(error)
    assert told.startswith(sentence) and "\n" not in told


def test_memory_that_torch_and_numpy_do_not_get_is_told():
    for take in (lambda: torch.empty(2**50, dtype=torch.uint8), lambda: np.empty(2**50, dtype=np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            take()
        assert errors.explain(caught.value).startswith("the machine's memory is full (")


def test_what_is_no_trouble_of_the_machine_keeps_its_traceback():
    for error in (RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("a"), OSError("truncated")):
        assert errors.explain(error) is None
