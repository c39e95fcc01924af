"""Runs, which are trained and evaluated once per seed, resolved from the recipe, the scale and the row of a table."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgenet.config import params, paths, starting
from sgenet.config.model import M, hint, validate
from sgenet.config.names import DEPTHS, attention_names, attention_settings, parse_name
from sgenet.config.params import Overrides, merge_layers
from sgenet.config.recipes import DETECTORS, Classification, Detection, Network, TwoStage
from sgenet.config.tables import Row, Table
from sgenet.config.tasks import Task
from sgenet.errors import InputError

# Figures 2 to 4 show its activations, of seed 0; their statistics are of all seeds.
FIGURES_RUN = "classification/sge-resnet50"


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    `name` is readable and unique in its task (`sge-resnet50`, `faster-rcnn/sge-resnet50`); `settings` are final.
    `starts_from` is the classification run whose weights initialize the backbone of a detector, unless its settings
    name another start. `tried` are the options of a try: a run whose settings the command line changed, and whose
    results are kept apart.
    """

    task: Task
    name: str
    model: str
    settings: Classification | Detection
    detector: str | None = None
    starts_from: str | None = None
    tried: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The id of the run: its task and its name, such as `classification/sge-resnet50`."""
        return f"{self.task}/{self.name}"

    @property
    def folder(self) -> str:
        """The folder of its results: the id; of a try, a folder of its own."""
        return paths.try_folder(self.id, self.tried) if self.tried else self.id

    @property
    def options(self) -> list[str]:
        """The options of `sgenet` that make it a try; none for the run of a table."""
        return [part for text in self.tried for part in ("--set", text)]

    @property
    def classification(self) -> Classification:
        """The settings of a classifier."""
        assert isinstance(self.settings, Classification), self.id
        return self.settings

    @property
    def detection(self) -> Detection:
        """The settings of a detector."""
        assert isinstance(self.settings, Detection), self.id
        return self.settings

    @property
    def identity(self) -> dict[str, Any]:
        """All parameters that affect the training: the settings except the test's, the model, and `starts_from`.

        A file of weights is not named: its content decides the training, wherever the file is.
        """
        trained = self.settings.resolved()
        trained.pop("test", None)
        if "rpn" in trained:
            trained["rpn"].pop("test_proposals")
        start = self.starts_from or (starting.FILE if starting.kind_of(self.settings.starts_from) else None)
        return {**trained, "model": self.model, "starts_from": start}

    @property
    def weights(self) -> Path | None:
        """The file of weights that the training starts from, which may be missing; None where it is no file."""
        return starting.weights_file(self.settings.starts_from, self.model)

    @property
    def missing_weights(self) -> str | None:
        """One sentence if the file of weights that the training starts from is missing; None otherwise."""
        return starting.missing_file(self.settings.starts_from, self.model)

    @property
    def test_settings(self) -> dict[str, Any]:
        """Settings that only the evaluation of a detector uses."""
        if not isinstance(self.settings, Detection):
            return {}
        found: dict[str, Any] = {"test": self.settings.test.plain()}
        return found | (
            {"test_proposals": self.settings.rpn.test_proposals} if isinstance(self.settings, TwoStage) else {}
        )


def collect_runs(
    tables: Iterable[Table], recipes: dict[Task, Overrides], scale: dict[Task, Overrides]
) -> dict[str, Run]:
    """Return the union of the tables' runs by id.

    Args:
        tables: whose rows name the runs.
        recipes: of both tasks.
        scale: by task, settings that override the recipe; empty settings give the paper's.

    Raises:
        InputError: a row is invalid, or two rows give one run different settings.
    """
    runs: dict[str, Run] = {}
    for table in tables:
        for index, row in enumerate(table.rows):
            place = f"params/tables/{table.id}.yaml: rows.{index}"
            try:
                new = _runs_of(table.task, row, recipes, scale, place)
            except ValueError as error:
                raise InputError(f"{place}.run: {error}") from None
            for run in new:
                if runs.setdefault(run.id, run) != run:
                    raise InputError(f"{place}.run: {run.id} has other settings in another row, expected another name")
    return runs


def _runs_of(
    task: Task, row: Row, recipes: dict[Task, Overrides], scale: dict[Task, Overrides], place: str
) -> list[Run]:
    """Return the run of a row, for a detector after the classification run it starts from; none for complexity."""
    parse_name(row.model)
    path, _, at = place.partition(": ")
    recipe = recipes[task.recipe]
    detector = _detector_of(row, list(recipe["detectors"])) if task is Task.DETECTION else None
    params.check_overrides(row.settings, task.recipe, path, (at, "settings"), detector)
    check_names(row.settings, [], f"{place}.settings.")
    if not task.trained:
        _resolve(Classification, row, merge_layers(None, row.model, recipe, row.settings), place)
        return []
    if detector is None:
        if "/" in row.run:
            raise ValueError(f"found {row.run!r}, expected a name without '/'")
        merged = merge_layers(None, row.model, recipe, scale[task], row.settings)
        classifier = _resolve(Classification, row, merged, place)
        return [Run(task, row.run, row.model, classifier)]
    merged = merge_layers(detector, row.model, recipe, scale[task], row.settings)
    settings = _resolve(DETECTORS[detector], row, merged, place)
    source = starting.classifier_of(settings.starts_from, row.model)
    run = Run(task, row.run, row.model, settings, detector, source)
    start = Row(label=row.model, run=row.model)
    return [*(_runs_of(Task.CLASSIFICATION, start, recipes, scale, place) if source else []), run]


def _detector_of(row: Row, known: list[str]) -> str:
    detector, _, last = row.run.partition("/")
    if detector not in known or not last or "/" in last:
        raise ValueError(f"found {row.run!r}, expected <detector>/<name> with one of the detectors {', '.join(known)}")
    return detector


def paper_detector(detector: str, model: str) -> Detection:
    """Return the recipe's settings of a detector with a backbone such as `sge-resnet50`."""
    row, path = Row(label=model, run=f"{detector}/{model}", model=model), params.PARAMS / "recipes/detection.yaml"
    merged = merge_layers(detector, model, params.load_recipe(Task.DETECTION))
    return _resolve(DETECTORS[detector], row, merged, f"{path}: {model}")


def network(model: str, settings: Overrides) -> Network:
    """Return the settings of a model's size; of its attention module alone, as those of others have no effect."""
    kept = {key: settings[key] for key in ("width", "max_pool") if key in settings}
    return Network.model_validate({**kept, "attention": _own_attention(model, settings)})


def _own_attention(model: str, settings: Overrides) -> dict[str, Any]:
    name, _ = parse_name(model)
    return {name: settings["attention"].get(name, {})} if name else {}


def _resolve(kind: type[M], row: Row, merged: Overrides, place: str) -> M:
    """Return the final settings of a row; InputError if they do not fit together."""
    path, _, at = place.partition(": ")
    attention = _own_attention(row.model, merged)
    for module in row.settings.get("attention", {}).keys() - attention.keys():
        raise InputError(f"{path}: {at}.settings.attention.{module}: unknown key, {row.model} has no such module")
    settings = validate(kind, {**merged, "attention": attention}, f"{place}, with recipe and scale")
    assert isinstance(settings, Classification | Detection)
    try:
        check_fit(row.model, settings)
    except ValueError as error:
        raise InputError(f"{path}: {at}, with recipe and scale: {error}") from None
    return settings


def check_fit(model: str, settings: Classification | Detection) -> None:
    """Raise a ValueError if settings do not fit each other or the model."""
    if settings.batch_size % settings.device_batch_size:
        expected = f"expected a divisor of batch_size, {settings.batch_size} for {model}"
        raise ValueError(f"device_batch_size: found {settings.device_batch_size}, {expected}")
    starting.check_width(settings.starts_from, settings.width)
    attention_settings(model, settings)


def check_names(settings: Overrides, detectors: list[str], place: str) -> None:
    """Refuse settings for unknown detectors and models, which would have no effect."""
    networks = [f"resnet{depth}" for depth in DEPTHS]
    networks += [f"{module}-{network}" for module in attention_names() for network in networks]
    for pattern in settings.get("models", {}):
        if not fnmatch.filter(networks, pattern):
            raise InputError(f"{place}models: found {pattern!r}, expected a model or a pattern that fits one")
    for detector, own in settings.get("detectors", {}).items():
        if detector not in detectors:
            raise InputError(f"{place}detectors.{detector}: unknown key, {hint(detector, detectors)}")
        check_names(own, detectors, f"{place}detectors.{detector}.")
