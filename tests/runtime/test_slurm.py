"""Slurm's job list and locks, with a stand-in for squeue that prints what the real one (22.05) does."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sgenet.errors import InputError
from sgenet.runtime import locks, owners, slurm
from sgenet.runtime.locks import InUseError

SQUEUE = """#!/bin/sh
case "$*" in
  *--jobs\\ 17*) echo RUNNING;;
  *--jobs*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1;;
  *) cat {listed};;
esac
"""
UUID = "d2d8774e-706d-4b7b-925c-a5874f49c350"


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A squeue that knows job 17, and a file with the jobs that it lists; this process is that of job 20."""
    programs, listed = tmp_path / "programs", tmp_path / "listed"
    programs.mkdir()
    (programs / "squeue").write_text(SQUEUE.format(listed=listed))
    (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    monkeypatch.setenv(slurm.CLUSTER, "1")
    monkeypatch.chdir(tmp_path)
    return listed


def test_a_job_that_the_list_does_not_have_is_not_alive(queue):
    assert slurm.is_alive("17") and not slurm.is_alive("16")


def test_only_jobs_of_workflows_in_this_folder_are_those_of_the_checkout(queue, tmp_path):
    lines = [
        f"17|sgenet_{UUID}|{tmp_path}",
        f"18_[1-3]|{UUID}|{tmp_path}",
        f"19|sgenet_{UUID}|{tmp_path}/other",
        f"21|wrap|{tmp_path}",
    ]
    queue.write_text("\n".join(lines) + "\n")
    assert slurm.jobs_of_checkout() == ["17", "18_[1-3]"]


def test_a_list_that_cannot_be_read_is_an_error(queue, monkeypatch):
    (Path("programs") / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    monkeypatch.setattr(slurm.time, "sleep", lambda _: None)
    with pytest.raises(InputError, match="squeue: Slurm does not answer .Unable to contact slurm controller"):
        slurm.is_alive("17")


def owner(job):
    return f"process 5 on elsewhere (sgenet train) in Slurm job {job}\n"


@pytest.mark.parametrize("working", [True, False], ids=["flock", "no locks"])
@pytest.mark.parametrize(("job", "alive"), [("17", True), ("16", False), ("20", False)])
def test_the_job_list_decides_about_an_owner_on_another_node(queue, monkeypatch, working, job, alive):
    """Job 20 is this one: it was requeued."""
    if not working:
        monkeypatch.setenv(locks.NO_LOCKS, "1")
        monkeypatch.setattr(locks, "_SETTLE", 0)
    path = Path("lock")
    path.write_text(owner(job))
    if alive:
        assert locks.is_locked(path)
        with pytest.raises(InUseError, match="in use by process 5 on elsewhere .* in Slurm job 17"):
            locks.acquire(path, "the run")
        assert path.read_text() == owner(job)
    else:
        assert not locks.is_locked(path)
        with locks.lock(path, "the run"):
            assert path.read_text().strip() == owners.describe()


@pytest.mark.parametrize(
    ("named", "alive"),
    [
        (f"process {os.getppid()} on {socket.gethostname()} (snakemake)", True),
        (f"process 4194303 on {socket.gethostname()} (snakemake)", False),
        ("process 5 on another-login-node (snakemake)", True),
        ("", False),
    ],
)
def test_without_locks_a_workflow_of_another_host_counts_as_alive(monkeypatch, tmp_path, named, alive):
    monkeypatch.setenv(locks.NO_LOCKS, "1")
    monkeypatch.setattr(locks, "_SETTLE", 0)
    path = tmp_path / "lock"
    path.write_text(named)
    if alive:
        with pytest.raises(InUseError, match=f"or remove {path} if it has ended"):
            locks.acquire(path, "this checkout")
    else:
        locks.release(locks.acquire(path, "this checkout"))
        assert not path.read_text()


def test_locks_that_another_process_does_not_see_are_found(tmp_path, monkeypatch):
    assert locks.work_in(tmp_path / "new")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # of this process only
    assert not locks.work_in(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_a_job_waits_until_the_other_one_has_ended(queue, tmp_path):
    lines = (
        "import sys; from sgenet.runtime import locks; locks.acquire(locks.Path('lock'), 'it'); print(1, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{lines}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "1\n"
        second = subprocess.Popen(
            [sys.executable, "-c", lines.replace("'it'", "'it', patience=60")], stdout=subprocess.PIPE, text=True
        )
        assert "waiting: it is in use by process" in second.stdout.readline()
        first.stdin.close()
        assert second.communicate(timeout=60)[0] == "1\n"


SCONTROL = """#!/bin/sh
case "$*" in
  "show hostnames node[7-8]") printf 'node7\nnode8\n';;
  "--oneliner show node node7") echo 'NodeName=node7 Arch=x86_64 NodeAddr=10.0.0.7 NodeHostName=node7 State=ALLOCATED';;
  *) exit 1;;
esac
"""
STEP = {"STEP_NUM_TASKS": "8", "STEP_NUM_NODES": "2", "PROCID": "5", "LOCALID": "1", "STEP_NODELIST": "node[7-8]"}


def test_a_process_of_srun_is_one_of_torch(queue, monkeypatch, tmp_path):
    (tmp_path / "programs/scontrol").write_text(SCONTROL)
    (tmp_path / "programs/scontrol").chmod(0o755)
    assert slurm.launched() == {}
    for name, value in {**STEP, "STEP_ID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found = slurm.launched()
    assert 1024 < int(found.pop("MASTER_PORT")) < 32768
    torch = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.7"}
    assert found == torch
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # srun of one process, such as Snakemake's
    assert slurm.launched() == {}
