"""One evaluation as it is on disk, read and checked: metrics with their origin."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.errors import InputError
from sgenet.judgement.images import PerImage
from sgenet.provenance.results import (
    EvaluationRecord,
    Origins,
    Provenance,
    ReleasedEvaluation,
    WeightsFile,
    read_timing,
)
from sgenet.runtime.files import read_json


@dataclass(frozen=True)
class Result:
    """One evaluated training: its metrics (None: not measurable), where they come from, and their folder.

    `unlearned` is why the training did not learn; such a result is shown and not judged. `per_image` is what its
    predictions, or matches, state of single images.
    """

    seed: int
    metrics: dict[str, float | None]
    origin: Origins
    folder: Path
    unlearned: str | None = None
    per_image: PerImage = PerImage()

    @property
    def data(self) -> str:
        """Fingerprint of the data it was evaluated on."""
        return self.origin.evaluate.data.fingerprint


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
