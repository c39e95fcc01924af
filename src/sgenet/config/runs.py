"""Runs, which are trained and evaluated once per seed, resolved from the recipe, the scale and the row of a table."""

import fnmatch
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sgenet.config import params, paths, starting
from sgenet.config.model import M, hint, nearest, validate
from sgenet.config.names import DEPTHS, attention_names, attention_settings, parse_name
from sgenet.config.params import Overrides, layers, merge
from sgenet.config.pipeline import Pipeline
from sgenet.config.recipes import DETECTORS, Classification, Detection, Network, TwoStage
from sgenet.config.scales import FigureSettings, Scale
from sgenet.config.tables import Row, Table, load_table
from sgenet.config.tasks import TASKS, Task
from sgenet.errors import InputError

FIGURES_RUN = "classification/sge-resnet50"  # figures 2 to 4 show its activations, with seed 0
_SIMILAR = 0.7  # least similarity of a run that is suggested


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

        Of a file of weights only the kind is named: its content decides the training, wherever the file is.
        """
        trained = self.settings.resolved()
        trained.pop("test", None)
        if "rpn" in trained:
            trained["rpn"].pop("test_proposals")
        start = self.starts_from or starting.kind_of(self.settings.starts_from)
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


@dataclass(frozen=True)
class Replication:
    """The content of params/: settings of the pipeline and the scale, the tables, and the union of their runs by id."""

    pipeline: Pipeline
    scale: Scale
    tables: tuple[Table, ...]
    runs: dict[str, Run]

    @property
    def scale_name(self) -> str:
        """The name of the scale: a file of params/scales/, without its suffix."""
        return self.pipeline.scale

    @property
    def seeds(self) -> range:
        """The seeds of each run, from 0."""
        return range(self.pipeline.seeds)

    def full_size(self) -> list["FullSize"]:
        """Return every run's network at the paper's size: by the recipe and the row, without the scale.

        Models in tables of complexity are not trained; they are included under the task `complexity`.
        """
        own = {table.run_id(row): row.settings for table in self.tables for row in table.rows}
        recipes = {task: params.load_recipe(task) for task in TASKS}
        networks = {run.id: (run.task, run.model) for run in self.runs.values()}
        for table in self.tables:
            if not table.task.trained:
                networks |= {table.run_id(row): (table.task, row.model) for row in table.rows}
        return [
            FullSize(id, task, model, network(model, merge(recipes[task.recipe], own.get(id, {}))))
            for id, (task, model) in networks.items()
        ]

    def plain_of(self) -> dict[str, str]:
        """Return, for tables of complexity: id of a model -> id of the model that it is compared with."""
        found = {}
        for table in self.tables:
            for row in table.rows:
                if not table.task.trained and row.baseline:
                    found[table.run_id(row)] = table.run_id(table.row(row.baseline))
        return found

    def released(self) -> list[Run]:
        """Return the runs of plain models whose released weights are evaluated too, if the scale requests that."""
        if not self.scale.released:
            return []
        recipe = merge(params.load_recipe(Task.CLASSIFICATION), self.scale.classification)
        return [
            run
            for run in self.runs.values()
            if run.task is Task.CLASSIFICATION
            and run.name == run.model
            and network(run.model, run.settings.plain()) == network(run.model, recipe)
            and paths.released(run.model).is_file()
        ]

    @property
    def tasks(self) -> list[Task]:
        """The tasks that have runs, whose data are needed."""
        return [task for task in TASKS if any(run.task is task for run in self.runs.values())]

    @property
    def timed(self) -> bool:
        """Whether forward passes are timed: where a table of complexity was chosen."""
        return any(not table.task.trained for table in self.tables)

    @property
    def left_out(self) -> list[str]:
        """The tables of params/ that were not chosen."""
        return sorted({*params.names("tables")} - {table.id for table in self.tables})

    def run(self, run_id: str) -> Run:
        """Return the run with this id, as `containing` finds it."""
        return self.containing(run_id).runs[run_id]

    def containing(self, run_id: str) -> "Replication":
        """Return this replication if its tables contain a run, otherwise one of another file of params/tables/.

        Raises:
            InputError: no file contains the run, or two that were not chosen give it different settings.
        """
        if run_id in self.runs:
            return self
        others, errors = self._others
        found = [other for other in others if run_id in other.runs]
        if not found:
            known = [id for one in (self, *others) for id in one.runs]
            raise InputError(f"run: found {run_id!r}, no such run in params/tables/; {_meant(run_id, known, errors)}")
        for other in found[1:]:
            if other.runs[run_id] != found[0].runs[run_id]:
                places = " and ".join(f"params/tables/{one.tables[0].id}.yaml" for one in (found[0], other))
                expected = "expected one of these tables in params/pipeline.yaml"
                raise InputError(f"run: {run_id} has different settings in {places}, {expected}")
        return found[0]

    @cached_property
    def _others(self) -> tuple[list["Replication"], list[str]]:
        """A replication of each table that was not chosen as a whole, and the errors of those that are invalid."""
        others, errors = [], []
        for name in [*self.left_out, *(table.id for table in self.tables if table.left_out)]:
            try:
                others.append(_replicate(self.pipeline, self.scale, (load_table(name),)))
            except InputError as error:
                errors.append(str(error))
        return others, errors


@dataclass(frozen=True)
class FullSize:
    """The network of a run, or of a model in a table of complexity, at the paper's size."""

    id: str
    task: Task
    model: str
    network: Network


def load_replication(
    scale: str | None = None,
    seeds: int | None = None,
    tables: list[str] | None = None,
    code: str | None = None,
    rows: str | None = None,
) -> Replication:
    """Read and check all parameters that the chosen tables use; InputError if one is invalid.

    Arguments that are not None override params/pipeline.yaml; `rows` are labels separated by commas.
    """
    pipeline = params.load_pipeline(scale, seeds, tables, code)
    chosen = tuple(load_table(name) for name in pipeline.tables)
    known = set[str]().union(*(table.labels for table in chosen))
    if rows is not None:
        pipeline = pipeline.model_copy(update={"rows": _split_labels(rows, known)})
    if pipeline.rows:
        for label in pipeline.rows:
            if label not in known:
                place = "params/pipeline.yaml or the command line: rows"
                raise InputError(f"{place}: found {label!r}, no such row in the chosen tables; {hint(label, known)}")
        chosen = tuple(table for one in chosen if (table := one.choose(pipeline.rows)))
    return _replicate(pipeline, params.load_scale(pipeline.scale), chosen)


def _split_labels(text: str, known: Collection[str]) -> list[str]:
    """Split labels at commas, of which those of known labels do not count: of several readings, the longest labels."""
    parts, labels = text.split(","), list[str]()
    while parts:
        for end in range(len(parts), 0, -1):
            if (label := ",".join(parts[:end]).strip()) in known or end == 1:
                labels += [label] if label else []
                parts = parts[end:]
                break
    return labels


def _replicate(pipeline: Pipeline, scale: Scale, chosen: tuple[Table, ...]) -> Replication:
    path = f"params/scales/{pipeline.scale}.yaml"
    _check_batches(scale, path)
    recipes = {task: params.load_recipe(task) for task in TASKS}
    detectors = list(recipes[Task.DETECTION]["detectors"])
    _check_names(recipes[Task.DETECTION], detectors, "params/recipes/detection.yaml: ")
    _check_names(scale.detection, detectors, f"{path}: detection.")
    runs = collect_runs(chosen, recipes, {task: getattr(scale, task) for task in TASKS})
    if FIGURES_RUN in runs:
        _check_figures(scale.figures, runs[FIGURES_RUN], path)
    return Replication(pipeline, scale, chosen, runs)


def _meant(unknown: str, known: Iterable[str], errors: list[str]) -> str:
    """Return which run was probably meant, or where to look for it; and which tables could not be searched."""
    task, _, name = unknown.partition("/")
    by_name = {run_id.partition("/")[2]: run_id for run_id in known}
    if task in TASKS:  # ids of a task begin alike, so that only what follows is compared
        spellings = {other: run_id for other, run_id in by_name.items() if run_id.startswith(f"{task}/")}
        near = nearest(name, spellings, _SIMILAR)
    else:
        spellings = by_name | {run_id: run_id for run_id in known}
        near = nearest(unknown, spellings, _SIMILAR)
    meant = f"did you mean {spellings[near]}?" if near else "expected <task>/<run>, with the `run` of a row there"
    return meant + (f"; invalid tables were skipped: {'; '.join(errors)}" if errors else "")


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
    _check_names(row.settings, [], f"{place}.settings.")
    if not task.trained:
        _resolve(Classification, row, merge(recipe, row.settings), place)
        return []
    if detector is None:
        if "/" in row.run:
            raise ValueError(f"found {row.run!r}, expected a name without '/'")
        classifier = _resolve(Classification, row, merge(recipe, scale[task], row.settings), place)
        return [Run(task, row.run, row.model, classifier)]
    merged = _of_detector(detector, row.model, recipe, scale[task], row.settings)
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


def _of_detector(detector: str, model: str, *sources: Overrides) -> Overrides:
    return merge({}, *(layer for source in sources for layer in layers(source, detector, model)))


def paper_detector(detector: str, model: str) -> Detection:
    """Return the recipe's settings of a detector with a backbone such as `sge-resnet50`."""
    row, path = Row(label=model, run=f"{detector}/{model}", model=model), params.PARAMS / "recipes/detection.yaml"
    merged = _of_detector(detector, model, params.load_recipe(Task.DETECTION))
    return _resolve(DETECTORS[detector], row, merged, f"{path}: {model}")


def network(model: str, settings: Overrides) -> Network:
    """Return the settings of a model's size; of its attention module alone, as those of others have no effect."""
    return Network.model_validate({"width": settings["width"], "attention": _own_attention(model, settings)})


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
        raise InputError(f"{path}: {at}: {error}") from None
    return settings


def check_fit(model: str, settings: Classification | Detection) -> None:
    """Raise a ValueError if settings do not fit each other or the model."""
    if settings.batch_size % settings.device_batch_size:
        expected = f"expected a divisor of batch_size, {settings.batch_size} for {model}"
        raise ValueError(f"device_batch_size: found {settings.device_batch_size}, {expected}")
    starting.check_width(settings.starts_from, settings.width)
    attention_settings(model, settings)


def _check_names(settings: Overrides, detectors: list[str], place: str) -> None:
    """Refuse settings for unknown detectors and models, which would have no effect."""
    networks = [f"resnet{depth}" for depth in DEPTHS]
    networks += [f"{module}-{network}" for module in attention_names() for network in networks]
    for pattern in settings.get("models", {}):
        if not fnmatch.filter(networks, pattern):
            raise InputError(f"{place}models: found {pattern!r}, expected a model or a pattern that fits one")
    for detector, own in settings.get("detectors", {}).items():
        if detector not in detectors:
            raise InputError(f"{place}detectors.{detector}: unknown key, {hint(detector, detectors)}")
        _check_names(own, detectors, f"{place}detectors.{detector}.")


def _check_batches(scale: Scale, path: str) -> None:
    batch, images = scale.classification.get("batch_size"), scale.data.classification.train_images
    if batch and images and batch > images:
        raise InputError(f"{path}: classification.batch_size: found {batch}, expected at most train_images {images}")


def _check_figures(figures: FigureSettings, run: Run, path: str) -> None:
    place = f"{path}: figures"
    if parse_name(run.model)[0] != "sge":
        raise InputError(f"{FIGURES_RUN}: found model {run.model}, expected one with sge, whose activations are shown")
    groups, size = (attention_settings(run.model, run.settings) or {})["groups"], run.classification.image_size
    if max(figures.groups) >= groups:
        expected = f"expected 0 to {groups - 1}, the groups of {FIGURES_RUN}"
        raise InputError(f"{place}.groups: found {max(figures.groups)}, {expected}")
    if size <= 2 ** (figures.stage + 1):
        found = f"found {figures.stage}, whose feature maps of {size} px images have one position"
        raise InputError(f"{place}.stage: {found}, expected an earlier stage")
