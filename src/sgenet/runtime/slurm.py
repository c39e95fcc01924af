"""Slurm: the job and the step that this process belongs to, jobs that are alive, and the jobs of this checkout."""

import os
import re
import subprocess
import time
from collections.abc import Iterable

from sgenet.errors import InputError

CLUSTER = "SGENET_CLUSTER"  # environment variable of jobs that a workflow submits to a cluster: "1"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # the name of Snakemake's jobs ends with one
_UNKNOWN = "Invalid job id"  # squeue's message for a job that ended some time ago
_GIVEN = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS", "SLURM_GPUS_ON_NODE")
_NUMBERS = ("STEP_NUM_TASKS", "STEP_NUM_NODES", "JOB_ID", "STEP_ID")  # of the environment of a job step
_PORTS = range(10_000, 30_000)  # below those that Linux gives to clients
_ATTEMPTS = 5  # of a query: the controller may be busy, or restarted


def is_cluster_job() -> bool:
    """Return whether this process belongs to a job that a workflow has submitted."""
    return os.environ.get(CLUSTER) == "1" and own_job() is not None


def own_job() -> str | None:
    """Return the id of the Slurm job that this process belongs to; a task of an array has an id of its own."""
    return os.environ.get("SLURM_JOB_ID")


def gpus_given() -> bool:
    """Return whether Slurm has given this job GPUs."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in _GIVEN)


def launched() -> dict[str, str]:
    """Return what torch's launchers set for this process, if it is one of several of a job step; empty if it is not.

    The processes meet at the address by which Slurm reaches the first node. The port follows from the job and the step,
    so that two of them on one node differ.

    Raises:
        InputError: Slurm does not answer.
    """
    found = {name: os.environ.get(f"SLURM_{name}", "") for name in ("PROCID", "LOCALID", "STEP_NODELIST", *_NUMBERS)}
    if found["STEP_NUM_TASKS"] in ("", "1") or not found["STEP_NODELIST"]:
        return {}
    numbers = {name: found[name] for name in ("PROCID", "LOCALID", "JOB_ID", "STEP_ID", *_NUMBERS)}
    if bad := next((name for name, value in numbers.items() if not value.isdecimal()), None):
        raise InputError(f"environment variable SLURM_{bad}: found {numbers[bad]!r}, expected a whole number from srun")
    world, nodes = int(found["STEP_NUM_TASKS"]), int(found["STEP_NUM_NODES"])
    if world % nodes:
        raise InputError(f"srun: found {world} tasks on {nodes} nodes, expected the same number on each")
    first = _query(["scontrol", "show", "hostnames", found["STEP_NODELIST"]]).split()[0]
    address = re.search(r"\bNodeAddr=(\S+)", _query(["scontrol", "--oneliner", "show", "node", first]))
    return {
        "RANK": found["PROCID"],
        "LOCAL_RANK": found["LOCALID"],
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world // nodes),
        "MASTER_ADDR": address[1] if address else first,
        "MASTER_PORT": str(_PORTS[0] + (int(found["JOB_ID"]) + int(found["STEP_ID"])) % len(_PORTS)),
    }


def is_alive(job: str) -> bool:
    """Return whether a job is pending, running, or ending.

    Raises:
        InputError: Slurm does not answer: it is not known then who may train.
    """
    return bool(_query(["squeue", "--noheader", "--jobs", job, "--format", "%T"], unknown=_UNKNOWN).strip())


def jobs_of_checkout() -> list[str]:
    """Return the ids of this user's jobs that a workflow in the working folder has submitted and that are alive.

    Other jobs that were submitted here, such as one that runs Snakemake itself, have other names.
    """
    here = os.path.realpath(os.getcwd())
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%i|%j|%Z"]
    jobs = [line.split("|", 2) for line in _query(command).splitlines() if line.count("|") > 1]
    return [job for job, name, folder in jobs if _UUID.search(name) and os.path.realpath(folder) == here]


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are ignored."""
    if jobs := list(jobs):
        subprocess.run(["scancel", "--quiet", *jobs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def cancel_checkout(patience: float) -> list[str]:
    """Cancel the jobs of this checkout and wait until they have ended.

    Returns:
        those that have not ended after `patience` seconds, as those of a node that does not answer.
    """
    end = time.monotonic() + patience
    cancelled: set[str] = set()
    while (left := jobs_of_checkout()) and time.monotonic() < end:
        cancel(set(left) - cancelled)
        cancelled.update(left)
        time.sleep(0.5)
    return left


def _query(command: list[str], unknown: str = "") -> str:
    """Return what a command of Slurm prints; empty if it fails with the message `unknown`."""
    error = "it is not installed here"
    for attempt in range(_ATTEMPTS):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            break
        except subprocess.TimeoutExpired:
            error = "no answer within a minute"
            continue
        if done.returncode == 0:
            return done.stdout
        if unknown and unknown in done.stderr:
            return ""
        error = next(iter(done.stderr.strip().splitlines()), f"exit status {done.returncode}")
        time.sleep(attempt)
    raise InputError(f"{command[0]}: Slurm does not answer ({error}), expected it where its jobs run")
