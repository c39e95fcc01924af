"""Trainings that leave the band of the other seeds of their run, for `sgenet status`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths
from sgenet.config.runs import Run
from sgenet.evaluation.trainings import FEWEST_SEEDS, prediction_interval
from sgenet.pipeline.learning import read_epochs, sizes
from sgenet.pipeline.unfinished import Unfinished, folders_of
from sgenet.provenance.identity import Artifacts

CONFIDENCE = 0.999  # of the band: where seeds vary normally, one of a thousand comparisons is a false warning
_SMALLEST = 0.001  # standard deviation of a loss, relative to its mean; that of a Top-1 is one image

AllUnfinished = Mapping[tuple[str, int], list[Unfinished]]  # by name of the run's folder, and seed


@dataclass(frozen=True)
class Outside:
    """A seed whose latest value is outside the band from `low` to `high` of `others` other seeds at this epoch."""

    seed: int
    epoch: int
    value: float
    low: float
    high: float
    others: int


@dataclass(frozen=True)
class Outlier(Outside):
    """A training that is outside the band of the other seeds of its run; `read` is the log or history to look at."""

    run: str
    epochs: int
    metric: str
    confidence: float
    read: str


def find_outliers(
    artifacts: Artifacts, unfinished: AllUnfinished, unlearned: Collection[tuple[str, int]]
) -> Iterator[Outlier]:
    """Yield the trainings, running or finished, whose latest epoch is outside the band of the other seeds.

    The metric is the Top-1 of the validation or, for detectors, which are not validated each epoch, the training loss.
    Only histories of the present settings and data are compared.

    Args:
        artifacts: of the replication.
        unfinished: folders of checkpoints.
        unlearned: runs and seeds that did not learn. They are reported as such, and not compared.
    """
    for run in artifacts.replication.runs.values():
        seeds = artifacts.replication.seeds(run.id)
        if len(seeds) <= FEWEST_SEEDS:
            continue
        metric = "top1" if run.task.validated else "loss"
        histories: dict[int, Path] = {}
        curves: dict[int, list[float]] = {}
        for seed in seeds:
            for path in _histories(artifacts, run, seed, unfinished) if (run.id, seed) not in unlearned else ():
                curve = read_epochs(path, metric)
                if len(curve) > len(curves.get(seed, [])):
                    histories[seed], curves[seed] = path, curve
        images = sizes(paths.manifest(artifacts.scale, run.task))[1] if run.task.validated else None
        for one in compare(curves, images):
            log = paths.run_log(artifacts.scale, "train", run.id, one.seed)
            read = str(log if log.is_file() else histories[one.seed])
            yield Outlier(**vars(one), run=run.id, epochs=run.settings.epochs, metric=metric,
                          confidence=CONFIDENCE, read=read)  # fmt: skip


def compare(curves: Mapping[int, Sequence[float]], images: int | None = None) -> Iterator[Outside]:
    """Yield the seeds of a run whose latest value is outside the prediction interval of the others at the same epoch.

    Args:
        curves: by seed, a value per epoch: Top-1 in percent, or losses.
        images: of the validation whose Top-1 the curves are; None for losses.
    """
    for seed, curve in curves.items():
        epoch = len(curve)
        others = [other[epoch - 1] for one, other in curves.items() if one != seed and len(other) >= epoch]
        if not epoch or len(others) < FEWEST_SEEDS:
            continue
        floor = 100 / images if images else _SMALLEST * abs(sum(others) / len(others))
        band = prediction_interval(others, CONFIDENCE, floor)
        if band and not band[0] <= curve[-1] <= band[1]:
            low, high = max(0.0, band[0]), min(100.0, band[1]) if images else band[1]
            yield Outside(seed, epoch, curve[-1], low, high, len(others))


def _histories(artifacts: Artifacts, run: Run, seed: int, unfinished: AllUnfinished) -> Iterator[Path]:
    """The histories of a training with the present settings and data: of its result, or next to its checkpoints."""
    training, own = artifacts.training(run, seed), unfinished.get((paths.resume_name(run.id), seed))
    if not artifacts.stale(training):
        yield paths.training(artifacts.scale, run.folder, seed) / paths.HISTORY
    elif own:
        belonging = folders_of(artifacts, training) or set()
        yield from (one.folder / paths.HISTORY for one in own if one.folder in belonging)
