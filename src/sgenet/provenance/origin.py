"""The provenance of a result: command, settings, data, commit, versions, device, duration, memory."""

import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sgenet.provenance.results import DataOrigin, Measured, Provenance

_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv-lite", "mmdet", "pycocotools", "numpy")


def origin(command: str, settings: dict[str, Any], data: DataOrigin, started: float, device: str) -> Provenance:
    """Return the provenance of a result that has just been computed.

    Args:
        command: the command that recomputes it.
        settings: the resolved settings of the run.
        data: source and fingerprint of its data.
        started: `time.monotonic()` at its start.
        device: as `describe_device` returns it.
    """
    return Provenance(**dict(stamp(command, started, device)), settings=settings, data=data)


def stamp(command: str, started: float, device: str) -> Measured:
    """Return the command, code, time and device of a new result; the arguments are those of `origin`."""
    return Measured(
        command=command,
        commit=commit(),
        versions={"python": platform.python_version()} | versions(),
        device=device,
        seconds=round(time.monotonic() - started, 1),
        peak_memory_mib=peak_memory_mib(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on; packages that are not installed are left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return the commit at the first call, followed by `+` if tracked files are modified; None outside git."""
    try:
        git = {"check": True, "capture_output": True, "text": True}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **git).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(  # dvc.lock, if it is tracked, changes while `dvc repro` runs
            ["git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock"],
            **git,  # type: ignore[call-overload]
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def cpu_name() -> str:
    """Return the CPU's model name as the system reports it, otherwise its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_mib() -> int:
    """Return the peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024))
