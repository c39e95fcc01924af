"""Loaded by every Python of a workflow under test: counts what reaches the disk and kills the workflow at one of it.

FAULT_LOG: file that receives one line an event, `<call> <path>`.
FAULT_AT: regular expression of the line of the event at which the workflow is killed; not given: nothing is.
FAULT_GROUP: process group to kill, in addition to the process that met the event.
"""

import functools
import os
import re
import signal
from collections.abc import Callable


def _meets(call: str, path: str) -> None:
    log = os.environ.get("FAULT_LOG")
    if not log:
        return
    line = f"{call} {path}"
    with open(log, "ab") as file:
        file.write(line.encode() + b"\n")
    at = os.environ.get("FAULT_AT")
    if not at:
        return
    if re.search(at, line) is not None and _first(log):
        os.killpg(int(os.environ["FAULT_GROUP"]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _first(log: str) -> bool:
    """Whether no other event met the expression before."""
    try:
        os.close(os.open(f"{log}.met", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _watched(name: str, argument: int) -> Callable[..., object]:
    call = getattr(os, name)

    @functools.wraps(call)
    def watched(*arguments: int | str | os.PathLike[str], **more: int | None) -> object:
        where = arguments[argument]
        _meets(f"before {name}", os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.fspath(where))
        done = call(*arguments, **more)
        _meets(f"after {name}", os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.fspath(where))
        return done

    return watched


for _name, _argument in (("fsync", 0), ("replace", 1), ("rename", 1)):
    setattr(os, _name, _watched(_name, _argument))
