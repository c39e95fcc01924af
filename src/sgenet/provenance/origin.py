"""The provenance of a result: command, settings, data, commit, versions, device, duration, memory."""

import json
import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from sgenet.provenance import machine
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.code import ROOT
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import finished
from sgenet.provenance.results import DataOrigin, Identity, Measured, Provenance, Times
from sgenet.runtime.files import write_json
from sgenet.runtime.machine import peak_memory_mib

_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv-lite", "mmdet", "pycocotools", "numpy")


@dataclass(frozen=True)
class Making:
    """The making of an artifact: what decides it is determined at its start, and recorded with it at its end."""

    artifact: Artifact
    identity: Identity
    started: float
    start: machine.Start

    @classmethod
    def of(cls, artifacts: Artifacts, artifact: Artifact) -> "Making":
        """Begin to make an artifact."""
        return cls(artifact, artifacts.identity(artifact), time.monotonic(), machine.Start.now())

    def continued(self, began: Path, *, restart: bool) -> "Making":
        """Return it with the other source with which an interrupted training began, which decided its first epochs.

        Args:
            began: a file that holds the digests of that source.
            restart: whether the training starts from its beginning, so that the present digests are written there.
        """
        if restart or not began.exists():
            write_json(began, self.identity.sources)
        sources = json.loads(began.read_text(encoding="utf-8"))
        return replace(self, identity=self.identity.model_copy(update={"sources": sources}))

    def times(self) -> Times:
        """Return how long it took until now, its memory, and the machine."""
        return Times(
            seconds=round(time.monotonic() - self.started, 1),
            peak_memory_mib=peak_memory_mib(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine.describe(self.start),
        )

    def measured(self, device: str | None = None) -> Measured:
        """Return how the artifact was made, once its other files are written.

        Args:
            device: as `describe_device` returns it, where the numbers depend on it.
        """
        return Measured(
            **dict(self.times()),
            command=self.artifact.command,
            commit=commit(),
            versions={"python": platform.python_version()} | versions(),
            device=device,
            settings=self.artifact.settings,
            identity=finished(self.identity, self.artifact),
        )

    def provenance(self, device: str, data: DataOrigin) -> Provenance:
        """Return the same for an artifact that was made from data."""
        return Provenance(**dict(self.measured(device)), data=data)


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
    """Return the commit that contains this package, as it was at the first call; None if no commit does.

    It is followed by `+` if files that git tracks are modified, or if source of the package is not tracked. Only what
    git prints counts: in a process that ignores SIGCHLD, as the fork server does, every exit status reads as 0.
    """
    # dvc.lock, if it is tracked, changes while `dvc repro` runs
    options = ("--porcelain=v2", "--branch", "--untracked-files=no")
    state = _git("status", *options, "--", ":/", ":(top,exclude)dvc.lock")
    head = re.search(r"^# branch\.oid ([0-9a-f]{40,})$", state, re.MULTILINE)
    if not head or not _git("ls-tree", head[1], "--", "./__init__.py"):
        return None
    modified = any(not line.startswith("#") for line in state.splitlines())
    source = _git("ls-files", "-v", "--cached", "--others", "--", "*.py", "report/templates").splitlines()
    tracked = bool(source) and all(line.startswith("H ") for line in source)
    return head[1] + ("+" if modified or not tracked else "")


def _git(*arguments: str) -> str:
    """What git prints in the folder of the package, about the repository around it; "" without git."""
    # Git sets these for its hooks and aliases, which may be of another repository.
    of_hooks = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in of_hooks}
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        ).stdout  # fmt: skip
    except OSError:
        return ""
