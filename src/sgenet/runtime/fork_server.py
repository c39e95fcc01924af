"""A server process that imports torch and mmdet once and forks for every step of a workflow.

Imports take five to ten seconds per step, and a replication has a hundred steps. Under Snakemake, the environment
variable SGENET_WARM names the folder of the server; an empty value disables it. The first step starts the server. Each
step sends it its arguments, environment, working folder and open files. Every step runs in a fork of its own, so steps
are independent of one another. A fork ends when its command ends, and the server when Snakemake ends. If the server
cannot be reached, a step runs in its own process. So does a step that may use a GPU, because CUDA does not support
forks.
"""

import contextlib
import gc
import json
import math
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sgenet.errors import InputError
from sgenet.runtime.files import is_private
from sgenet.runtime.locks import lock

SERVE = "--fork-server"  # first argument of `sgenet`, followed by a folder: run as the server
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
_LOST = 137  # exit status that a shell reports for a killed command


def folder_of(owner: int) -> str:
    """Return the value of SGENET_WARM for the steps of the Snakemake process `owner`: the folder of their server.

    The path is relative to the working folder, which the steps share, because a socket's path is limited to about a
    hundred characters. It contains the host name, because `owner` is a process id of this host: steps that a cluster
    runs on other hosts must not use it.
    """
    return f".snakemake/sgenet-{socket.gethostname()}-{owner}"


def run(arguments: list[str]) -> int | None:
    """Run `sgenet` with these arguments in a fork of the server; SIGINT and SIGTERM are passed on to it.

    Returns:
        the exit status; None if there is no server.
    """
    folder = os.environ.get("SGENET_WARM")
    if not folder:
        return None
    from sgenet.runtime.processes import alive  # imports psutil, which only the pipeline needs

    owner = _owner(Path(folder))
    if folder != folder_of(owner) or not alive(owner):
        return None
    environment = {key: value for key, value in os.environ.items() if key != "SGENET_WARM"} | _NO_GPU
    request = json.dumps(
        {"arguments": arguments, "folder": os.getcwd(), "environment": environment, "process": os.getpid()}
    ).encode()
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
    except (OSError, InputError):  # the server ended; if it has not forked yet, the step runs in its own process
        return _LOST if child else None
    return None


def serve(folder: Path, main: Callable[[list[str]], int], preload: Callable[[list[str]], None]) -> None:
    """Serve requests until the owner of `folder` has ended.

    Args:
        folder: see `folder_of`.
        main: runs a step in the fork, given its arguments; returns the exit status.
        preload: imports what a step with these arguments needs, before the fork.
    """
    from sgenet.runtime.processes import alive

    owner = _owner(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "starting"))
    listener.listen(64)
    (folder / "starting").rename(folder / "socket")  # now clients can connect
    while alive(owner):  # not `end_with`, which starts a thread: a process that forks should have no others
        if not select.select([listener], [], [], 1.0)[0]:
            continue
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)  # one command that hangs must not block the others
            files: list[int] = []
            try:
                head, files, _, _ = socket.recv_fds(connection, 4, 3)
                request = json.loads(_receive(connection, int.from_bytes(head, "big")))
                connection.settimeout(None)
                preload(request["arguments"])
                gc.collect()
                gc.freeze()  # so that garbage collection in the forks does not copy these pages
                if os.fork() == 0:
                    listener.close()
                    _be_step(connection, files, request, main)
            except (OSError, ValueError):
                traceback.print_exc()  # to the log; the command runs in its own process
            for file in files:
                os.close(file)
    shutil.rmtree(folder, ignore_errors=True)


def _be_step(
    connection: socket.socket, files: list[int], request: dict[str, Any], main: Callable[[list[str]], int]
) -> NoReturn:
    """Run the step in the fork, send its exit status, and exit."""
    status = 1
    try:
        from sgenet.runtime.processes import end_with

        connection.sendall(f"{os.getpid()}\n".encode())
        end_with(request["process"], signal.SIGKILL)
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


def _connect(folder: Path) -> socket.socket | None:
    """Connect to the server of the folder; start it if it does not run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(folder):  # others could pose as the server or run any command
        return None
    with lock(folder / "lock", str(folder), patience=math.inf):
        connection = _try(folder)
        if connection is None:
            (folder / "socket").unlink(missing_ok=True)
            with open(folder / "log", "w") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "sgenet.cli", SERVE, str(folder)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    env=os.environ | _NO_GPU,  # mmengine chooses a device when it is imported
                )  # fmt: skip
            while connection is None and process.poll() is None:
                time.sleep(0.02)
                connection = _try(folder)
    return connection


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
            raise ConnectionError("the command closed the connection during its request")
        received += part
    return received


def _owner(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
