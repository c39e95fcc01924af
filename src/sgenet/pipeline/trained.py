"""A training, found by its weights: the run, its settings and its classes, as training.json states them."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.recipes import DETECTORS, Classification, Detection, TwoStage
from sgenet.config.replication import load_replication
from sgenet.config.runs import Run, paper_detector
from sgenet.config.tasks import TASKS, Task
from sgenet.config.tries import change
from sgenet.data.manifest import Manifest, read_manifest
from sgenet.errors import InputError
from sgenet.provenance.results import TrainingRecord, read_training

_OF_RUN = ("model", "starts_from")  # recorded with the settings


@dataclass(frozen=True)
class Trained:
    """The run of a training, and its classes in the order of the network's outputs, with COCO's ids."""

    run: Run
    classes: list[str]
    category_ids: list[int]

    @property
    def manifest(self) -> Manifest:
        """A manifest with these classes and without images."""
        return Manifest.of_classes(self.classes).model_copy(update={"category_ids": self.category_ids})


def read_trained(weights: Path) -> Trained:
    """Read the training of a file of weights from the training.json in its folder.

    Raises:
        InputError: there is no such file, or it does not state a run, settings and classes.
    """
    path = weights.with_name(paths.TRAINING)
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise InputError(f"{weights}: expected a file of weights, such as last.safetensors in a folder of results/")
    if not path.is_file():
        expected = f"expected {paths.LAST} or {paths.BEST} in the folder of a training"
        raise InputError(f"{weights}: found no {paths.TRAINING} in its folder, {expected}")
    record = read_training(path)
    words = shlex.split(record.command)
    run_id, scale, tried = _parts(words)
    task, _, name = run_id.partition("/")
    if task not in TASKS or not name or scale is None:
        raise InputError(f"{path}: command: found {record.command!r:.80}, expected `sgenet train RUN --scale SCALE`")
    classes, ids = _classes(record, scale, task, path)
    model = record.settings.get("model")
    if not isinstance(model, str):
        raise InputError(f"{path}: settings.model: found {model!r:.60}, expected the name of a model")
    settings = {key: value for key, value in record.settings.items() if key not in _OF_RUN}
    if task == Task.CLASSIFICATION:
        run = Run(Task.CLASSIFICATION, name, model, _settings(Classification, settings, path))
    else:
        detector = name.partition("/")[0]
        if detector not in DETECTORS:
            raise InputError(f"{path}: command: found detector {detector!r}, expected one of {', '.join(DETECTORS)}")
        _add_test(settings, _asked(scale, run_id, tried) or paper_detector(detector, model))
        run = Run(Task.DETECTION, name, model, _settings(DETECTORS[detector], settings, path), detector)
    return Trained(run, classes, ids)


def _parts(words: list[str]) -> tuple[str, str | None, list[str]]:
    """The run, the scale and the settings of --set of a command of `sgenet train`."""
    if words[:2] != ["sgenet", "train"] or len(words) < 3:
        return "", None, []
    options = list(zip(words[3::2], words[4::2], strict=False))
    scale = next((value for key, value in options if key == "--scale"), None)
    return words[2], scale, [value for key, value in options if key == "--set"]


def _settings(kind: type[Any], settings: dict[str, Any], path: Path) -> Any:
    known = {key: value for key, value in settings.items() if key in kind.model_fields}
    return validate(kind, known, path, ["settings"])


def _asked(scale: str, run_id: str, tried: list[str]) -> Detection | None:
    """The settings that params/ has for a run now; None if it has none. Those of the test are not recorded."""
    with suppress(InputError):
        return change(load_replication(scale).run(run_id), tried).detection
    return None


def _add_test(settings: dict[str, Any], asked: Detection) -> None:
    """Add the settings that only the evaluation of a detector uses."""
    settings["test"] = asked.test.plain()
    if isinstance(asked, TwoStage) and isinstance(settings.get("rpn"), dict):
        settings["rpn"] = settings["rpn"] | {"test_proposals": asked.rpn.test_proposals}


def _classes(record: TrainingRecord, scale: str, task: str, path: Path) -> tuple[list[str], list[int]]:
    """The classes and their ids; for trainings of version 0.1, those of the same data where they are prepared."""
    if record.classes:
        return record.classes, record.category_ids or []
    manifest = paths.manifest(scale, task)
    prepared = read_manifest(manifest) if manifest.is_file() else None
    if prepared is None or prepared.fingerprint != record.data.fingerprint:
        expected = f"expected them there, or {manifest} of the data that it was trained on"
        raise InputError(f"{path}: classes: missing, {expected}")
    return prepared.classes, prepared.category_ids or []
