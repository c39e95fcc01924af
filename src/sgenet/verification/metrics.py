"""Metrics computed again from raw results: predictions, histories, matches, and detections where the data are."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from tqdm import tqdm

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest
from sgenet.data.splits import annotation_file, open_manifest, open_split
from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import AP_METRICS, METRICS, metrics_of
from sgenet.evaluation.matches import Matches
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import EvaluationRecord
from sgenet.runtime.arrays import read_arrays
from sgenet.runtime.files import read_json
from sgenet.training.resume import read_history
from sgenet.verification.check import Check

Metrics = dict[str, float | None]
MASKS = "mask_"
_EXACT = 1e-6  # percent
_OF_GPU = 0.5  # percent between the last evaluation of a training and that of its weights, whose batches differ


def check_metrics(artifacts: Artifacts) -> Check:
    """Check that each metrics.json follows from the predictions, matches and detections next to it, and its history."""
    check, of_annotations = Check("metrics"), 0
    present = [artifact for artifact in artifacts.measurements() if artifact.present]
    evaluations = [artifact for artifact in present if artifact.step == "evaluate"]
    data = _open_data(artifacts.replication, check) if evaluations else None
    labels = _open_labels(artifacts.replication, check) if evaluations else None
    for artifact in present:
        if artifact.step not in ("evaluate", "complexity"):
            check.unchecked.append(f"{artifact.record}: it is measured, and only its digest is known")
    for artifact in tqdm(evaluations, desc="metrics", disable=None, leave=False):
        try:
            record = validate(EvaluationRecord, read_json(artifact.record), artifact.record)
            if artifact.task is Task.CLASSIFICATION:
                _compare(check, artifact, record, _of_predictions(artifact, labels), _EXACT)
                of_cpu = not str(record.origin.train.device).startswith("NVIDIA")
                _compare(check, artifact, record, _of_history(artifact), _EXACT if of_cpu else _OF_GPU)
                continue
            _compare(check, artifact, record, _of_matches(artifact, record), _EXACT)
            if data and artifact.record.with_name(paths.DETECTIONS).exists():
                _compare(check, artifact, record, _of_detections(artifact, data, record), _EXACT)
                of_annotations += 1
        except InputError as error:
            check.deviations.append(str(error))
    check.checked = f"{len(evaluations)} evaluations recomputed from predictions, histories and matches"
    if of_annotations:
        check.checked += f", {of_annotations} from detections and annotations with pycocotools"
    return check


def _open_data(replication: Replication, check: Check) -> Manifest | None:
    """The manifest of the data for detection, if the annotations are here."""
    if Task.DETECTION not in replication.tasks:
        return None
    scale = replication.scale_name
    try:
        manifest = open_manifest(scale, Task.DETECTION, replication.scale.data.of(Task.DETECTION))
        if annotation_file(paths.data_folder(scale, Task.DETECTION), manifest, "val").is_file():
            return manifest
    except InputError:
        pass
    check.unchecked.append("matches against detections and annotations: the data are not here")
    return None


def _open_labels(replication: Replication, check: Check) -> np.ndarray | None:
    """The class of each validation image (N,), if the data for classification are here."""
    if Task.CLASSIFICATION not in replication.tasks:
        return None
    scale = replication.scale_name
    try:
        manifest = open_manifest(scale, Task.CLASSIFICATION, replication.scale.data.of(Task.CLASSIFICATION))
        return open_split(paths.data_folder(scale, Task.CLASSIFICATION), manifest, "val").targets
    except InputError:
        check.unchecked.append("labels in predictions against those of the data: the data are not here")
        return None


def _compare(check: Check, artifact: Artifact, record: EvaluationRecord, expected: Metrics, tolerance: float) -> None:
    for name, value in expected.items():
        found = record.metrics.get(name)
        equal = found is value if found is None or value is None else abs(found - value) <= tolerance
        if not equal:
            check.deviate(f"{artifact.record}: metrics.{name}", found, f"{value} as in the files next to it")


def _of_predictions(artifact: Artifact, labels: np.ndarray | None) -> Metrics:
    """Top-1 and Top-5 by their definition: the share of images whose label is the first, or among five, classes."""
    path, names = artifact.record.with_name(paths.PREDICTIONS), ("label", "best_top5", "last_top5")
    arrays = read_arrays(path, names, "the arrays of an evaluation")
    label, images = arrays["label"], len(arrays["label"])
    if labels is not None and not np.array_equal(label, labels):
        raise InputError(f"{path}: label: found others than in the data, expected the class of each validation image")
    found: Metrics = {"images": images}
    for name, suffix in (("best_top5", ""), ("last_top5", "_last")):
        if label.ndim != 1 or arrays[name].shape[:1] != label.shape or arrays[name].ndim != 2:
            raise InputError(f"{path}: {name}: found the shape {arrays[name].shape}, expected {images} rows")
        right = arrays[name] == label[:, None]
        found[f"top1{suffix}"] = 100 * np.count_nonzero(right[:, 0]) / max(images, 1)
        found[f"top5{suffix}"] = 100 * np.count_nonzero(right.any(axis=1)) / max(images, 1)
    return found


def _of_history(artifact: Artifact) -> Metrics:
    """What the history of the training says of its epochs: the best, the last, and the mean of the last ten."""
    (training,) = artifact.measures
    path = training.record.with_name(paths.HISTORY)
    try:
        epochs = [row["top1"] for row in read_history(path)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}), expected the Top-1 of each epoch") from None
    if not epochs:
        raise InputError(f"{path}: found no epochs, expected the Top-1 of each")
    best = epochs.index(max(epochs))
    return {
        "top1": epochs[best],
        "top1_last": epochs[-1],
        "top1_mean10": mean(epochs[-10:]) if len(epochs) >= 10 else None,
        "best_epoch": best + 1,
        "last_epoch": len(epochs),
    }


def _of_matches(artifact: Artifact, record: EvaluationRecord) -> Metrics:
    path = artifact.record.with_name(paths.MATCHES)
    boxes = Matches.load(path)
    found: Metrics = {**metrics_of(boxes), "images": len(boxes.image_ids)}
    if f"{MASKS}ap" in record.metrics:
        masks = metrics_of(Matches.load(path, MASKS))
        found |= {MASKS + name: masks[name] for name in AP_METRICS}
    return found


def _of_detections(artifact: Artifact, manifest: Manifest, record: EvaluationRecord) -> Metrics:
    """COCO's metrics by pycocotools itself, which computed none of the results."""
    path = artifact.record.with_name(paths.DETECTIONS)
    try:
        return dict(_by_pycocotools(path, manifest, record))
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        found = f"cannot be evaluated ({type(error).__name__}: {error})"
        raise InputError(f"{path}: {found:.200}, expected the detections of an evaluation") from None


def _by_pycocotools(path: Path, manifest: Manifest, record: EvaluationRecord) -> Iterator[tuple[str, float | None]]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    detections: list[dict[str, Any]] = read_json(path)
    small, large = manifest.size_limits
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotation_file(paths.data_folder(record.scale, Task.DETECTION), manifest, "val")))
        for kind, prefix in (("bbox", ""), ("segm", MASKS)):
            if prefix and f"{prefix}ap" not in record.metrics:
                continue
            names = METRICS if not prefix else tuple(AP_METRICS)
            if not detections:
                yield from ((prefix + name, 0.0) for name in names if record.metrics[prefix + name] is not None)
                continue
            of_kind = [{k: v for k, v in one.items() if not prefix or k != "bbox"} for one in detections]
            evaluation = COCOeval(truth, truth.loadRes(of_kind), kind)
            evaluation.params.areaRng = [[0, 1e10], [0, small], [small, large], [large, 1e10]]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            for name, value in zip(METRICS, evaluation.stats.tolist(), strict=True):
                if name in names:
                    yield prefix + name, None if value < 0 else 100 * value
