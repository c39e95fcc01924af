"""Random validation images evaluated again with the weights of each training."""

import contextlib
import io
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sgenet.config import paths
from sgenet.config.tasks import Task
from sgenet.data.coco_fields import Detection
from sgenet.data.manifest import Manifest
from sgenet.data.splits import open_manifest
from sgenet.errors import InputError
from sgenet.evaluation.matches import Matches
from sgenet.pipeline.steps import acquire_device
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime.arrays import read_arrays
from sgenet.verification.check import Check

_SCORES = 1e-3  # between equal detections on two kinds of devices
_OTHER = 0.02  # share of images whose result may differ by rounding


def check_again(artifacts: Artifacts, images: int) -> Check:
    """Evaluate `images` random validation images of each training again, and compare what was recorded of them.

    On another kind of device, the results of 2 % of the images may differ: rounding decides between equal scores.
    """
    check, seed = Check("evaluated again"), secrets.randbits(32)
    random, done = np.random.default_rng(seed), 0
    evaluations = [artifact for artifact in artifacts.measurements() if artifact.step == "evaluate"]
    device = acquire_device(artifacts.replication)
    manifests = {task: _manifest(artifacts, task, check) for task in artifacts.replication.tasks}
    for artifact in tqdm(evaluations, desc="evaluated again", disable=None, leave=False):
        (training,) = artifact.measures
        manifest = manifests[training.task or Task.CLASSIFICATION]
        if manifest is None or not artifact.present:
            continue
        if gone := [path for path in training.weights if not path.is_file()]:
            check.unchecked.append(f"{gone[0]}: it is not here")
            continue
        count = manifest.count("val")
        chosen = sorted(random.choice(count, min(images, count), replace=False).tolist())
        compare = _classified if artifact.task is Task.CLASSIFICATION else _detected
        try:
            other = compare(artifact, manifest, chosen, training.record.parent, device)
        except InputError as error:
            check.deviations.append(str(error))
            continue
        done += 1
        if len(other) > _OTHER * len(chosen):
            shown = ", ".join(map(str, other[:10]))
            found = f"other results of {len(other)} of {len(chosen)} images with its weights, at {shown}"
            check.deviate(artifact.record.parent, found, "the recorded ones")
    check.checked = f"{images} validation images of each of {done} trainings, drawn with seed {seed}"
    return check


def _manifest(artifacts: Artifacts, task: Task, check: Check) -> Manifest | None:
    """The manifest of a task's data, if they are here."""
    try:
        paths.require(paths.data_folder(artifacts.scale, task), f"sgenet prepare {task} --scale {artifacts.scale}")
        return open_manifest(artifacts.scale, task, artifacts.replication.scale.data.of(task))
    except InputError as error:
        check.unchecked.append(f"{task}: {error}")
        return None


def _classified(artifact: Artifact, manifest: Manifest, chosen: Sequence[int], trained: Path, device: str) -> list[int]:
    """Positions of the images whose five best classes, or the best one, are others now, of best or last epoch."""
    from sgenet.classification.evaluate import predict_images

    assert artifact.run is not None
    path = artifact.record.with_name(paths.PREDICTIONS)
    weights = {"best_top5": trained / paths.BEST, "last_top5": trained / paths.LAST}
    arrays, other = read_arrays(path, list(weights), "the arrays of an evaluation"), set[int]()
    data = paths.data_folder(artifact.record.parts[1], artifact.run.task)
    for name, file in weights.items():
        if (images := len(arrays[name])) != manifest.count("val"):
            raise InputError(f"{path}: {name}: found {images} images, expected the {manifest.count('val')} of the data")
        found = predict_images(artifact.run, data, manifest, chosen, weights=file, device=device)
        pairs = zip(chosen, found.tolist(), arrays[name][chosen].tolist(), strict=True)
        other |= {at for at, now, then in pairs if now[0] != then[0] or {*now} != {*then}}
    return sorted(other)


def _detected(artifact: Artifact, manifest: Manifest, chosen: Sequence[int], trained: Path, device: str) -> list[int]:
    """Positions of the images that have other detections now: another number of a category, or other scores."""
    from sgenet.detection.evaluate import detect_images

    assert artifact.run is not None
    matches = Matches.load(artifact.record.with_name(paths.MATCHES))
    data = paths.data_folder(artifact.record.parts[1], artifact.run.task)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports that it reads the annotations
        found = detect_images(artifact.run, data, manifest, chosen, weights=trained / paths.LAST, device=device)
    names = dict(zip(manifest.category_ids or [], manifest.classes, strict=True))
    return [at for at, now in zip(chosen, found, strict=True) if not _same(matches, at, now, names)]


def _same(matches: Matches, position: int, detections: list[Detection], names: dict[int, str]) -> bool:
    of_image = matches.image == position
    for number, category in enumerate(matches.categories.tolist()):
        recorded = np.sort(matches.score[of_image & (matches.category == number)])
        scores = np.sort([one["score"] for one in detections if names[one["category_id"]] == category])[-100:]
        if len(recorded) != len(scores) or (np.abs(recorded - scores) > _SCORES).any():
            return False
    return True
