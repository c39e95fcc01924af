"""Runs: what is trained and evaluated once a seed, resolved from recipe, scale and the row of a table."""

from dataclasses import dataclass

from sgenet import params
from sgenet.files import InputError
from sgenet.models.names import parse_name
from sgenet.params import Settings, merge
from sgenet.tables import Row, Table, load_table

TASKS = ("classification", "detection")


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    `name` is readable and unique in its task (`sge-resnet50`, `faster-rcnn/sge-resnet50`); `settings` are final;
    `starts_from` is the classification run whose weights a detector's backbone starts from.
    """

    task: str
    name: str
    model: str
    settings: Settings
    detector: str | None = None
    starts_from: str | None = None

    @property
    def id(self) -> str:
        return f"{self.task}/{self.name}"

    @property
    def identity(self) -> Settings:
        """All in params/ that decides the run's numbers: its settings, model and what it starts from."""
        return {**self.settings, "model": self.model, "starts_from": self.starts_from}


@dataclass(frozen=True)
class Replication:
    """What params/ asks for: the pipeline's settings, the scale's, the tables, and the union of their runs by id."""

    pipeline: Settings
    scale: Settings
    tables: tuple[Table, ...]
    runs: dict[str, Run]

    @property
    def scale_name(self) -> str:
        return self.pipeline["scale"]

    @property
    def seeds(self) -> range:
        return range(self.pipeline["seeds"])

    def full_size(self) -> list[tuple[Run, Settings]]:
        """Every run with its model's settings at the paper's size: its row's over the recipe, without the scale."""
        own = {f"{table.task}/{row.run}": row.settings for table in self.tables for row in table.rows}
        recipes = {task: params.load_recipe(task) for task in TASKS}
        full = {run.id: merge(recipes[run.task], own.get(run.id, {})) for run in self.runs.values()}
        keys = ("width", "attention")  # all that counts here
        return [(run, {key: full[run.id][key] for key in keys}) for run in self.runs.values()]

    def run(self, run_id: str) -> Run:
        """The run of that id; InputError names those that exist."""
        if run_id not in self.runs:
            raise InputError(f"run: found {run_id!r}, expected one of {', '.join(sorted(self.runs))}")
        return self.runs[run_id]


def load_replication(
    scale: str | None = None, seeds: int | None = None, tables: list[str] | None = None
) -> Replication:
    """Read and check everything in params/ that the chosen tables touch; InputError in one sentence if it is bad."""
    pipeline = params.load_pipeline(scale, seeds, tables)
    scale_settings = params.load_scale(pipeline["scale"])
    chosen = tuple(load_table(name) for name in pipeline["tables"])
    _check_batches(scale_settings, pipeline["scale"])
    recipes = {task: params.load_recipe(task) for task in TASKS}
    runs: dict[str, Run] = {}
    for table in chosen:
        for index, row in enumerate(table.rows):
            place = f"params/tables/{table.id}.yaml: rows.{index}"
            try:
                new = _runs_of(table.task, row, recipes, scale_settings, pipeline["scale"], place)
            except ValueError as error:
                raise InputError(f"{place}.run: {error}") from None
            for run in new:
                if runs.setdefault(run.id, run) != run:
                    raise InputError(
                        f"{place}.run: {run.id} stands elsewhere with other settings, expected another name"
                    )
    return Replication(pipeline, scale_settings, chosen, runs)


def _runs_of(
    task: str, row: Row, recipes: dict[str, Settings], scale: Settings, scale_name: str, place: str
) -> list[Run]:
    """The run behind a row; before a detector's, the classification run that it starts from."""
    parse_name(row.model)
    recipe = dict(recipes[task])
    if task == "classification":
        if "/" in row.run:
            raise ValueError(f"found {row.run!r}, expected a name without '/'")
        settings = merge(recipe, scale[task], row.settings)
        _check(settings, row.settings, task, row.model, place)
        return [Run(task, row.run, row.model, settings)]
    own, overrides = recipe.pop("detectors"), dict(scale[task])
    scale_own = overrides.pop("detectors", {})
    known = ", ".join(own)
    for detector in scale_own.keys() - own.keys():
        path = f"params/scales/{scale_name}.yaml"
        raise InputError(f"{path}: detection.detectors: found {detector!r}, expected one of {known}")
    detector, _, last = row.run.partition("/")
    if detector not in own or not last or "/" in last:
        raise ValueError(f"found {row.run!r}, expected <detector>/<name> with one of the detectors {known}")
    settings = merge(recipe, own[detector], overrides, scale_own.get(detector, {}), row.settings)
    _check(settings, row.settings, task, row.model, place)
    start = Row(label=row.model, run=row.model, model=row.model)
    classifier = _runs_of("classification", start, recipes, scale, scale_name, place)[0]
    return [classifier, Run(task, row.run, row.model, settings, detector, classifier.id)]


def _check_batches(scale: Settings, name: str) -> None:
    batch, images = scale["classification"].get("batch_size"), scale["data"]["classification"].get("train_images")
    if batch and images and batch > images:
        path = f"params/scales/{name}.yaml"
        raise InputError(f"{path}: classification.batch_size: found {batch}, expected at most train_images {images}")


def _check(settings: Settings, own: Settings, task: str, model: str, place: str) -> None:
    path, _, at = place.partition(": ")
    params.check(own, task, path, (at, "settings"), partial=True)
    recipe = params.PARAMS / "recipes" / f"{task}.yaml"
    params.check(settings, task, recipe)
    optimizer = settings["optimizer"]
    if optimizer["type"] == "AdamW" and (unfit := optimizer.keys() & {"momentum", "nesterov"}):
        raise InputError(f"{path}: optimizer.{min(unfit)}: found with AdamW, expected with SGD alone")
    groups, channels = settings["attention"].get("sge", {}).get("groups", 64), settings["width"]
    wide = channels * (4 if parse_name(model)[1] >= 50 else 1)
    if model.startswith("sge-") and wide % groups:
        raise InputError(
            f"{path}: {at}: attention.sge.groups: found {groups}, expected a divisor of {wide}, "
            f"the channels of the first stage at width {channels}"
        )
