"""Checkpoints of unfinished trainings: which training they belong to, and whether a process uses them now."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sgenet.config import paths
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime import locks

_FOLDER = re.compile(r"seed-([0-9]+)-[0-9a-f]{16}")
_EPOCH = re.compile(r"epoch-([0-9]+)-[0-9a-f]{64}\.pth")


@dataclass(frozen=True)
class Unfinished:
    """A folder of checkpoints: `run` is the folder above it, which is named after the run."""

    folder: Path
    run: str
    seed: int

    @property
    def running(self) -> bool:
        """Whether a training uses it now. Trainings wait for their lock, so that asking does not refuse one."""
        return locks.is_locked(paths.resume_lock(self.folder))

    @property
    def since(self) -> datetime:
        """When the training that uses it started, which then wrote its name into the lock."""
        return datetime.fromtimestamp(paths.resume_lock(self.folder).stat().st_mtime).astimezone()

    @property
    def epochs(self) -> int:
        """Number of epochs after which the training continues."""
        found = [_EPOCH.fullmatch(path.name) for path in self.folder.iterdir()]
        return max((int(match[1]) for match in found if match), default=0)


def find_unfinished(scale: str) -> list[Unfinished]:
    """Return the folders of checkpoints of a scale."""
    found = []
    for folder in sorted((paths.RESUME / scale).glob("*/seed-*")):
        if (match := _FOLDER.fullmatch(folder.name)) and folder.is_dir() and not folder.is_symlink():
            found.append(Unfinished(folder, folder.parent.name, int(match[1])))
    return found


def folders_of(artifacts: Artifacts, training: Artifact) -> set[Path] | None:
    """Return the folders of checkpoints from which a training would continue now, on either kind of device.

    Returns:
        None where that is not known: the data are not prepared, or the weights that it starts from are missing.
    """
    run, seed, task = training.run, training.seed, training.task
    assert run is not None and seed is not None and task is not None
    weights = training.start
    if not artifacts.data(task).present or (weights and not weights.is_file()):
        return None
    digests = artifacts.digest_of_checkpoints(training), artifacts.sha256(weights) if weights else None
    devices = ("cpu", "cuda")
    return {paths.resume_folder(artifacts.scale, run.id, seed, digests[0], device, digests[1]) for device in devices}
