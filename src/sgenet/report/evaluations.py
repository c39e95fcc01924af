"""One evaluation as it lies on disk, read and checked: metrics with their origin, and predictions."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.report.inputs import check_head, expect, is_number, with_times
from sgenet.runtime.arrays import read_arrays
from sgenet.runtime.files import read_json

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
        name, classes = PROPORTIONS[metric]
        labels, predictions = self._read("label"), self._read(name)
        path, images = self.folder / paths.PREDICTIONS, self.metrics.get("images")
        if labels.ndim != 1 or predictions.ndim != 2 or len(labels) != len(predictions):
            found = f"found the shapes {labels.shape} and {predictions.shape}, expected (N,) and (N, 5)"
            raise InputError(f"{path}: label and {name}: {found}")
        if images is not None and len(labels) != images:
            raise InputError(f"{path}: found {len(labels)} images, expected {images} as in metrics.json beside it")
        correct = (predictions[:, :classes] == labels[:, None]).any(axis=1)
        value, printed = 100 * float(correct.sum()) / max(len(correct), 1), self.metrics[metric]
        if printed is None or not abs(value - printed) <= 1e-3:
            raise InputError(f"{path}: {metric} is {value:.3f}, expected {printed} as in metrics.json beside it")
        return correct

    def labels(self) -> np.ndarray:
        """The true class of each validation image (N,).

        Raises:
            InputError: the predictions are missing or unreadable.
        """
        return self._read("label")

    def _read(self, name: str) -> np.ndarray:
        path, expected = self.folder / paths.PREDICTIONS, "the arrays of an evaluation"
        array = read_arrays(path, [name], expected)[name]
        if array.dtype.kind != "i":
            raise InputError(f"{path}: {name}: found {array.dtype}, expected {expected}")
        return array


@dataclass(frozen=True)
class ReleasedResult:
    """What the authors' released weights reach: metrics, the file with its digest, where the numbers come from."""

    metrics: dict[str, float]
    weights: dict[str, str]
    origin: dict[str, Any]


def read_result(folder: Path, run_id: str, scale: str, seed: int, wanted: list[str]) -> Result | None:
    """The result of a run's seed; None where there is none.

    Args:
        folder: where its evaluation is.
        run_id: the run that metrics.json must be of.
        scale: the scale that it must be of.
        seed: the seed that it must be of.
        wanted: the metrics that it must have, or have as null.

    Raises:
        InputError: its metrics.json or timing.json cannot be used.
    """
    path = folder / paths.METRICS
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
        if number is None or is_number(number, math.inf if counted else 100) and not (counted and number % 1):
            continue
        expected = "a whole number of 0 or more" if counted else "a number from 0 to 100"
        raise InputError(f"{path}: metrics.{name}: found {number!r:.60}, expected {expected}")
    expect(origin, dict, path, "origin")
    for step in ("train", "evaluate"):
        expect(origin.get(step), dict, path, f"origin.{step}")
        expect(origin[step].get("command"), str, path, f"origin.{step}.command")
        expect(origin[step].get("data"), dict, path, f"origin.{step}.data")
        expect(origin[step]["data"].get("fingerprint"), str, path, f"origin.{step}.data.fingerprint")
    expect(origin["train"].get("settings"), dict, path, "origin.train.settings")
    expect(origin["evaluate"].get("settings", {}), dict, path, "origin.evaluate.settings")
    timed = {step: with_times(origin[step], step, folder) for step in ("train", "evaluate")}
    return Result(seed, metrics, timed, folder)


def read_released(scale: str, run_id: str) -> ReleasedResult | None:
    """What the released weights of a run's model reach; None where they were not evaluated.

    Raises:
        InputError: its metrics.json or timing.json cannot be used, or the first is of another run, scale or data.
    """
    path = paths.released_files(scale, run_id)["metrics"]
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
    return ReleasedResult(metrics, weights, with_times(origin, "evaluate", path.parent))
