"""Steps that fork from one warm process: same results and messages as by themselves, and nothing outlives its owner."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgenet import warm

TRAIN = "sgenet train classification/resnet50 --scale smoke"


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def owner(tmp_path):
    """A process that owns a warm process, and the environment that steps of it have."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = tmp_path / f"sgenet-{process.pid}"
    binaries = os.path.dirname(sys.executable)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    yield process, {**os.environ, "SGENET_WARM": str(folder), "PATH": path, "WANDB_MODE": "disabled"}, folder
    process.kill()
    process.wait()
    wait_until(lambda: not folder.exists())


def step(command, environment):
    return subprocess.run(command.split(), env=environment, capture_output=True, text=True, timeout=120)


def test_a_warm_step_gives_what_a_step_by_itself_gives(project, owner):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=1))
    _, environment, folder = owner
    alone = {key: value for key, value in environment.items() if key != "SGENET_WARM"}
    assert step("sgenet prepare classification --scale smoke", alone).returncode == 0
    weights = []
    for one in (alone, environment):
        done = step(TRAIN, one)
        assert done.returncode == 0, done.stderr
        assert "epoch 1/1" in done.stdout
        weights.append(Path("results/smoke/classification/resnet50/seed-0/last.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert (folder / "socket").exists()
    bad = "sgenet evaluate classification/nothing --scale smoke"
    for one in (alone, environment):
        done = step(bad, one)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("sgenet: run: found 'classification/nothing'")


def test_a_step_ends_with_its_command_and_all_ends_with_the_owner(project, owner):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=1000))
    process, environment, folder = owner
    assert step("sgenet prepare classification --scale smoke", environment).returncode == 0
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        command = subprocess.Popen(TRAIN.split(), env=environment, stdout=subprocess.PIPE, text=True)
        assert "epoch" in command.stdout.readline()
        trainings = step_processes(folder)
        assert len(trainings) == 1
        command.send_signal(number)
        assert command.wait(30) == status
        wait_until(lambda: not step_processes(folder))
    process.communicate(b"\n")
    wait_until(lambda: not folder.exists())


def step_processes(folder):
    """Processes that were forked from the warm one of this folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    servers = [row for row in rows if "sgenet.warm" in row[2] and row[2].endswith(str(folder))]
    parents = {row[0] for row in servers}
    return [row[0] for row in servers if row[1] in parents]


def test_without_an_owner_a_step_runs_by_itself(project, tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv("SGENET_WARM", str(tmp_path / f"sgenet-{gone.pid}"))
    assert warm.run(["doctor"]) is None
    assert not (tmp_path / f"sgenet-{gone.pid}").exists()
    assert json.dumps(warm.folder_of(7)).endswith('-7"')
