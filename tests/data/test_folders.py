"""A data set's folder is replaced as a whole: what a killed or failing writer leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sgenet.data.folders import fresh_folder
from sgenet.errors import InputError

KILLED = """
import os, signal, sys
from pathlib import Path
from sgenet.data.folders import fresh_folder

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

rename, left = Path.rename, int(sys.argv[2])
def dying_rename(self, target):
    global left
    left -= 1
    return die() if left < 0 else rename(self, target)

Path.rename = dying_rename
if left > 1:
    import shutil
    shutil.rmtree = die
with fresh_folder(Path(sys.argv[1])) as folder:
    (folder / "classes.txt").write_text("new")
    if left < 0:
        die()
"""


def _replace_killed_at(folder, renames):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(renames)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def _content(folder):
    return (folder / "classes.txt").read_text()


def _fail_to_replace(folder, expected):
    with fresh_folder(folder):
        assert _content(folder) == expected
        raise ZeroDivisionError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "classes.txt").write_text("old")
    return folder


@pytest.mark.parametrize(("renames", "kept"), [(-1, "old"), (0, "old"), (1, None), (2, "new")])
def test_a_killed_writer_loses_no_data_and_its_own_go(folder, renames, kept):
    """Killed while it writes, before the old data move away, before the new ones come, before the old ones go."""
    _replace_killed_at(folder, renames)
    assert len(list(folder.parent.iterdir())) == (1 if kept is None else 2)
    assert folder.exists() == (kept is not None)
    with pytest.raises(ZeroDivisionError):
        _fail_to_replace(folder, kept or "old")  # which is back
    assert _content(folder) == (kept or "old")
    with fresh_folder(folder) as new:
        (new / "classes.txt").write_text("newer")
    assert list(folder.parent.iterdir()) == [folder] and _content(folder) == "newer"


def test_old_data_come_back_when_the_new_ones_cannot_take_their_place(folder, monkeypatch):
    rename = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(28, os.strerror(28))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(InputError, match="set: cannot be written"), fresh_folder(folder) as new:
        (new / "classes.txt").write_text("new")
    assert list(folder.parent.iterdir()) == [folder] and _content(folder) == "old"


def test_a_living_writers_folder_stays(folder):
    with fresh_folder(folder) as first:
        (first / "classes.txt").write_text("first")
        with fresh_folder(folder) as second:
            (second / "classes.txt").write_text("second")
        assert _content(folder) == "second" and _content(first) == "first"
    assert list(folder.parent.iterdir()) == [folder] and _content(folder) == "first"
