"""Processes of a replication: those of DVC in this checkout, and the ends of workflows and their steps."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from sgenet.runtime.locks import try_lock

WORKFLOW = "SGENET_WORKFLOW"  # environment variable of steps: host and process id of their workflow
_PATIENCE = 6  # seconds that a process has for its clean-up after SIGTERM


def running_dvc(root: Path, patience: float = 0) -> int | None:
    """Return the id of a DVC process that runs in this repository; None if there is none.

    DVC locks `lock` during its own work and lists its process id in `rwlock` while the command of a stage runs. A
    killed DVC leaves `rwlock` behind, perhaps half-written; the next DVC would refuse it while the killed process is a
    zombie or another process has got its id, so it is removed.

    Args:
        root: of the repository.
        patience: seconds to wait for the process to end.
    """
    folder = root / ".dvc" / "tmp"
    end = time.monotonic() + patience
    while (found := _dvc_in(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _dvc_in(folder: Path) -> int | None:
    try:
        guard = os.open(folder / "rwlock.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # no DVC has run a stage here
        return _holder(folder / "lock")
    try:
        free = try_lock(guard, folder / "rwlock.lock")
        listed: set[int] = set()
        with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, TypeError):  # absent, or half-written
            busy = json.loads((folder / "rwlock").read_text())
            entries = [
                *busy.get("write", {}).values(),
                *(entry for of in busy.get("read", {}).values() for entry in of),
            ]
            listed = {int(entry["pid"]) for entry in entries}
        for number in sorted(listed):
            with contextlib.suppress(psutil.NoSuchProcess):
                if alive(number) and "dvc" in _command(psutil.Process(number)):
                    return number
        if free:
            (folder / "rwlock").unlink(missing_ok=True)
    finally:
        os.close(guard)
    return _holder(folder / "lock")


def _holder(path: Path) -> int | None:
    """Return the id of the process that has locked a lock file of DVC, read from the file; None if it is not locked."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        words = os.read(lock, 100).split()
        return int(words[0]) if not try_lock(lock, path) and words and words[0].isdigit() else None
    finally:
        os.close(lock)


def dvc_of_stage() -> int | None:
    """Return the id of the DVC process that runs this process as the command of a stage; None outside of a stage."""
    if "DVC_STAGE" not in os.environ:
        return None
    callers = psutil.Process().parents()
    return next((caller.pid for caller in callers if "dvc" in _command(caller)), None)


def end_with(process: int, number: int = signal.SIGTERM) -> None:
    """Send the signal `number` to this process as soon as another process of this machine has ended, even by SIGKILL.

    Workflows end with the DVC that runs them as a stage, steps with their workflow, forks of the fork server with the
    command that they run, and the processes of a distributed training with the one that launched them. (The workers of
    data loaders end with their process by torch's own means.)
    """

    def wait() -> None:
        while alive(process):
            with contextlib.suppress(psutil.Error):  # the timeout, since it may remain as a zombie
                psutil.Process(process).wait(timeout=1)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def end_with_workflow() -> None:
    """Stop this step with SIGTERM when its workflow, on the same machine, has ended."""
    host, _, process = os.environ.get(WORKFLOW, "").rpartition(":")
    if host == socket.gethostname() and process.isdecimal():
        end_with(int(process))


def stop_on_signals() -> None:
    """Turn the first SIGTERM or SIGINT into an exception, so that this process cleans up; ignore later ones."""

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)  # not SIG_IGN: Python reports a signal that is already pending
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)


def stop_steps() -> None:
    """Terminate the steps started by this process, in the background; kill those that do not end in time."""
    threading.Thread(target=_stop, args=(list(_steps(psutil.Process().children())),)).start()


def _stop(steps: list[psutil.Process]) -> None:
    _each(steps, psutil.Process.terminate)
    _, left = psutil.wait_procs(steps, timeout=_PATIENCE)
    for step in left:
        _each([*_below(step), step], psutil.Process.kill)


def _steps(processes: Iterable[psutil.Process]) -> Iterable[psutil.Process]:
    """Yield the topmost processes of `sgenet`, which end their own workers."""
    for process in processes:
        if {"sgenet", "sgenet.cli"} & set(_command(process)):
            yield process
        else:
            yield from _steps(_below(process, recursive=False))


def _command(process: psutil.Process) -> list[str]:
    """Return the first words of a process's command line: interpreter, options, program."""
    try:
        return [Path(word).name for word in process.cmdline()[:3]]
    except psutil.Error:
        return []


def _below(process: psutil.Process, recursive: bool = True) -> list[psutil.Process]:
    try:
        return process.children(recursive=recursive)
    except psutil.Error:
        return []


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended
            act(process)


def alive(process: int) -> bool:
    """Return whether a process with this id runs on this machine; a zombie does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
