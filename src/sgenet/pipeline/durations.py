"""How long trainings and evaluations take, by those that are finished and by the last `sgenet plan`."""

from collections import defaultdict
from collections.abc import Iterator
from statistics import mean
from typing import Any

from sgenet.config import paths
from sgenet.config.runs import Run
from sgenet.errors import InputError
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import read_timing
from sgenet.runtime.files import read_json

FINISHED, PLANNED, SIMILAR = "finished runs", "sgenet plan", "similar runs"


class Durations:
    """Seconds of the trainings and evaluations of a replication."""

    def __init__(self, artifacts: Artifacts, planned_on: str | None = None) -> None:
        """Read them; a plan counts only if it was measured on the device `planned_on`, by default on any."""
        self._seconds: dict[tuple[Any, ...], list[float]] = defaultdict(list)  # of a training, per epoch
        for training in artifacts.trainings():
            assert training.run is not None and training.seed is not None
            for step, seconds in _recorded(artifacts, training):
                for kind in _kinds(training.run):
                    self._seconds[step, *kind].append(seconds)
        self._planned = _read_plan(artifacts.scale, planned_on)

    def of(self, step: str, run: Run) -> tuple[float, str] | None:
        """Return the estimated seconds of the step `train` or `evaluate` of a run, and what the estimate is from.

        Runs of the same model count before the plan, and the plan before those of other models. The seconds of a
        training are in proportion to its epochs.
        """
        epochs = run.settings.epochs if step == "train" else 1
        same, similar = (self._seconds.get((step, *kind)) for kind in _kinds(run))
        if same:
            return mean(same) * epochs, FINISHED
        if (planned := self._planned.get((step, *_kinds(run)[0]))) is not None:
            return planned * epochs, PLANNED
        return (mean(similar) * epochs, SIMILAR) if similar else None


def _kinds(run: Run) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The kind of a run, and a wider one."""
    return (run.task, run.detector, run.model), (run.task, run.detector)


def _recorded(artifacts: Artifacts, training: Artifact) -> Iterator[tuple[str, float]]:
    """Steps of a training and its evaluation that recorded their seconds; of a training, those per epoch."""
    assert training.run is not None and training.seed is not None
    evaluation = artifacts.evaluation(training.run, training.seed)
    try:
        recorded = artifacts.recorded(training) if training.present else None
        epochs = (recorded.settings or {}).get("epochs") if recorded else None
        if recorded and recorded.seconds and isinstance(epochs, int) and epochs > 0:
            yield "train", recorded.seconds / epochs
        timing = read_timing(evaluation.record.with_name(paths.TIMING))
        if timing.evaluate and timing.evaluate.seconds:
            yield "evaluate", timing.evaluate.seconds
    except InputError:  # of the file that is not readable, `stale` is the judge
        return


def _read_plan(scale: str, device: str | None) -> dict[tuple[Any, ...], float]:
    """The seconds of a step by kind of run; of a training, per epoch. Empty if there is no plan that can be read."""
    found: dict[tuple[Any, ...], float] = {}
    path = paths.plan(scale)
    try:
        plan = read_json(path) if path.exists() else {"work": []}
        if device and plan["work"] and plan["measured"]["device"] != device:
            return {}
        for row in plan["work"]:
            kind = row["task"], row["detector"], row["model"]
            if row["training_seconds"] is not None:
                found["train", *kind] = float(row["training_seconds"]) / row["epochs"]
                found["evaluate", *kind] = float(row["evaluation_seconds"])
    except (InputError, KeyError, TypeError, ValueError, ZeroDivisionError):  # of another version
        return {}
    return found


def duration_text(seconds: float) -> str:
    """Return a duration in words."""
    for size, unit in ((2 * 86400, "days"), (2 * 3600, "hours"), (120, "minutes")):
        if seconds >= size:
            return f"{seconds / (size / 2):.1f} {unit}"
    return f"{seconds:.0f} seconds"
