"""Runs, which are trained and evaluated once per seed, resolved from the recipe, the scale and the row of a table."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from sgenet.config import params, paths
from sgenet.config.names import DEPTHS, attention_names, attention_settings, parse_name
from sgenet.config.params import Settings, layers, merge
from sgenet.config.tables import Row, Table, load_table
from sgenet.errors import InputError

TASKS = ("classification", "detection")
FIGURES_RUN = "classification/sge-resnet50"  # figures 2 to 4 show its activations, with seed 0


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    `name` is readable and unique in its task (`sge-resnet50`, `faster-rcnn/sge-resnet50`); `settings` are final.
    `starts_from` is the classification run whose weights initialize the backbone of a detector.
    """

    task: str
    name: str
    model: str
    settings: Settings
    detector: str | None = None
    starts_from: str | None = None

    @property
    def id(self) -> str:
        """The id of the run: its task and its name, such as `classification/sge-resnet50`."""
        return f"{self.task}/{self.name}"

    @property
    def identity(self) -> Settings:
        """All parameters that affect the training: the settings except the test's, the model, and `starts_from`."""
        trained = {key: value for key, value in self.settings.items() if key != "test"}
        if "rpn" in trained:
            trained["rpn"] = {key: value for key, value in trained["rpn"].items() if key != "test_proposals"}
        return {**trained, "model": self.model, "starts_from": self.starts_from}

    @property
    def test_settings(self) -> Settings:
        """Settings that only the evaluation of a detector uses."""
        found = {"test": self.settings["test"]} if "test" in self.settings else {}
        proposals = self.settings.get("rpn", {}).get("test_proposals")
        return found if proposals is None else {**found, "test_proposals": proposals}


@dataclass(frozen=True)
class Replication:
    """The content of params/: settings of the pipeline and the scale, the tables, and the union of their runs by id."""

    pipeline: Settings
    scale: Settings
    tables: tuple[Table, ...]
    runs: dict[str, Run]

    @property
    def scale_name(self) -> str:
        """The name of the scale: a file of params/scales/, without its suffix."""
        return self.pipeline["scale"]

    @property
    def seeds(self) -> range:
        """The seeds of each run, from 0."""
        return range(self.pipeline["seeds"])

    def full_size(self) -> list[tuple[Run, Settings]]:
        """Return every run with its model's settings at the paper's size: the recipe and the row, without the scale.

        Models in tables of complexity are not trained; they are included as runs of the task `complexity`.
        """
        own = {table.run_id(row): row.settings for table in self.tables for row in table.rows}
        recipes = {task: params.load_recipe(task) for task in TASKS}
        recipes["complexity"] = recipes["classification"]
        bare = {
            table.run_id(row): Run(table.task, row.run, row.model, {})
            for table in self.tables
            for row in table.rows
            if table.task == "complexity"
        }
        keys = ("width", "attention")  # the only settings of a model's size
        found = []
        for run in (*self.runs.values(), *bare.values()):
            full = merge(recipes[run.task], own.get(run.id, {}))
            found.append((run, {key: full[key] for key in keys}))
        return found

    def plain_of(self) -> dict[str, str]:
        """Return, for tables of complexity: id of a model -> id of the model that it is compared with."""
        found = {}
        for table in self.tables:
            by_label = {row.label: row for row in table.rows}
            for row in table.rows:
                if table.task == "complexity" and row.baseline:
                    found[table.run_id(row)] = table.run_id(by_label[row.baseline])
        return found

    def released(self) -> list[Run]:
        """Return the runs of plain models whose released weights are evaluated too, if the scale requests that."""
        if not self.scale["released"]:
            return []
        task, keys = "classification", ("width", "attention")
        network = merge(params.load_recipe(task), self.scale[task])
        return [
            run
            for run in self.runs.values()
            if run.task == task
            and run.name == run.model
            and all(run.settings[key] == _of_model(run.model, network)[key] for key in keys)
            and paths.released(run.model).is_file()
        ]

    def run(self, run_id: str) -> Run:
        """Return the run with this id; the InputError of an unknown id lists the known ones."""
        if run_id not in self.runs:
            raise InputError(f"run: found {run_id!r}, expected one of {', '.join(sorted(self.runs))}")
        return self.runs[run_id]


def load_replication(
    scale: str | None = None, seeds: int | None = None, tables: list[str] | None = None
) -> Replication:
    """Read and check all parameters that the chosen tables use; InputError if one is invalid."""
    pipeline = params.load_pipeline(scale, seeds, tables)
    scale_settings = params.load_scale(pipeline["scale"])
    chosen = tuple(load_table(name) for name in pipeline["tables"])
    _check_batches(scale_settings, pipeline["scale"])
    recipes = {task: params.load_recipe(task) for task in TASKS}
    detectors = list(recipes["detection"]["detectors"])
    _check_names(recipes["detection"], detectors, "params/recipes/detection.yaml: ")
    _check_names(scale_settings["detection"], detectors, f"params/scales/{pipeline['scale']}.yaml: detection.")
    runs = collect_runs(chosen, recipes, scale_settings)
    if FIGURES_RUN in runs:
        _check_figures(scale_settings["figures"], runs[FIGURES_RUN], pipeline["scale"])
    return Replication(pipeline, scale_settings, chosen, runs)


def collect_runs(tables: Iterable[Table], recipes: dict[str, Settings], scale: Settings) -> dict[str, Run]:
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


def _runs_of(task: str, row: Row, recipes: dict[str, Settings], scale: Settings, place: str) -> list[Run]:
    """Return the run of a row, for a detector after the classification run it starts from; none for complexity."""
    parse_name(row.model)
    path, _, at = place.partition(": ")
    params.check_overrides(row.settings, "classification" if task == "complexity" else task, path, (at, "settings"))
    if task == "complexity":
        settings = _of_model(row.model, merge(recipes["classification"], row.settings))
        _check(settings, row.settings, "classification", row.model, place)
        return []
    recipe = dict(recipes[task])
    if task == "classification":
        if "/" in row.run:
            raise ValueError(f"found {row.run!r}, expected a name without '/'")
        settings = _of_model(row.model, merge(recipe, scale[task], row.settings))
        _check(settings, row.settings, task, row.model, place)
        return [Run(task, row.run, row.model, settings)]
    known = list(recipe["detectors"])
    detector, _, last = row.run.partition("/")
    if detector not in known or not last or "/" in last:
        raise ValueError(f"found {row.run!r}, expected <detector>/<name> with one of the detectors {', '.join(known)}")
    sources = (recipe, scale[task], row.settings)
    merged = merge({}, *(layer for source in sources for layer in layers(source, detector, row.model)))
    settings = _of_model(row.model, merged)
    _check(settings, row.settings, task, row.model, place)
    complete = {**settings, "detectors": {detector: settings}}  # the schema defines what each detector requires
    params.check(complete, task, params.PARAMS / "recipes/detection.yaml")
    start = Row(label=row.model, run=row.model, model=row.model)
    classifier = _runs_of("classification", start, recipes, scale, place)[0]
    return [classifier, Run(task, row.run, row.model, settings, detector, classifier.id)]


def _of_model(model: str, settings: Settings) -> Settings:
    """Return the settings without those of attention modules that the model does not have, which have no effect."""
    name, _ = parse_name(model)
    return {**settings, "attention": {name: settings["attention"].get(name, {})} if name else {}}


def _check_names(settings: Settings, detectors: list[str], place: str) -> None:
    """Refuse settings for unknown detectors and models, which would have no effect."""
    networks = [f"resnet{depth}" for depth in DEPTHS]
    networks += [f"{module}-{network}" for module in attention_names() for network in networks]
    for pattern in settings.get("models", {}):
        if not fnmatch.filter(networks, pattern):
            raise InputError(f"{place}models: found {pattern!r}, expected a model or a pattern that fits one")
    for detector, own in settings.get("detectors", {}).items():
        if detector not in detectors:
            raise InputError(f"{place}detectors: found {detector!r}, expected one of {', '.join(detectors)}")
        _check_names(own, detectors, f"{place}detectors.{detector}.")


def _check_batches(scale: Settings, name: str) -> None:
    batch, images = scale["classification"].get("batch_size"), scale["data"]["classification"].get("train_images")
    if batch and images and batch > images:
        path = f"params/scales/{name}.yaml"
        raise InputError(f"{path}: classification.batch_size: found {batch}, expected at most train_images {images}")


def _check_figures(figures: Settings, run: Run, name: str) -> None:
    place = f"params/scales/{name}.yaml: figures"
    if parse_name(run.model)[0] != "sge":
        raise InputError(f"{FIGURES_RUN}: found model {run.model}, expected one with sge, whose activations are shown")
    groups, size = (attention_settings(run.model, run.settings) or {})["groups"], run.settings["image_size"]
    if max(figures["groups"]) >= groups:
        expected = f"expected 0 to {groups - 1}, the groups of {FIGURES_RUN}"
        raise InputError(f"{place}.groups: found {max(figures['groups'])}, {expected}")
    if size <= 2 ** (figures["stage"] + 1):
        found = f"found {figures['stage']}, whose feature maps of {size} px images have one position"
        raise InputError(f"{place}.stage: {found}, expected an earlier stage")


def _check(settings: Settings, own: Settings, task: str, model: str, place: str) -> None:
    path, _, at = place.partition(": ")
    for module in own.get("attention", {}).keys() - settings["attention"].keys():
        raise InputError(f"{path}: {at}.settings.attention.{module}: unknown key, {model} has no such module")
    recipe = params.PARAMS / "recipes" / f"{task}.yaml"
    params.check(settings, task, recipe)
    params.check(settings["attention"], "attention", recipe, ("attention",))
    if settings["batch_size"] % settings["device_batch_size"]:
        expected = f"expected a divisor of batch_size, {settings['batch_size']} for {model}"
        raise InputError(f"{path}: {at}: device_batch_size: found {settings['device_batch_size']}, {expected}")
    optimizer = settings["optimizer"]
    if optimizer["type"] == "AdamW" and (unfit := optimizer.keys() & {"momentum", "nesterov"}):
        raise InputError(f"{path}: optimizer.{min(unfit)}: found with AdamW, expected only with SGD")
    try:
        attention_settings(model, settings)
    except ValueError as error:
        raise InputError(f"{path}: {at}: {error}") from None
