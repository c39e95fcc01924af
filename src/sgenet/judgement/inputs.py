"""The other files that the steps left, read and checked: counts, histories, manifests."""

import csv
import re
from pathlib import Path

from sgenet.config import paths
from sgenet.config.model import M, validate
from sgenet.config.replication import Replication
from sgenet.data import manifest
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import Complexity, Latencies
from sgenet.runtime.files import check_file, read_json

_MEASURE = re.compile(r"[A-Za-z][\w.]*")
_LARGEST_HISTORY = 2**24  # bytes


def read_counts(artifacts: Artifacts) -> tuple[Complexity | None, str | None]:
    """complexity.json, and what is wrong with it; None if it does not exist."""
    return read_current(artifacts, artifacts.complexity(), Complexity)


def read_latency(artifacts: Artifacts) -> tuple[Latencies | None, str | None]:
    """latency.json, and what is wrong with it; None if it does not exist."""
    return read_current(artifacts, artifacts.latency(), Latencies)


def read_current(artifacts: Artifacts, artifact: Artifact, model: type[M]) -> tuple[M | None, str | None]:
    """The content of an artifact's record, and what is wrong with it: it is invalid or stale; None if it is missing."""
    path = artifact.record
    if not path.exists():
        return None, None
    if why := artifacts.outdated(artifact):
        return None, outdated(artifact, why)
    try:
        return validate(model, read_json(path), path), None
    except InputError as error:
        return None, str(error)


def outdated(artifact: Artifact, why: str) -> str:
    """One sentence: why an artifact is not current, and the command that makes it again."""
    place = "" if why.startswith("results/") else f"{artifact.record}: "
    return f"{place}{why}; `{artifact.command}` makes it again"


def read_histories(replication: Replication, task: str) -> tuple[list[dict[str, str]], list[str]]:
    """The histories of a task as rows with `run` and `seed` in front (without durations), and what is wrong."""
    rows, problems = [], []
    for run_id in sorted(run.id for run in replication.runs.values() if run.task == task):
        for seed in replication.seeds(run_id):
            path = paths.training(replication.scale_name, run_id, seed) / paths.HISTORY
            if not path.exists():
                continue
            try:
                rows += [{"run": run_id, "seed": str(seed)} | row for row in _read_history(path)]
            except InputError as error:
                problems.append(str(error))
    return rows, problems


def _read_history(path: Path) -> list[dict[str, str]]:
    try:
        check_file(path, _LARGEST_HISTORY)
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}), expected a history") from None
    for number, row in enumerate(rows, 1):
        row.pop("seconds", None)
        if not {"epoch", "loss"} <= row.keys():
            raise InputError(f"{path}: found the columns {', '.join(map(str, row))}, expected epoch and loss")
        for key in row.keys() - {None}:
            if not _MEASURE.fullmatch(key):  # the curves' CSV holds it too
                raise InputError(f"{path}: found the column {key!r}, expected names such as loss_rpn_cls")
        for key, text in row.items():
            try:
                finite = abs(float(text)) < 1e300  # neither is NaN
            except (TypeError, ValueError):
                finite = False
            if not finite:
                raise InputError(f"{path}: epoch {number}, {key}: found {text!r}, expected a finite number")
    return rows


def read_manifest(scale: str, task: str) -> tuple[Manifest | None, str | None]:
    """data/<scale>/<task>.json, and what is wrong with it; None when it was not made."""
    path = paths.manifest(scale, task)
    if not path.exists():
        return None, None
    try:
        return manifest.read_manifest(path), None
    except InputError as error:
        return None, str(error)
