"""What the evaluations left on disk, read and checked: metrics with their origin, and predictions."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sgenet import paths
from sgenet.files import InputError, read_json
from sgenet.params import Settings
from sgenet.report.failures import Failure, failure_of_run, other_failures
from sgenet.report.inputs import check_head, expect, is_number, read_counts, read_latency
from sgenet.runs import FIGURES_RUN, Replication

# Accuracies that are a share of the validation images: metric -> array of predictions, how many of its classes count.
PROPORTIONS = {"top1": ("best_top5", 1), "top5": ("best_top5", 5), "top1_last": ("last_top5", 1)}


@dataclass(frozen=True)
class Result:
    """One evaluated training: its metrics (None: not measurable), where they come from, and their folder."""

    seed: int
    metrics: dict[str, float | None]
    origin: dict[str, Any]
    folder: Path

    @property
    def data(self) -> str:
        """Fingerprint of the data it was evaluated on."""
        return self.origin["evaluate"]["data"]["fingerprint"]

    def correct(self, metric: str) -> np.ndarray:
        """Whether each validation image is right (N,); `metric` is one of PROPORTIONS.

        Raises:
            InputError: the predictions are missing or unreadable, or disagree with the metrics.
        """
        path = self.folder / "predictions.npz"
        predictions, classes = PROPORTIONS[metric]
        try:
            with np.load(path, allow_pickle=False) as file:
                hits = file[predictions][:, :classes] == file["label"][:, None]
        except Exception as error:  # zipfile, zlib, numpy and the system each have their own
            raise InputError(
                f"{path}: cannot be read ({type(error).__name__}), expected the arrays of an evaluation"
            ) from None
        correct = hits.any(axis=1)
        value, printed = 100 * float(correct.mean()), self.metrics[metric]
        if printed is None or abs(value - printed) > 1e-3:
            raise InputError(f"{path}: {metric} is {value:.3f}, expected {printed} as in metrics.json beside it")
        return correct

    def labels(self) -> np.ndarray:
        """The true class of each validation image (N,)."""
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as file:
            return file["label"]


@dataclass(frozen=True)
class ReleasedResult:
    """What the authors' released weights reach: metrics, the file with its digest, where the numbers come from."""

    metrics: dict[str, float]
    weights: dict[str, str]
    origin: dict[str, Any]


@dataclass
class RunResults:
    """What one run left: the result of each seed, the seeds that are missing, and what is wrong, in a sentence.

    `failures` tells of missing seeds why they ended, `waits_for` of others the failed run that they start from.
    `released` is what the released weights of its model reach, `released_problem` what is wrong with that.
    """

    id: str
    by_seed: dict[int, Result] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    waits_for: dict[int, str] = field(default_factory=dict)
    problem: str | None = None
    released: ReleasedResult | None = None
    released_problem: str | None = None

    @property
    def task(self) -> str:
        return self.id.partition("/")[0]

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed, where it was measured."""
        found = {seed: result.metrics.get(metric) for seed, result in self.by_seed.items()}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Found:
    """All that the steps left: results by run, counts of their models by run, times, and what is wrong with them.

    `failures` are those of steps that belong to no run and seed.
    """

    runs: dict[str, RunResults]
    counts: dict[str, Settings]
    counts_problem: str | None
    latency: Settings | None = None
    latency_problem: str | None = None
    failures: tuple[Failure, ...] = ()


def count_missing(replication: Replication) -> tuple[int, int]:
    """How many results of the present trainings, counts and measurements are missing, and how many there should be."""
    scale, runs = replication.scale_name, _read_runs(replication)
    files = [paths.complexity(scale), *(paths.released_evaluation(scale, run.id) for run in replication.released())]
    if FIGURES_RUN in replication.runs:
        files.append(paths.activations(scale))
    if any(table.task == "complexity" for table in replication.tables):
        files.append(paths.latency(scale))
    missing = sum(len(run.missing) for run in runs.values()) + sum(not path.exists() for path in files)
    return missing, len(runs) * len(replication.seeds) + len(files)


def read_found(replication: Replication) -> Found:
    """Read all of it; never raises for a bad file: the `problem` of a run, or of the counts, tells it."""
    counts, problem = read_counts(replication.scale_name)
    latency, latency_problem = read_latency(replication.scale_name)
    return Found(_read_runs(replication), counts, problem, latency, latency_problem, other_failures(replication))


def _read_runs(replication: Replication) -> dict[str, RunResults]:
    found = {}
    wanted: dict[str, list[str]] = {run_id: [] for run_id in replication.runs}
    for table in replication.tables:
        for row in table.rows:
            if table.task != "complexity":
                columns = [column for column in table.columns if column.trained and row.has(column)]
                wanted[table.run_id(row)] += [column.id for column in columns]
    for run in replication.runs.values():
        results = found[run.id] = RunResults(run.id)
        for seed in replication.seeds:
            folder = paths.evaluation(replication.scale_name, run.id, seed)
            try:
                result = _read_result(folder, run.id, replication.scale_name, seed, wanted[run.id])
            except InputError as error:
                results.problem = str(error)
                results.by_seed.clear()
                break
            if result and not _is_outdated(result, replication.scale_name, run.id):
                results.by_seed[seed] = result
            else:
                results.missing.append(seed)
    _explain_missing(replication, found)
    for run in replication.released():
        try:
            found[run.id].released = _read_released(replication.scale_name, run.id)
        except InputError as error:
            found[run.id].released_problem = str(error)
    return found


def _is_outdated(result: Result, scale: str, run_id: str) -> bool:
    """Whether the run was trained again since this evaluation, or that failed."""
    path = paths.training(scale, run_id, result.seed) / "training.json"
    if not path.exists():  # where no training failed, only the evaluation was kept
        return failure_of_run(scale, run_id, result.seed) is not None
    try:
        return read_json(path) != result.origin["train"]
    except InputError:
        return False


def _explain_missing(replication: Replication, found: dict[str, RunResults]) -> None:
    """Fill in which missing seeds failed, and which wait for a run that did.

    A detector's result from before its classifier was trained again is none of the present replication.
    """
    scale = replication.scale_name
    for results in found.values():
        failures = {seed: failure_of_run(scale, results.id, seed) for seed in results.missing}
        results.failures = {seed: failure for seed, failure in failures.items() if failure}
    for run in replication.runs.values():
        if run.starts_from is None:
            continue
        results = found[run.id]
        for seed, failure in found[run.starts_from].failures.items():
            if failure.step == "training":
                results.waits_for[seed] = run.starts_from
                results.missing = sorted({*results.missing, seed})
                results.by_seed.pop(seed, None)
                results.failures.pop(seed, None)


def _read_released(scale: str, run_id: str) -> ReleasedResult | None:
    path = paths.released_evaluation(scale, run_id)
    if not path.exists():
        return None
    value = read_json(path)
    expect(value, dict, path, "the whole file")
    for key, kind in {"metrics": dict, "weights": dict, "origin": dict}.items():
        expect(value.get(key), kind, path, key)
    metrics, weights, origin = value["metrics"], value["weights"], value["origin"]
    for name in ("top1", "top5"):
        if not is_number(metrics.get(name), 100):
            raise InputError(f"{path}: metrics.{name}: found {metrics.get(name)!r}, expected a number from 0 to 100")
    for name in ("path", "sha256"):
        expect(weights.get(name), str, path, f"weights.{name}")
    expect(origin.get("command"), str, path, "origin.command")
    expect(origin.get("data"), dict, path, "origin.data")
    expect(origin["data"].get("fingerprint"), str, path, "origin.data.fingerprint")
    check_head(value, run_id, scale, origin["data"]["fingerprint"], path)
    return ReleasedResult(metrics, weights, origin)


def _read_result(folder: Path, run_id: str, scale: str, seed: int, wanted: list[str]) -> Result | None:
    path = folder / "metrics.json"
    if not path.exists():
        return None
    value = read_json(path)
    expect(value, dict, path, "the whole file")
    for key, expected in {"run": run_id, "scale": scale, "seed": seed}.items():
        if value.get(key) != expected:
            raise InputError(f"{path}: {key}: found {value.get(key)!r}, expected {expected!r}")
    metrics, origin = value.get("metrics"), value.get("origin")
    expect(metrics, dict, path, "metrics")
    for name in wanted:
        if name not in metrics:
            raise InputError(f"{path}: metrics.{name}: missing, expected a number or null")
    for name, number in metrics.items():
        counted = name == "images" or name.endswith("_epoch")
        if number is not None and not is_number(number, math.inf if counted else 100):
            raise InputError(f"{path}: metrics.{name}: found {number!r}, expected a number from 0 to 100")
    expect(origin, dict, path, "origin")
    for step in ("train", "evaluate"):
        expect(origin.get(step), dict, path, f"origin.{step}")
        expect(origin[step].get("command"), str, path, f"origin.{step}.command")
        expect(origin[step].get("data"), dict, path, f"origin.{step}.data")
        expect(origin[step]["data"].get("fingerprint"), str, path, f"origin.{step}.data.fingerprint")
    expect(origin["train"].get("settings"), dict, path, "origin.train.settings")
    return Result(seed, metrics, origin, folder)
