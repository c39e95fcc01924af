"""Whether a training learned anything: the one place that decides it, for the log, `sgenet status` and the report."""

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.data.manifest import read_manifest
from sgenet.errors import InputError
from sgenet.evaluation.statistics import wilson
from sgenet.provenance.results import EvaluationRecord
from sgenet.runtime.files import read_json

_NO_AP = 0.05  # percent, which tables print as 0.0


def did_not_learn(replication: Replication, run: Run, seed: int) -> str | None:
    """Return why the training of a run with a seed did not learn, in words; None where nothing shows that.

    It reads the history, the metrics of the evaluation and the number of classes. What is missing, or cannot be read,
    shows nothing.
    """
    scale = replication.scale_name
    folder, manifest = paths.training(scale, run.folder, seed), paths.manifest(scale, run.task)
    metrics: Mapping[str, float | None] = {}
    with suppress(InputError, OSError):
        path = paths.evaluation(scale, run.folder, seed) / paths.METRICS
        metrics = validate(EvaluationRecord, read_json(path), path).metrics
    classes, _ = sizes(manifest)
    losses = read_epochs(folder / paths.HISTORY, "loss")
    return judge(losses, metrics, classes, replication.pipeline.report.confidence)


def judge(
    losses: Sequence[float], metrics: Mapping[str, float | None], classes: int | None, confidence: float
) -> str | None:
    """Return why a training did not learn, in words; None where nothing shows that.

    Args:
        losses: of the epochs.
        metrics: of the evaluation, in percent; empty before it.
        classes: of the data, if known: the Top-1 of chance is 1 / classes.
        confidence: of the interval of Top-1.
    """
    found = []
    top1, images = metrics.get("top1"), metrics.get("images")
    if top1 is not None and images and classes and classes > 1:
        chance = 100 / classes
        low, high = wilson(round(top1 * images / 100), int(images), confidence)
        if low <= chance:
            interval = f"{100 * confidence:g} % interval {low:.2f} to {high:.2f}"
            found.append(f"Top-1 {top1:.2f} % ({interval}) is not above chance, {chance:.2f} % for {classes:,} classes")
    for name, label in (("ap", "AP"), ("mask_ap", "mask AP")):
        if (value := metrics.get(name)) is not None and value < _NO_AP:
            found.append(f"{label} is {value:.1f}")
    if len(losses) > 1 and losses[-1] > losses[0]:
        found.append(
            f"the training loss of the last epoch, {losses[-1]:.4g}, is above that of the first, {losses[0]:.4g}"
        )
    return "; ".join(found) or None


def read_epochs(history: Path, column: str) -> list[float]:
    """Return a column of a history, a value per epoch; nothing where it is missing or cannot be read."""
    try:
        with open(history, newline="", encoding="utf-8") as file:
            values = [float(row[column]) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return []
    return values if all(map(math.isfinite, values)) else []


def sizes(manifest: Path) -> tuple[int | None, int | None]:
    """Return the numbers of classes and of validation images in a manifest; None where it cannot be read."""
    try:
        return _sizes(manifest, manifest.stat().st_mtime_ns)
    except OSError:
        return None, None


@cache
def _sizes(path: Path, _changed: int) -> tuple[int | None, int | None]:
    """The sizes in a manifest; `_changed` is its time, so that another one is read again."""
    with suppress(InputError):
        manifest = read_manifest(path)
        return len(manifest.classes), manifest.splits["val"].images
    return None, None
