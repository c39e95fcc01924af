"""Processes that have ended, and those that end with others."""

import os
import signal
import subprocess
import sys

import pytest

from sgenet.runtime import processes


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
