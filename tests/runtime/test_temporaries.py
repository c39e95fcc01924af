"""Files written whole or not at all: what a killed writer leaves, and several writers at once."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from sgenet.errors import InputError
from sgenet.runtime import temporaries
from sgenet.runtime.files import atomic_path, write_text

WRITE = """
import os, signal, sys
from sgenet.runtime.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "dies" else sys.stdin.readline()
"""


def _writer(path, how):
    command = [sys.executable, "-c", WRITE, str(path), how]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return writer, writer.stdout.readline().strip()


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["table.json", "plain", "a[b]*?.txt"])
def test_what_a_killed_writer_left_goes_with_the_next_one_and_a_living_ones_stays(tmp_path, name):
    path = tmp_path / name
    dead, left = _writer(path, "dies")
    assert dead.wait() == -signal.SIGKILL and _names(tmp_path) == [left]
    alive, its = _writer(path, "waits")
    assert _names(tmp_path) == [its]
    write_text(path, "whole")
    assert _names(tmp_path) == sorted([its, name]) and path.read_text() == "whole"
    alive.communicate("\n", timeout=120)
    assert alive.returncode == 0 and _names(tmp_path) == [name] and path.read_text() == "half"


def test_files_of_others_stay(tmp_path):
    _writer(tmp_path / "a.b", "dies")[0].wait()
    mine = [".a.12345678", ".a.tmp-12345678.old", ".a.tmp-1234567", "a.tmp-12345678"]
    for name in mine:
        (tmp_path / name).touch()
    (tmp_path / ".a.tmp-folder_1").mkdir()
    before = _names(tmp_path)
    write_text(tmp_path / "a", "")
    assert _names(tmp_path) == sorted([*before, "a"]) and len(before) == 6


def test_content_and_name_are_brought_to_disk_in_this_order(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.readlink(f"/proc/self/fd/{file}")) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda old, new: done.append("rename") or replace(old, new))
    with atomic_path(tmp_path / "f.txt") as temporary:
        temporary.write_text("x")
    assert done == [str(temporary), "rename", str(tmp_path)]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "f.txt"
    write_text(path, "old")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(InputError, match="f.txt: cannot be written .no space left on device"):
            write_text(path, "new")
    assert _names(tmp_path) == ["f.txt"] and path.read_text() == "old"


def test_without_locks_files_are_written_and_no_others_removed(tmp_path, monkeypatch):
    writer, left = _writer(tmp_path / "f.txt", "dies")
    writer.wait()

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        write_text(tmp_path / "f.txt", "x")
    assert _names(tmp_path) == [left, "f.txt"]


@pytest.mark.parametrize("moment", ["before it is locked", "while the other one has it locked"])
@pytest.mark.parametrize("folder", [False, True])
def test_one_that_another_writer_takes_for_abandoned_is_made_anew(tmp_path, monkeypatch, moment, folder):
    flock, taken = fcntl.flock, []

    def flock_too_late(file, how):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].rmdir() if folder else taken[0].unlink()
            if moment != "before it is locked":
                raise BlockingIOError
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    made, lock = temporaries.create(tmp_path / "f", folder=folder)
    assert list(tmp_path.iterdir()) == [made] != taken and made.is_dir() == folder
    os.close(lock)


HAMMER = """
import sys
from sgenet.runtime.files import write_text
for turn in range(int(sys.argv[3])):
    write_text(sys.argv[1], sys.argv[2] * 5000)
"""


def test_writers_of_one_file_at_once_never_take_each_others(tmp_path):
    path = tmp_path / "f.txt"
    writers = [
        subprocess.Popen([sys.executable, "-c", HAMMER, str(path), letter, "60"], stderr=subprocess.PIPE, text=True)
        for letter in "abcd"
    ]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_text()
            assert len(content) == 5000 and len(set(content)) == 1
    assert [writer.communicate()[1] for writer in writers] == [""] * 4
    assert _names(tmp_path) == ["f.txt"]
