"""What the rules of the workflow ask: inputs, outputs and parameters of each step of a replication."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.recipes import Classification
from sgenet.config.runs import FIGURES_RUN, Replication, Run, load_replication
from sgenet.config.tasks import Task
from sgenet.data.manifest import read_manifest
from sgenet.errors import InputError

CHOICES = ("scale", "seeds", "tables")  # that `--config` may override
_OF_RELEASED = {"width", "attention", "image_size", "resize", "mean", "std"}  # what decides the numbers of weights


def load_workflow(chosen: Mapping[str, Any]) -> "Workflow":
    """Read and check everything that the workflow runs, before any rule is evaluated.

    Args:
        chosen: of `snakemake --config`: scale, seeds, tables (a list, or names separated by commas).

    Raises:
        InputError: a parameter or a key of `--config` is invalid, or the folder's name contains a brace, which
            Snakemake would take for a wildcard.
    """
    if set("{}") & set(os.getcwd()):
        expected = "expected none: Snakemake reads text between braces as the name of a wildcard"
        raise InputError(f"{os.getcwd()}: found a brace in the folder's name, {expected}")
    for key in chosen.keys() - set(CHOICES):
        raise InputError(f"--config: unknown key {key}, expected {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    tables = chosen.get("tables")
    replication = load_replication(
        chosen.get("scale"), chosen.get("seeds"), tables.split(",") if isinstance(tables, str) else tables
    )
    load_claims(replication.tables)
    return Workflow(replication)


@dataclass(frozen=True)
class Workflow:
    """A replication as the rules see it."""

    replication: Replication

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.replication.scale_name

    @property
    def prefix(self) -> str:
        """What the shell of every step begins with: `sgenet` of this environment first on PATH, and the choices.

        The choices are no parameters of a rule, so that another number of seeds retrains nothing. Snakemake formats the
        text, so braces in the path are doubled.
        """
        binaries = shlex.quote(str(Path(sys.executable).parent)).replace("{", "{{").replace("}", "}}")
        tables = shlex.quote(" ".join(self.replication.pipeline.tables))
        return f"export PATH={binaries}:$PATH SGENET_SEEDS={len(self.replication.seeds)} SGENET_TABLES={tables}; "

    @property
    def names(self) -> str:
        """The regular expression of the runs' names."""
        return "|".join(sorted({re.escape(run.name) for run in self.replication.runs.values()}))

    @property
    def gpus(self) -> int:
        """Number of GPUs that a job on one device takes."""
        device = self.replication.scale.device
        return int(device == "cuda" or (device == "auto" and shutil.which("nvidia-smi") is not None))

    @property
    def training_threads(self) -> int:
        """Number of CPU threads of a training: those of all its processes."""
        return self.replication.scale.threads * self.replication.scale.devices

    def trainings(self, task: Task) -> list[Path]:
        """Return the training.json of every run and seed of a task."""
        return [
            paths.trained_files(self.scale, run.id, seed)["training"]
            for run in self.replication.runs.values()
            if run.task is task
            for seed in self.replication.seeds
        ]

    def evaluations(self) -> list[Path]:
        """Return the results of every evaluation: runs, released weights, activations and latencies."""
        runs, seeds = self.replication.runs, self.replication.seeds
        found = [
            path
            for run in runs.values()
            for seed in seeds
            for path in paths.evaluated_files(self.scale, run.id, seed).values()
        ]
        for run in self.replication.released():
            found += paths.released_files(self.scale, run.id).values()
        found += [paths.activations(self.scale)] if FIGURES_RUN in runs else []
        return found + ([paths.latency(self.scale)] if self.replication.timed else [])

    def settings(self, task: Task) -> Callable[[Any], str]:
        """Return a function of the wildcards: what decides a training, for Snakemake to compare."""
        return lambda wildcards: canonical(self._run(task, wildcards).identity)

    def test_settings(self, wildcards: Any) -> str:
        """Return what decides a detector's evaluation besides its weights."""
        return canonical(self._run(Task.DETECTION, wildcards).test_settings)

    def released_settings(self, wildcards: Any) -> str:
        """Return what decides the numbers of released weights: the network, and how images are prepared for it."""
        settings = self._run(Task.CLASSIFICATION, wildcards).settings
        assert isinstance(settings, Classification)
        return canonical(settings.model_dump(mode="json", include=_OF_RELEASED, exclude_none=True))

    def data_settings(self, wildcards: Any) -> str:
        """Return what decides the data. Environment variables are not expanded: an unmounted disk re-runs nothing."""
        return canonical(self.replication.scale.data.of(wildcards.task).plain())

    def area_limits(self) -> str:
        """Return the bounds of small and large objects in evaluation; of real data they change no fingerprint."""
        return canonical(getattr(self.replication.scale.data.detection, "area_limits", None))

    def networks(self, *, timed: bool = False) -> list[str]:
        """Return what decides the counts of the full-size networks, or the times of those that are timed."""
        networks = [one for one in self.replication.full_size() if not timed or not one.task.trained]
        return [canonical([one.id, one.model, one.network.plain()]) for one in networks]

    def start_of(self, wildcards: Any) -> Path:
        """Return the weights that initialize a detector's backbone: its classifier's best epoch with the same seed."""
        start = self._run(Task.DETECTION, wildcards).starts_from
        assert start is not None
        return paths.trained_files(self.scale, start, int(wildcards.seed))["best"]

    def fingerprint(self, task: Task) -> Callable[[Any], str | None]:
        """Return a function of the wildcards: the fingerprint of a task's data, whatever the time of their files."""

        def of(wildcards: Any) -> str | None:
            path = paths.manifest(self.scale, task)
            return _fingerprint_in(path, path.stat().st_mtime_ns) if path.exists() else None

        return of

    def _run(self, task: Task, wildcards: Any) -> Run:
        return self.replication.runs[f"{task}/{wildcards.name}"]


def canonical(value: Any) -> str:
    """Return settings as text that does not depend on the order of keys in a file."""
    return json.dumps(value, sort_keys=True)


def logged(command: str) -> str:
    """Return the shell command of a step whose output goes to its log, which ends with its exit status unless it is 0.

    The shell writes the status, so that the report also shows a step that was killed and could print nothing.
    """
    failed = "{{ status=$?; printf '\\nsgenet: exit status %d\\n' $status >> {log:q}; exit $status; }}"
    return f"{command} > {{log:q}} 2>&1 || {failed}"


@cache  # each job asks
def _fingerprint_in(path: Path, modified: int) -> str:
    return read_manifest(path).fingerprint
