"""Owners of locks: the text by which a process names itself in a lock file, and whether that process is alive.

On one machine flock alone decides. Between the nodes of a cluster its locks may not be seen, or not exist: Slurm's job
list then decides whether the job that a lock file names is alive.
"""

import os
import re
import shlex
import shutil
import socket
import sys

from sgenet.runtime import slurm

_JOB = re.compile(r"Slurm job (\d+)")
_PROCESS = re.compile(r"process (\d+) on (\S+) ")


def describe() -> str:
    """Return the text that names this process, and the Slurm job that it belongs to."""
    job = f" in Slurm job {slurm.own_job()}" if slurm.is_cluster_job() else ""
    return f"process {os.getpid()} on {socket.gethostname()} ({shlex.join(sys.argv)[:200]}){job}"


def is_other_job(owner: str) -> bool:
    """Return whether an owner is, by Slurm's job list, another job that is alive; False on a machine without Slurm.

    A job that was requeued has the same id: only its processes are other ones.
    """
    match = _JOB.search(owner)
    return bool(match and match[1] != slurm.own_job() and shutil.which("squeue") and slurm.is_alive(match[1]))


def is_alive(owner: str) -> bool:
    """Return whether an owner is alive where the file system has no locks: a process of another host may be."""
    if _JOB.search(owner):
        return is_other_job(owner)
    match = _PROCESS.match(owner)
    if match is None or match[2] != socket.gethostname():
        return match is not None
    from sgenet.runtime.processes import alive  # imports psutil, which only the pipeline needs

    return int(match[1]) != os.getpid() and alive(int(match[1]))
