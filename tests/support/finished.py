"""Artifacts as steps leave them, with files that contain nothing of use: for tests of what is current."""

from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.config.tasks import TASKS
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import finished
from sgenet.runtime.files import write_json, write_text

COMMIT = "c0ffee" + 34 * "0"
SECONDS = {"train": 60.0, "evaluate": 6.0}


def finish_everything(replication: Replication) -> Artifacts:
    """Leave everything that a replication makes, all of it current."""
    artifacts = prepare(replication)
    for artifact in (*artifacts.trainings(), *artifacts.measurements()):
        finish(artifacts, artifact)
    return artifacts


def prepare(replication: Replication) -> Artifacts:
    """Leave the data of both tasks."""
    artifacts = Artifacts(replication)
    for task in TASKS:
        data, split = artifacts.data(task), {"images": 10}
        for path in data.files:
            write_text(path / "x" if not path.suffix else path, "x")
        head = {"task": task, "source": "embedded", "fingerprint": "f1", "files": [], "classes": ["a"]}
        made = {"settings": data.settings, "splits": {"train": split, "val": split}}
        write_json(data.record, {**head, **made, "identity": artifacts.identity(data).plain()})
    return artifacts


def finish_run(artifacts: Artifacts, run: Run, seed: int) -> None:
    """Leave a training and its evaluation."""
    finish(artifacts, artifacts.training(run, seed))
    finish(artifacts, artifacts.evaluation(run, seed))


def finish(artifacts: Artifacts, artifact: Artifact, **entries: Any) -> None:
    """Leave the result of a step, whose record has these entries too."""
    identity = artifacts.identity(artifact)
    for path in artifact.files:
        write_text(path, f"{artifact.command} {path.name}")
    if artifact.step == "evaluate":
        times = {step: {"seconds": seconds} for step, seconds in SECONDS.items()}
        write_json(artifact.record.with_name(paths.TIMING), times)
    record: Any = {"command": artifact.command, "settings": artifact.settings, "commit": COMMIT}
    record |= {"data": {"fingerprint": "f1"}, "identity": finished(identity, artifact).plain()}
    record |= ({"seconds": SECONDS["train"]} if artifact.step == "train" else {}) | entries
    for key in reversed(artifact.at):
        record = {key: record}
    write_json(artifact.record, record)


def save_checkpoint(folder: Path, epochs: int) -> Path:
    """Leave a checkpoint of an unfinished training; returns its path."""
    path = folder / f"epoch-{epochs:04}-{64 * '0'}.pth"
    write_text(path, 2000 * "x")
    return path
