"""Processes of DVC in a checkout, and processes that have ended."""

import json
import os
import signal
import subprocess
import sys

import pytest

from sgenet.runtime import processes


def test_what_a_killed_dvc_left_does_not_count_and_is_removed(tmp_path):
    folder = tmp_path / ".dvc/tmp"
    folder.mkdir(parents=True)
    assert processes.running_dvc(tmp_path) is None
    (folder / "rwlock.lock").touch()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for pid in (zombie.pid, os.getpid()):  # this one has got the id of a DVC that ended
        (folder / "rwlock").write_text(json.dumps({"write": {"data": {"pid": pid, "cmd": "dvc repro"}}}))
        assert processes.running_dvc(tmp_path) is None and not (folder / "rwlock").exists()
    zombie.wait()
    for torn in ("", '{"write": {'):
        (folder / "rwlock").write_text(torn)
        assert processes.running_dvc(tmp_path) is None and not (folder / "rwlock").exists()


def test_a_dvc_that_thinks_is_seen(tmp_path):
    from zc.lockfile import LockFile  # which DVC locks with

    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    lock = LockFile(str(tmp_path / ".dvc/tmp/lock"))
    assert processes.running_dvc(tmp_path) == os.getpid()
    lock.close()
    assert processes.running_dvc(tmp_path) is None


def test_a_process_that_was_not_waited_for_is_not_alive():
    process = subprocess.Popen(["sleep", "600"])
    assert processes.alive(process.pid)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody was told
    assert not processes.alive(process.pid)
    process.wait()


END_WITH = """
import signal, sys, time
from sgenet.runtime import processes
processes.end_with(int(sys.argv[1]), int(sys.argv[2]))
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("zombie", [False, True])
def test_a_process_ends_with_another_one(number, zombie):
    other = subprocess.Popen(["sleep", "600"])
    command = [sys.executable, "-c", END_WITH, str(other.pid), str(int(number))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"started\n" and process.poll() is None
    other.kill()
    if not zombie:
        other.wait()
    assert process.wait(60) == -number
    other.wait()
