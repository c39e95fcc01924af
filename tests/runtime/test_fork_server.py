"""Steps that fork from one warm process: same results and messages as by themselves, and nothing outlives its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sgenet.runtime import fork_server

TRAIN = "sgenet train classification/resnet50 --scale smoke"


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def owner(prepared_project):
    """A process that owns a warm process, and the environment that steps of it have."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = Path(fork_server.folder_of(process.pid))
    binaries = os.path.dirname(sys.executable)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    yield process, {**os.environ, "SGENET_WARM": str(folder), "PATH": path, "WANDB_MODE": "disabled"}, folder
    process.kill()
    process.wait()
    wait_until(lambda: not folder.exists())


def step(command, environment):
    return subprocess.run(command.split(), env=environment, capture_output=True, text=True, timeout=120)


def test_a_forked_step_gives_what_a_step_by_itself_gives_and_a_server_that_died_is_replaced(project, owner):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=1))
    _, environment, folder = owner
    alone = {key: value for key, value in environment.items() if key != "SGENET_WARM"}
    weights = []
    for one in (alone, environment):
        done = step(TRAIN, one)
        assert done.returncode == 0, done.stderr
        assert "epoch 1/1" in done.stdout
        weights.append(Path("results/smoke/classification/resnet50/seed-0/last.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert (folder / "socket").exists()
    (server,) = (p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-1:] == [str(folder)])
    assert server.environ()["CUDA_VISIBLE_DEVICES"] == ""  # or mmengine, once imported, would want a GPU
    bad = "sgenet evaluate classification/nothing --scale smoke"
    for one in (alone, environment):
        done = step(bad, one)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("sgenet: run: found 'classification/nothing'")
    server.kill()
    assert psutil.wait_procs([server], timeout=60)[1] == []  # until then it may take a connection
    (folder / "log").unlink()
    assert step(bad, environment).returncode == 2  # by itself, or in a fork of a new process
    assert (folder / "log").exists()  # of the new one


def test_a_step_ends_with_its_command_and_all_ends_with_the_owner(project, owner):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=1000))
    process, environment, folder = owner
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        command = subprocess.Popen(TRAIN.split(), env=environment, stdout=subprocess.PIPE, text=True)
        assert "epoch" in command.stdout.readline()
        trainings = step_processes(folder)
        assert len(trainings) == 1
        command.send_signal(number)
        assert command.wait(120) == status
        wait_until(lambda: not step_processes(folder))
    process.communicate(b"\n")
    wait_until(lambda: not folder.exists())


def step_processes(folder):
    """Processes that were forked from the warm one of this folder."""
    found = psutil.process_iter(["cmdline", "ppid"])
    servers = [process for process in found if (process.info["cmdline"] or [])[-1:] == [str(folder)]]
    return [process for process in servers if process.info["ppid"] in {other.pid for other in servers}]


@pytest.mark.parametrize("name", ["nothing", ".snakemake/sgenet-elsewhere-1"])
def test_a_folder_that_is_none_is_left_alone(project, name, monkeypatch):
    monkeypatch.setenv("SGENET_WARM", name)
    assert fork_server.run(["doctor"]) is None
    assert not Path(name).exists()


def test_a_folder_that_others_may_enter_is_not_used(project, monkeypatch):
    folder = Path(fork_server.folder_of(os.getpid()))
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    monkeypatch.setenv("SGENET_WARM", str(folder))
    assert fork_server.run(["doctor"]) is None
    assert not list(folder.iterdir())


def test_without_an_owner_a_step_runs_by_itself(project, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv("SGENET_WARM", fork_server.folder_of(gone.pid))
    assert fork_server.run(["doctor"]) is None
    assert not Path(fork_server.folder_of(gone.pid)).exists()
