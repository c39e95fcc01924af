"""Faults of the machine, for tests: steps run in forks of the test's process, under limits that end with them."""

import ctypes
import io
import json
import os
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOBODY = 65534
_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # of unshare(2)


def forked(act: Callable[[], Any]) -> Any:
    """What `act` returns in a fork of this process, as JSON carries it; whatever it did to the process is gone."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            outcome = {"value": act()}
        except BaseException:
            outcome = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(outcome).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        answer = file.read()
    os.waitpid(process, 0)
    assert answer, "the fork was killed"
    outcome = json.loads(answer)
    assert "error" not in outcome, outcome["error"]
    return outcome["value"]


def sgenet(*arguments: str, other_user: bool = False) -> tuple[int, str]:
    """Exit status and standard error of a step in a fork: what it holds, imports or changes goes with it.

    `other_user`: where the user is root, whom no permission stops, the step runs as another one.
    """

    def act() -> tuple[int, str]:
        import torch

        from sgenet.cli import main

        torch.set_num_threads(1)
        if other_user and os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        return main(list(arguments)), sys.stderr.getvalue()

    status, told = forked(act)
    return status, told


def limit_files(size: int) -> None:
    """No file of this process may grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def lift_limit() -> None:
    """Raise the limit of `limit_files` to the highest that this process may have."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def mount(place: Path, size: str) -> None:
    """Mount a small tmpfs that this fork alone sees; OSError where the system lets nobody do so."""
    libc, user = ctypes.CDLL(None, use_errno=True), os.getuid()
    if libc.unshare(_NEWNS if user == 0 else _NEWNS | _NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    for command in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "none", str(place)]):
        subprocess.run(["mount", *command], check=True, capture_output=True)


def can_mount(place: Path) -> str:
    """Why nothing can be mounted here; empty where it can."""
    try:
        forked(lambda: mount(place, "64k"))
    except AssertionError as error:
        return str(error).strip().splitlines()[-1]
    return ""


def make_read_only(place: Path, yes: bool) -> None:
    """Turn what `mount` mounted read-only, or back."""
    subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(place)], check=True, capture_output=True)


def fill(place: Path, left: int) -> None:
    """Take all room of a small file system but `left` bytes (whole pages of 4 KiB)."""
    free = os.statvfs(place)
    with open(place / "fill", "wb") as file:
        file.write(b"x" * (free.f_bavail * free.f_frsize - left))
