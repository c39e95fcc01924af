"""One evaluation as it lies on disk, read and checked: metrics with their origin, and predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.errors import InputError
from sgenet.provenance.results import (
    EvaluationRecord,
    Origins,
    Provenance,
    ReleasedEvaluation,
    WeightsFile,
    read_timing,
)
from sgenet.runtime.arrays import read_arrays
from sgenet.runtime.files import read_json

# Accuracies that are a share of the validation images: metric -> array of predictions, how many of its classes count.
PROPORTIONS = {"top1": ("best_top5", 1), "top5": ("best_top5", 5), "top1_last": ("last_top5", 1)}


@dataclass(frozen=True)
class Result:
    """One evaluated training: its metrics (None: not measurable), where they come from, and their folder.

    `unlearned` is why the training did not learn; such a result is shown and not judged.
    """

    seed: int
    metrics: dict[str, float | None]
    origin: Origins
    folder: Path
    unlearned: str | None = None

    @property
    def data(self) -> str:
        """Fingerprint of the data it was evaluated on."""
        return self.origin.evaluate.data.fingerprint

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
            raise InputError(f"{path}: found {len(labels)} images, expected {images} as in metrics.json")
        correct = (predictions[:, :classes] == labels[:, None]).any(axis=1)
        value, printed = 100 * float(correct.sum()) / max(len(correct), 1), self.metrics[metric]
        if printed is None or not abs(value - printed) <= 1e-3:
            raise InputError(f"{path}: {metric} is {value:.3f}, expected {printed} as in metrics.json")
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

    metrics: dict[str, float | None]
    weights: WeightsFile
    origin: Provenance


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
    value = validate(EvaluationRecord, read_json(path), path)
    check_head(path, {"run": (value.run, run_id), "scale": (value.scale, scale), "seed": (value.seed, seed)})
    for name in wanted:
        if name not in value.metrics:
            raise InputError(f"{path}: metrics.{name}: missing, expected a number or null")
    timing = read_timing(folder / paths.TIMING)
    origins = Origins(
        train=value.origin.train.with_times(timing.train), evaluate=value.origin.evaluate.with_times(timing.evaluate)
    )
    return Result(seed, value.metrics, origins, folder)


def check_head(path: Path, entries: Mapping[str, tuple[object, object]]) -> None:
    """Raise an InputError unless each entry of a result, as found, is the expected one."""
    for key, (found, expected) in entries.items():
        if found != expected:
            raise InputError(f"{path}: {key}: found {found!r}, expected {expected!r}")


def with_times(value: ReleasedEvaluation, path: Path) -> ReleasedResult:
    """What released weights reach, with the times of the timing.json next to `path`; InputError if it is unreadable."""
    timing = read_timing(path.with_name(paths.TIMING))
    return ReleasedResult(value.metrics, value.weights, value.origin.with_times(timing.evaluate))
