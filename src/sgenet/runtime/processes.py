"""Processes of a replication: one workflow at a time in a checkout, and no step that outlives its workflow."""

import fcntl
import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from sgenet.errors import InputError
from sgenet.runtime.files import writing

LOCK = Path(".snakemake/sgenet.lock")  # of a checkout, while a workflow works in it
WORKFLOW = "SGENET_WORKFLOW"  # set for steps: host and process id of the workflow that started them
_PATIENCE = 6  # seconds in which a process that was asked to end may clean up
_held: list[int] = []  # locks, kept to the end of this process


def hold(path: Path, what: str, patience: float = 0) -> int:
    """Lock the file `path` until this process ends, however it ends, or calls `release` with what is returned.

    Forks of this process, such as a loader's workers, do not keep the lock.

    Args:
        path: of the lock; it holds who holds it, and stays, unless the holder removes it in the end.
        what: is locked, for the message.
        patience: seconds to wait for another holder to end.

    Raises:
        InputError: another process holds it, the message tells which; or it cannot be written.
    """
    with writing(path):
        lock = _open(path)
        end = time.monotonic() + patience
        while not _locked(lock):
            if time.monotonic() >= end:
                holder = os.pread(lock, 1000, 0).decode(errors="replace").strip() or "a process that just began"
                os.close(lock)
                raise InputError(f"{what} is in use by {holder}; wait for it, or end it")
            time.sleep(0.1)
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(lock)):  # removed by one that just ended
            os.close(lock)
            return hold(path, what, patience)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()} ({shlex.join(sys.argv)[:200]})\n".encode(), 0)
        _held.append(lock)
        return lock


def _open(path: Path, once_more: bool = True) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:  # a holder that just ended removed the folder in between
        if not once_more:
            raise
        return _open(path, once_more=False)


def release(lock: int) -> None:
    """Give back a lock that `hold` took."""
    _held.remove(lock)
    os.close(lock)


def _release_all() -> None:
    while _held:
        release(_held[0])


os.register_at_fork(after_in_child=_release_all)  # a fork has the same locks, and would keep them


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True


def dvc_at_work(root: Path, patience: float = 0) -> int | None:
    """Id of a process of DVC that works in this repository, None where there is none.

    DVC holds `lock` while it thinks, and is named in `rwlock` while a stage's command runs; what dead processes left
    there does not count. One that only thinks is waited for, `patience` seconds at most.
    """
    folder = root / ".dvc" / "tmp"
    end = time.monotonic() + patience
    while (found := _dvc_in(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _dvc_in(folder: Path) -> int | None:
    try:
        busy = json.loads((folder / "rwlock").read_text())
        entries = [*busy.get("write", {}).values(), *(entry for of in busy.get("read", {}).values() for entry in of)]
        for number in sorted({int(entry["pid"]) for entry in entries}):
            if alive(number) and "dvc" in _command(psutil.Process(number)):
                return number
    except json.JSONDecodeError:
        if _holder(folder / "rwlock.lock") is None:  # a DVC that was killed left it half-written: DVC would refuse it
            (folder / "rwlock").unlink()
    except (OSError, ValueError, AttributeError, KeyError, TypeError, psutil.Error):
        pass  # there is none
    return _holder(folder / "lock")


def _holder(path: Path) -> int | None:
    """Id of the process that holds a lock of DVC, which writes it there; None where none does."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        told = os.read(lock, 100).split()
        return int(told[0]) if not _locked(lock) and told and told[0].isdigit() else None
    finally:
        os.close(lock)


def dvc_of_stage() -> int | None:
    """Id of the process of DVC that runs this one as the command of a stage; None outside of one."""
    if "DVC_STAGE" not in os.environ:
        return None
    callers = psutil.Process().parents()
    return next((caller.pid for caller in callers if "dvc" in _command(caller)), None)


def follow(process: int) -> None:
    """Have this process stopped, as by SIGTERM, when another one of this machine is gone."""

    def wait() -> None:
        while alive(process):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def follow_workflow() -> None:
    """Have this step stopped when the workflow that started it is gone, on this machine, even by SIGKILL."""
    host, _, process = os.environ.get(WORKFLOW, "").rpartition(":")
    if host == socket.gethostname() and process.isdecimal():
        follow(int(process))


def stop_on_signals() -> None:
    """Let SIGTERM and SIGINT unwind this process once, so that it cleans up; more of them change nothing."""

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)  # not SIG_IGN, which Python reports where a signal is on its way
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)


def stop_steps() -> None:
    """Ask the steps below this process to end, in the background; those that do not in time are killed."""
    threading.Thread(target=_stop, args=(list(_steps(psutil.Process().children())),)).start()


def _stop(steps: list[psutil.Process]) -> None:
    _each(steps, psutil.Process.terminate)
    _, left = psutil.wait_procs(steps, timeout=_PATIENCE)
    for step in left:
        _each([*_below(step), step], psutil.Process.kill)


def _steps(processes: Iterable[psutil.Process]) -> Iterable[psutil.Process]:
    """The topmost processes of `sgenet`: their own workers are theirs to end."""
    for process in processes:
        if {"sgenet", "sgenet.cli"} & set(_command(process)):
            yield process
        else:
            yield from _steps(_below(process, recursive=False))


def _command(process: psutil.Process) -> list[str]:
    """What a process was started as: interpreter, options, program."""
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
        try:
            act(process)
        except psutil.Error:
            continue  # it is gone already


def alive(process: int) -> bool:
    """Whether a process of this id works on this machine: one that ended and was not yet told of does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
