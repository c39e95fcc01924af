"""`sgenet plan`: estimate the cost of a replication before it runs. `plan_text` is how it is printed."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sgenet.config import params, paths
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.config.scales import CocoData
from sgenet.data.manifest import read_manifest
from sgenet.errors import InputError
from sgenet.pipeline.disk import usage
from sgenet.provenance.identity import Artifacts

SHIPPED = {"imagenet": (1_281_167, 50_000), "coco": (118_287, 5_000)}  # images of ILSVRC 2012 and of COCO 2017
DEVICES = 8  # GPUs of a training of the paper: the official README and configs
CLASSES = {"embedded": 10, "imagenet": 1000, "coco": 80}
BOX = 110  # bytes per detection in detections.json
MASK = 330  # additional bytes with a run-length mask; in COCO's example of mask results the mean of the counts is 275


@dataclass(frozen=True)
class Cost:
    """Cost of one network on this machine, as `calibration` measures it.

    `train` and `test` are seconds per image of the run's size; `weights` and `checkpoint` (a checkpoint to continue
    from) are bytes; `images`, `height` and `width` are those of a timed step.
    """

    train: float
    test: float
    weights: int
    checkpoint: int
    images: int
    height: int
    width: int


@dataclass(frozen=True)
class Images:
    """Number of images and classes of a task, and the source of these numbers."""

    train: int
    val: int
    classes: int
    source: str


def images_of(replication: Replication) -> dict[str, Images]:
    """The images of each task that has runs; InputError if their number is not known before `sgenet prepare`."""
    return {task: _images(replication, task) for task in dict.fromkeys(run.task for run in replication.runs.values())}


def _images(replication: Replication, task: str) -> Images:
    scale, settings = replication.scale_name, replication.scale.data.of(task)
    manifest, source = paths.manifest(scale, task), settings.source
    if manifest.exists():
        data = read_manifest(manifest)
        return Images(data.count("train"), data.count("val"), len(data.classes), str(manifest))
    place = f"{params.PARAMS}/scales/{scale}.yaml: data.{task}"
    known = SHIPPED.get(source, ()) if not isinstance(settings, CocoData) or is_coco_2017(settings) else ()
    limits = [getattr(settings, f"{split}_images") for split in ("train", "val")]
    train, val = (min(filter(None, pair), default=0) for pair in zip(limits, known or (None, None), strict=True))
    if not train or not val:
        raise InputError(
            f"{place}: the number of images is not known, expected `sgenet prepare {task} --scale {scale}`"
        )
    classes = CLASSES.get(source, CLASSES["imagenet"])
    return Images(train, val, classes, place if any(limits) else f"{source} as published, not prepared yet")


def is_coco_2017(settings: CocoData) -> bool:
    """Whether the annotation files have the names of COCO 2017."""
    return all(
        split.annotations.endswith(name)
        for split, name in (
            (settings.train, "instances_train2017.json"),
            (settings.val, "instances_val2017.json"),
        )
    )


def done(replication: Replication, run: Run, seed: int) -> bool:
    """Whether a training is current."""
    artifacts = Artifacts(replication)
    return not artifacts.due(artifacts.training(run, seed))


def evaluated(replication: Replication, run: Run, seed: int) -> bool:
    """Whether a training and its evaluation are current."""
    artifacts = Artifacts(replication)
    return not artifacts.due(artifacts.evaluation(run, seed))


def remaining(replication: Replication) -> list[Run]:
    """Runs with at least one seed that is not trained and evaluated."""
    runs = replication.runs.values()
    return [run for run in runs if not all(evaluated(replication, run, seed) for seed in replication.seeds(run.id))]


def make(
    replication: Replication, images: Mapping[str, Images], costs: Mapping[str, Cost], measured: dict[str, Any]
) -> dict[str, Any]:
    """Compute the plan.

    Args:
        replication: the replication to estimate.
        images: result of `images_of`.
        costs: by run id, for the runs of `remaining`.
        measured: how the costs were measured, as returned by `calibrate`, and the `wanted` device of the scale.

    Returns:
        work (a row per kind of work), total, order, disk (bytes), images, measured; hours are for the remaining runs.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in replication.runs.values():
        groups.setdefault((run.task, run.detector, run.model, run.settings.epochs), []).append(run)
    work = [_row(replication, runs, images[runs[0].task], costs) for runs in groups.values()]
    work.sort(key=lambda row: row["task"])  # classification first; otherwise as in the tables
    fewest, most = replication.seed_range
    names = ("runs", "done", "training_hours", "evaluation_hours", "device_hours", "hours")
    return {
        "estimate": True,
        "scale": replication.scale_name,
        "tables": [table.id for table in replication.tables],
        "seeds": fewest,
        "most_seeds": most,
        "devices": replication.scale.devices,
        "nodes": replication.scale.nodes,
        "rounds": {run.task: _rounds(replication, run) for run in reversed(replication.runs.values())},
        "work": work,
        "total": {name: sum(row[name] for row in work) for name in names},
        "order": _order(work, images),
        "disk": _disk(replication, images, costs),
        "images": {task: {"train": of.train, "val": of.val, "from": of.source} for task, of in images.items()},
        "measured": measured,
    }


def _rounds(replication: Replication, run: Run) -> int:
    """How many micro-batches each device processes in a step."""
    return math.ceil(run.settings.batch_size / (run.settings.device_batch_size * replication.scale.devices))


def _row(replication: Replication, runs: list[Run], images: Images, costs: Mapping[str, Cost]) -> dict[str, Any]:
    """One kind of work: number of trainings, number of finished ones, and remaining hours."""
    first = runs[0]
    epochs = first.settings.epochs
    validated = images.val if first.task.validated else 0  # after each epoch
    training = evaluation = 0.0
    each: list[tuple[float, float]] = []  # seconds of a training and of its evaluation
    asked = finished = 0
    for run in runs:
        seeds = replication.seeds(run.id)
        trained, ready = (sum(test(replication, run, seed) for seed in seeds) for test in (done, evaluated))
        asked += len(seeds)
        finished += trained
        if ready < len(seeds):
            cost = costs[run.id]
            one = epochs * (images.train * cost.train + validated * cost.test)
            evaluated_once = len(run.task.weights) * images.val * cost.test
            each.append((one, evaluated_once))
            training += (len(seeds) - trained) * one / 3600
            evaluation += (len(seeds) - ready) * evaluated_once / 3600
    measured = [costs[run.id] for run in runs if run.id in costs]
    return {
        "task": first.task,
        "detector": first.detector,
        "model": first.model,
        "runs": asked,
        "done": finished,
        "epochs": epochs,
        "train_images": images.train,
        "seconds_per_image": sum(cost.train for cost in measured) / len(measured) if measured else None,
        "training_seconds": sum(one for one, _ in each) / len(each) if each else None,
        "evaluation_seconds": sum(one for _, one in each) / len(each) if each else None,
        "training_hours": training,
        "evaluation_hours": evaluation,
        "device_hours": training + evaluation,
        "hours": training / replication.scale.devices + evaluation,  # evaluation uses one device
    }


def _order(work: list[dict[str, Any]], images: Mapping[str, Images]) -> list[str]:
    def trainings(task: str) -> str:
        rows = [row for row in work if row["task"] == task]
        left = sum(row["runs"] - row["done"] for row in rows)
        hours = hours_text(sum(row["training_hours"] for row in rows))
        return f"{left} training{'s' * (left != 1)}, {hours} device-hours"

    order = ["prepare: " + ", ".join(f"{of.train + of.val:,} images of {task}" for task, of in images.items())]
    if "classification" in images:
        order.append(f"classification: {trainings('classification')}")
    if "detection" in images:
        order.append(f"detection: {trainings('detection')}; each starts when the classifier of its backbone is trained")
    if work:
        hours = hours_text(sum(row["evaluation_hours"] for row in work))
        order.append(f"evaluation: each run once it is trained, {hours} device-hours")
    return [*order, "report"]


def _disk(replication: Replication, images: Mapping[str, Images], costs: Mapping[str, Cost]) -> dict[str, int]:
    """Bytes that the remaining runs add, those that the scale uses now, and the free ones."""
    here = usage(replication.scale_name)
    weights = detections = 0
    for run in remaining(replication):
        missing = sum(not done(replication, run, seed) for seed in replication.seeds(run.id))
        weights += missing * len(run.task.weights) * costs[run.id].weights
        if run.detector is not None:
            size = BOX + (MASK if run.detector == "mask-rcnn" else 0)
            detections += missing * images[run.task].val * run.detection.test.max_detections * size
    return {
        "weights": weights,
        "detections": detections,
        "cache": weights + detections,
        "checkpoint": max((cost.checkpoint for cost in costs.values()), default=0),
        "used": here.used,
        "free": here.free,
    }


def hours_text(hours: float) -> str:
    """A number of hours as text."""
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2f}" if hours >= 0.01 or not hours else "< 0.01"


def to_json(plan: dict[str, Any]) -> str:
    """The plan as JSON."""
    return json.dumps(plan, indent=1, allow_nan=False)
