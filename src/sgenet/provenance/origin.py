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

from sgenet.errors import InputError
from sgenet.runtime.files import read_json

TIMES = ("seconds", "peak_memory_mib", "finished")  # entries of an origin that differ between equal runs

_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv-lite", "mmdet", "pycocotools", "numpy")


def origin(command: str, settings: dict[str, Any], data: dict[str, str], started: float, device: str) -> dict[str, Any]:
    """Return the origin (provenance) of a result that has just been computed.

    Args:
        command: the command that recomputes it.
        settings: the resolved settings of the run.
        data: source and fingerprint of its data.
        started: `time.monotonic()` at its start.
        device: as `describe_device` returns it.
    """
    return stamp(command, started, device) | {"settings": settings, "data": data}


def stamp(command: str, started: float, device: str) -> dict[str, Any]:
    """Return the command, code, time and device of a new result; the arguments are those of `origin`."""
    return {
        "command": command,
        "commit": commit(),
        "versions": {"python": platform.python_version()} | versions(),
        "device": device,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mib": peak_memory_mib(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def split(origin: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split an origin into the entries that equal runs share and the others, its times and memory."""
    return (
        {key: value for key, value in origin.items() if key not in TIMES},
        {key: value for key, value in origin.items() if key in TIMES},
    )


def read_training(path: Path) -> dict[str, Any]:
    """Read a training.json: the origin of weights; InputError if their settings or data are missing."""
    value = read_json(path)
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("fingerprint"), str):
        raise InputError(f"{path}: data.fingerprint: missing, expected a file written by `sgenet train`")
    if not isinstance(value.get("settings"), dict):
        raise InputError(f"{path}: settings: missing, expected a file written by `sgenet train`")
    return value


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
