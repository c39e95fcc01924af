"""The files that belong to no single run, read and checked: counts, times, activations, histories, manifests."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths
from sgenet.config.model import M, validate
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.data import manifest
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement.evaluations import check_head
from sgenet.pipeline.failures import Failure
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime.files import check_file, read_json

CURVES = {"classification": "top1", "detection": "loss"}  # column of a history that a learning curve shows
_MEASURE = re.compile(r"[A-Za-z][\w.]*")
_LARGEST_HISTORY = 2**24  # bytes


@dataclass(frozen=True)
class Missing:
    """Why there is no result: nothing ran, as far as none of these is given.

    `problem` is a sentence about a file that cannot be used; where the file is only `outdated`, a step makes it again.
    `failure` is the step that ended with an error, and `waits_for` the failed run whose weights the result needs.
    """

    problem: str | None = None
    outdated: bool = False
    failure: Failure | None = None
    waits_for: str | None = None


def problem_of(result: object) -> str | None:
    """What is wrong with the file of a result; None where there is a result, or no file."""
    return result.problem if isinstance(result, Missing) else None


def read_current(artifacts: Artifacts, artifact: Artifact, model: type[M]) -> M | Missing:
    """The content of an artifact's record, if it is valid and current."""
    path = artifact.record
    if not path.exists():
        return Missing()
    if why := artifacts.outdated(artifact):
        return Missing(outdated(artifact, why), outdated=True)
    try:
        return validate(model, read_json(path), path)
    except InputError as error:
        return Missing(str(error))


def read_activations(artifacts: Artifacts) -> MeasuredActivations | Missing:
    """The activations before and after SGE, where their run is among the chosen ones."""
    if FIGURES_RUN not in artifacts.replication.runs:
        return Missing()
    artifact = artifacts.activations()
    found = read_current(artifacts, artifact, MeasuredActivations)
    if isinstance(found, Missing):
        return found
    try:
        check_head(artifact.record, {"run": (found.run, FIGURES_RUN), "scale": (found.scale, artifacts.scale)})
    except InputError as error:
        return Missing(str(error))
    return found


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


def read_manifest(scale: str, task: str) -> Manifest | Missing:
    """data/<scale>/<task>.json."""
    path = paths.manifest(scale, task)
    if not path.exists():
        return Missing()
    try:
        return manifest.read_manifest(path)
    except InputError as error:
        return Missing(str(error))
