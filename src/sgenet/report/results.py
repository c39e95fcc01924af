"""What the runs left on disk, read and checked: metrics with their origin, predictions, histories, manifests."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sgenet import paths
from sgenet.files import InputError, read_json
from sgenet.params import Settings
from sgenet.runs import Replication

STATIC = ("params", "gflops", "macs")


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
        """Whether each validation image is right (N,), by the best epoch; `metric` is `top1` or `top5`.

        Raises:
            InputError: the predictions are missing or unreadable, or disagree with the metrics.
        """
        path = self.folder / "predictions.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                hits = file["best_top5"] == file["label"][:, None]
        except Exception as error:  # zipfile, zlib, numpy and the system each have their own
            raise InputError(f"{path}: cannot be read ({_name(error)}), expected the arrays of an evaluation") from None
        correct = hits[:, : 1 if metric == "top1" else None].any(axis=1)
        value, printed = 100 * float(correct.mean()), self.metrics[metric]
        if printed is None or abs(value - printed) > 1e-3:
            raise InputError(f"{path}: {metric} is {value:.3f}, expected {printed} as in metrics.json beside it")
        return correct

    def labels(self) -> np.ndarray:
        """The true class of each validation image (N,)."""
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as file:
            return file["label"]


@dataclass
class RunResults:
    """What one run left: the result of each seed, the seeds that are missing, and what is wrong, in a sentence."""

    id: str
    by_seed: dict[int, Result] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    problem: str | None = None

    @property
    def task(self) -> str:
        return self.id.partition("/")[0]

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed, where it was measured."""
        found = {seed: result.metrics.get(metric) for seed, result in self.by_seed.items()}
        return {seed: value for seed, value in found.items() if value is not None}


def read_results(replication: Replication) -> dict[str, RunResults]:
    """The results of every run, by its id; never raises for a bad file: the run's `problem` tells it."""
    found = {}
    for run in replication.runs.values():
        results = found[run.id] = RunResults(run.id)
        for seed in replication.seeds:
            folder = paths.evaluation(replication.scale_name, run.id, seed)
            try:
                result = _read_result(folder, run.id, replication.scale_name, seed)
            except InputError as error:
                results.problem = results.problem or str(error)
                continue
            if result:
                results.by_seed[seed] = result
            else:
                results.missing.append(seed)
    return found


def _read_result(folder: Path, run_id: str, scale: str, seed: int) -> Result | None:
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


def read_complexity(scale: str) -> tuple[dict[str, Settings], str | None]:
    """results/<scale>/complexity.json by run id, and what is wrong with it; empty when it was not made."""
    path = paths.complexity(scale)
    if not path.exists():
        return {}, None
    try:
        value = read_json(path)
        expect(value, dict, path, "the whole file")
        for run_id, entry in value.items():
            expect(entry, dict, path, run_id)
            for key in STATIC:
                if not is_number(entry.get(key), math.inf):
                    raise InputError(f"{path}: {run_id}.{key}: found {entry.get(key)!r}, expected a number above 0")
    except InputError as error:
        return {}, str(error)
    return value, None


def read_histories(replication: Replication, task: str) -> tuple[list[dict[str, str]], list[str]]:
    """The histories of a task as rows with `run` and `seed` in front (without durations), and what is wrong."""
    rows, problems = [], []
    for run_id in sorted(run.id for run in replication.runs.values() if run.task == task):
        for seed in replication.seeds:
            path = paths.training(replication.scale_name, run_id, seed) / "history.csv"
            if not path.exists():
                continue
            try:
                rows += [{"run": run_id, "seed": str(seed)} | row for row in _read_history(path)]
            except InputError as error:
                problems.append(str(error))
    return rows, problems


def _read_history(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({_name(error)}), expected a history") from None
    for number, row in enumerate(rows, 1):
        row.pop("seconds", None)
        if not {"epoch", "loss"} <= row.keys():
            raise InputError(f"{path}: found the columns {', '.join(map(str, row))}, expected epoch and loss")
        for key, text in row.items():
            try:
                finite = math.isfinite(float(text))
            except (TypeError, ValueError):
                finite = False
            if not finite:
                raise InputError(f"{path}: epoch {number}, {key}: found {text!r}, expected a finite number")
    return rows


def read_manifest(scale: str, task: str) -> tuple[Settings | None, str | None]:
    """data/<scale>/<task>.json, and what is wrong with it; None when it was not made."""
    path = paths.manifest(scale, task)
    if not path.exists():
        return None, None
    try:
        value = read_json(path)
        expect(value, dict, path, "the whole file")
        for key, kind in {"fingerprint": str, "classes": list, "splits": dict, "settings": dict}.items():
            expect(value.get(key), kind, path, key)
        for split, entry in value["splits"].items():
            expect(entry, dict, path, f"splits.{split}")
    except InputError as error:
        return None, str(error)
    return value, None


def is_number(value: Any, highest: float) -> bool:
    """Whether `value` is a finite number from 0 to `highest`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= highest and value != math.inf


def expect(value: Any, kind: type, path: Path, at: str) -> None:
    """InputError unless `value`, found in file `path` under `at`, is of that type."""
    if not isinstance(value, kind):
        raise InputError(f"{path}: {at}: found {value!r:.60}, expected {kind.__name__}")


def _name(error: Exception) -> str:
    return type(error).__name__
