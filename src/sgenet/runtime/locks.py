"""Locks of files (flock): the one way in which processes of this project exclude one another.

Locks of crashed processes are released automatically. On a file system without locks, `try_lock` and `acquire` refuse
to run, because two processes could then write the same results: the checkout must be on a file system with locks, such
as a local disk. There is no option to run without them. Image folders are only read and may be on any file system.

Jobs of a cluster also ask Slurm: a lock file that names another job which is alive is locked, whatever flock reports on
this node. If the workflow found no locks when it started (`work_in`), the owners that lock files name are all that
counts (`owners.py`).
"""

import contextlib
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sgenet.errors import InputError, writing
from sgenet.runtime import owners, slurm

CHECKOUT = Path(".snakemake/sgenet.lock")  # locked while a workflow runs in a checkout
NO_LOCKS = "SGENET_NO_LOCKS"  # environment variable of a workflow on a cluster, and of its jobs: locks do not work
_PROBE = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
_SETTLE = 2.0  # seconds after which a file that another process wrote at the same time is seen here
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # neither follows a link nor blocks on a pipe
_held: list[int] = []  # file descriptors of the locks of this process


class InUseError(InputError):
    """Another process has the lock."""


class NoLocksError(InputError):
    """The file system supports no locks."""


def try_lock(file: int, path: Path) -> bool:
    """Lock an open file or folder until `file` is closed; False if another process has locked it.

    Args:
        file: descriptor, open for writing unless it is a folder's: NFS requires that.
        path: for the error message.

    Raises:
        NoLocksError: the file system supports no locks.
    """
    if NO_LOCKS in os.environ:
        raise NoLocksError(f"{path}: this file system supports no locks, expected one that does: use a local disk")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        found = f"this file system supports no locks ({os.strerror(error.errno or 0).lower()})"
        raise NoLocksError(f"{path}: {found}, expected one that does: use a local disk") from None
    return True


def is_locked(path: Path) -> bool:
    """Return whether a process has locked the file `path`.

    To find out, the file is locked for some microseconds. A process that acquires the lock in this moment needs
    `patience`, otherwise it is refused: do not call this for locks that are acquired without.
    """
    try:
        file = os.open(path, _FLAGS)
    except OSError:
        return False
    try:
        return _owner(file, path) is not None
    except InputError:  # Slurm does not answer
        return True
    finally:
        os.close(file)


def work_in(folder: Path) -> bool:
    """Return whether locks work in a folder: one of this process is seen by another one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"probe-{os.getpid()}"
    try:
        with open(path, "w+") as file:
            if not try_lock(file.fileno(), path):
                return False
            second = subprocess.run([sys.executable, "-S", "-E", "-c", _PROBE, str(path)], stderr=subprocess.PIPE)
            return second.returncode != 0 and b"BlockingIOError" in second.stderr
    except NoLocksError:
        return False
    finally:
        path.unlink(missing_ok=True)


def acquire(path: Path, what: str, patience: float = 0, *, all_users: bool = False) -> int:
    """Lock the file `path` until this process ends or calls `release`.

    Forks of this process, such as the workers of a data loader, do not inherit the lock.

    Args:
        path: of the lock file. It names the process that locked it, and is not removed by this module.
        what: name of the locked resource, for the error message.
        patience: seconds to wait while another process has the lock.
        all_users: a new lock file can be locked by all users of this machine.

    Returns:
        the lock, for `release`.

    Raises:
        InUseError: another process, which the message names, has the lock.
        InputError: the file cannot be written, or its file system supports no locks.
    """
    end = time.monotonic() + patience
    with writing(path), contextlib.ExitStack() as stack:
        file = _open(path, all_users)
        stack.callback(os.close, file)
        reported = False
        while (owner := _owner(file, path)) is not None:
            if time.monotonic() >= end:
                where = f", or remove {path} if it has ended" if NO_LOCKS in os.environ else ""
                raise InUseError(f"{what} is in use by {owner}; wait until it ends, or stop it{where}")
            if slurm.is_cluster_job() and not reported:
                print(f"waiting: {what} is in use by {owner}", flush=True)
                reported = True
            time.sleep(_SETTLE if reported else 0.1)
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file)):  # removed by a process that ended
            return acquire(path, what, patience, all_users=all_users)
        _write(file)
        if NO_LOCKS in os.environ:
            time.sleep(_SETTLE)
            if _read(file) != owners.describe():  # another process wrote at the same time
                return acquire(path, what, patience, all_users=all_users)
        stack.pop_all()
        _held.append(file)
        return file


def release(lock: int) -> None:
    """Release a lock that `acquire` returned."""
    if NO_LOCKS in os.environ:
        os.ftruncate(lock, 0)
    _held.remove(lock)
    os.close(lock)


@contextlib.contextmanager
def lock(path: Path, what: str, patience: float = 0) -> Iterator[None]:
    """Acquire a lock for a block; the arguments and errors are those of `acquire`."""
    acquired = acquire(path, what, patience)
    try:
        yield
    finally:
        release(acquired)


def _owner(file: int, path: Path) -> str | None:
    """Lock an open file, or return who has locked it."""
    named = _read(file)
    if NO_LOCKS in os.environ:
        return named if owners.is_alive(named) else None
    if not try_lock(file, path):
        return named or "a process that just started"
    if owners.is_other_job(named):  # on another node, whose locks are not seen here
        fcntl.flock(file, fcntl.LOCK_UN)
        return named
    return None


def _read(file: int) -> str:
    return os.pread(file, 1000, 0).decode(errors="replace").strip()


def _write(file: int) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, f"{owners.describe()}\n".encode(), 0)


def _open(path: Path, all_users: bool, once_more: bool = True) -> int:
    """Open a lock file, possibly in a world-writable folder: without following a link or blocking on a pipe."""
    try:
        file = os.open(path, _FLAGS)  # O_CREAT on another user's file may be refused
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, _FLAGS | os.O_CREAT, 0o666)
        except FileNotFoundError:  # a process that just ended has removed the folder
            if not once_more:
                raise
            return _open(path, all_users, once_more=False)
        if all_users:
            os.fchmod(file, 0o666)  # independent of the umask
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise InputError(f"{path}: is not a regular file, expected a lock file")
    return file


def _release_all() -> None:
    while _held:
        release(_held[0])


os.register_at_fork(after_in_child=_release_all)  # a fork inherits the locks and would keep them locked
