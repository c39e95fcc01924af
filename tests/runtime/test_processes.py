"""Locks that die with their holder, and what DVC leaves of its own."""

import json
import os
import signal
import subprocess
import sys

import pytest

from sgenet.errors import InputError
from sgenet.runtime import processes

HOLD = "import sys, time; from pathlib import Path; from sgenet.runtime import processes; " \
    "processes.hold(Path(sys.argv[1]), 'it'); print('held', flush=True); time.sleep(600)"  # fmt: skip


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match=f"it is in use by process {holder.pid} on "):
        processes.hold(tmp_path / "lock", "it")
    holder.kill()
    holder.wait()
    processes.release(processes.hold(tmp_path / "lock", "it"))


def test_what_a_killed_dvc_left_does_not_count_and_is_removed(tmp_path):
    folder = tmp_path / ".dvc/tmp"
    folder.mkdir(parents=True)
    assert processes.dvc_at_work(tmp_path) is None
    (folder / "rwlock.lock").touch()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for pid in (zombie.pid, os.getpid()):  # this one has got the id of a DVC that ended
        (folder / "rwlock").write_text(json.dumps({"write": {"data": {"pid": pid, "cmd": "dvc repro"}}}))
        assert processes.dvc_at_work(tmp_path) is None and not (folder / "rwlock").exists()
    zombie.wait()
    for torn in ("", '{"write": {'):
        (folder / "rwlock").write_text(torn)
        assert processes.dvc_at_work(tmp_path) is None and not (folder / "rwlock").exists()


def test_a_dvc_that_thinks_is_seen(tmp_path):
    from zc.lockfile import LockFile  # which DVC locks with

    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    lock = LockFile(str(tmp_path / ".dvc/tmp/lock"))
    assert processes.dvc_at_work(tmp_path) == os.getpid()
    lock.close()
    assert processes.dvc_at_work(tmp_path) is None


def test_a_process_that_was_not_waited_for_is_not_alive():
    process = subprocess.Popen(["sleep", "600"])
    assert processes.alive(process.pid)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody was told
    assert not processes.alive(process.pid)
    process.wait()
