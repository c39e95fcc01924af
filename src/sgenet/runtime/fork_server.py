"""Steps without their start-up: one process imports torch and mmdet, and every step of a workflow is a fork of it.

Importing costs five to ten seconds a step, and a replication has a hundred steps. Under Snakemake (environment variable
SGENET_WARM: a folder of its own; set it to nothing to do without) the first step starts the process, later ones hand it
their arguments, environment, working folder and open files. A fork is alone in its process, so steps stay independent
of one another. It ends when its command ends, and the process itself when Snakemake does. Where it cannot be had, a
step starts by itself; so it does where a step may use a GPU, since CUDA does not survive a fork.
"""

import contextlib
import fcntl
import gc
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sgenet.runtime.processes import alive

SERVE = "--fork-server"  # first argument of `sgenet`, before a folder: be the process that is forked
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
_LOST = 137  # as a shell tells of a command that was killed


def folder_of(owner: int) -> str:
    """SGENET_WARM for the steps of the Snakemake process `owner`: the folder of their common process.

    Relative to the working folder, which steps share: a socket's path has room for about a hundred characters. The
    machine's name keeps steps that a cluster runs elsewhere from taking another process for the owner.
    """
    return f".snakemake/sgenet-{socket.gethostname()}-{owner}"


def run(arguments: list[str]) -> int | None:
    """Run `sgenet` with these arguments in a fork of the warm process; None where there is none to be had.

    SIGINT and SIGTERM are passed on. Returns the exit status.
    """
    folder = os.environ.get("SGENET_WARM")
    owner = _owner(Path(folder or ""))
    if not folder or folder != folder_of(owner) or not alive(owner):
        return None
    environment = {key: value for key, value in os.environ.items() if key != "SGENET_WARM"} | _NO_GPU
    request = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": environment}).encode()
    child = 0
    try:
        connection = _connect(Path(folder))
        if connection is None:
            return None
        with connection, connection.makefile("r") as answers:
            socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
            connection.sendall(request)
            child = int(answers.readline() or 0)
            if child:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, lambda number, _: os.kill(child, number))
                return int(answers.readline() or _LOST)
    except OSError:  # the process is gone: before it forked, the step runs by itself
        return _LOST if child else None
    return None


def serve(folder: Path, main: Callable[[list[str]], int], preload: Callable[[list[str]], None]) -> None:
    """Answer requests until the owner of `folder` is gone.

    Args:
        folder: see `folder_of`.
        main: runs a step in the fork, given its arguments; returns the exit status.
        preload: imports what a step with these arguments needs, before the fork.
    """
    owner = _owner(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are reaped by the system
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "starting"))
    listener.listen(64)
    (folder / "starting").rename(folder / "socket")  # from here on it answers
    while alive(owner):
        if not select.select([listener], [], [], 1.0)[0]:
            continue
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)  # one command that is stuck must not stop the others
            files: list[int] = []
            try:
                head, files, _, _ = socket.recv_fds(connection, 4, 3)
                request = json.loads(_receive(connection, int.from_bytes(head, "big")))
                connection.settimeout(None)
                preload(request["arguments"])
                gc.collect()
                gc.freeze()  # so that collections in the forks leave these pages shared
                if os.fork() == 0:
                    listener.close()
                    _be_step(connection, files, request, main)
            except (OSError, ValueError):
                traceback.print_exc()  # to the log; the command runs by itself
            for file in files:
                os.close(file)
    shutil.rmtree(folder, ignore_errors=True)


def _be_step(
    connection: socket.socket, files: list[int], request: dict[str, Any], main: Callable[[list[str]], int]
) -> NoReturn:
    """In the fork: become the step, tell its exit status, end."""
    status = 1
    try:
        connection.sendall(f"{os.getpid()}\n".encode())
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        for target, file in enumerate(files):
            os.dup2(file, target)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        status = main(request["arguments"])
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            connection.sendall(f"{status}\n".encode())
        os._exit(status)


def _end_with(connection: socket.socket) -> None:
    """End this process when the command that it works for was killed: its connection closes."""
    try:
        connection.recv(1)
    finally:
        os._exit(_LOST)


def _connect(folder: Path) -> socket.socket | None:
    """A connection to the folder's process, which is started where there is none yet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(folder):
        return None
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = _try(folder)
        if connection is None:
            (folder / "socket").unlink(missing_ok=True)
            with open(folder / "log", "w") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "sgenet.cli", SERVE, str(folder)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    env=os.environ | _NO_GPU,  # mmengine settles on a device when it is imported
                )  # fmt: skip
            while connection is None and process.poll() is None:
                time.sleep(0.02)
                connection = _try(folder)
    return connection


def _is_private(folder: Path) -> bool:
    """Whether the folder is this user's and closed to others, who could answer in it, or ask for any command."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _try(folder: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / "socket"))
    except OSError:
        connection.close()
        return None
    return connection


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("the command went away while it was asking")
        received += part
    return received


def _owner(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
