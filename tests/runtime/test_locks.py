"""Locks: released when their process ends, not inherited by forks, refused on a file system without locks."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from sgenet.errors import InputError
from sgenet.runtime import locks
from sgenet.runtime.locks import InUseError, NoLocksError
from support.faults import forked

ACQUIRE = """
import sys, time
from pathlib import Path
from sgenet.runtime import locks
locks.acquire(Path(sys.argv[1]), "it")
print("acquired", flush=True)
time.sleep(600)
"""


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_names_its_process_and_is_released_when_that_is_killed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ACQUIRE, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"acquired\n"
    with pytest.raises(InUseError, match=f"it is in use by process {process.pid} on "):
        locks.acquire(tmp_path / "lock", "it")
    process.kill()
    process.wait()
    with locks.lock(tmp_path / "lock", "it"), pytest.raises(InUseError, match=f"process {os.getpid()} on "):
        locks.acquire(tmp_path / "lock", "it", patience=0.1)
    locks.release(locks.acquire(tmp_path / "lock", "it"))


def test_to_ask_whether_a_file_is_locked_takes_no_lock(tmp_path):
    assert not locks.is_locked(tmp_path / "lock") and not (tmp_path / "lock").exists()
    with locks.lock(tmp_path / "lock", "it"):
        assert locks.is_locked(tmp_path / "lock")
    assert not locks.is_locked(tmp_path / "lock")
    with locks.lock(tmp_path / "lock", "it"):
        pass


def test_a_fork_does_not_inherit_a_lock(tmp_path):
    def find():
        return len(locks._held), os.path.exists(f"/proc/self/fd/{lock}")

    lock = locks.acquire(tmp_path / "lock", "it")
    assert forked(find) == [0, False]
    locks.release(lock)


def test_a_file_system_without_locks_is_refused_in_one_sentence(tmp_path, no_locks):
    sentence = r"^.*/lock: this file system supports no locks \(no locks available\), expected one that does: [^\n]*$"
    open_files = os.listdir("/proc/self/fd")
    with pytest.raises(NoLocksError, match=sentence):
        locks.acquire(tmp_path / "lock", "it", patience=600)
    assert os.listdir("/proc/self/fd") == open_files and not locks._held


def test_a_lock_that_cannot_be_written_is_released(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        with pytest.raises(InputError, match="lock: cannot be written .no space left on device"):
            locks.acquire(tmp_path / "lock", "it")
    locks.release(locks.acquire(tmp_path / "lock", "it"))


def test_a_lock_of_all_users_can_be_locked_by_them(tmp_path):
    umask = os.umask(0o077)
    try:
        for name, all_users in (("private", False), ("shared", True)):
            locks.release(locks.acquire(tmp_path / name, "it", all_users=all_users))
    finally:
        os.umask(umask)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o666
