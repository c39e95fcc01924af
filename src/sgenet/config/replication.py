"""What is replicated: the chosen tables and rows, the scale, and the runs that follow from them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import filter as matching
from functools import cached_property

from sgenet.config import params, paths, seeds
from sgenet.config.model import hint, nearest
from sgenet.config.names import attention_settings, parse_name
from sgenet.config.params import merge, merge_layers
from sgenet.config.pipeline import Pipeline
from sgenet.config.recipes import Network
from sgenet.config.runs import FIGURES_RUN, Run, check_names, collect_runs, network
from sgenet.config.scales import FigureSettings, Scale
from sgenet.config.tables import Table, load_table
from sgenet.config.tasks import TASKS, Task
from sgenet.errors import InputError

_SIMILAR = 0.7  # least similarity of a run that is suggested


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

    def seeds(self, run_id: str) -> range:
        """Return the seeds of a run, from 0; the run may be in a table that was not chosen."""
        return range(self.containing(run_id).seed_counts[run_id])

    @cached_property
    def seed_counts(self) -> dict[str, int]:
        """The number of trainings of each run."""
        return seeds.count(self.runs.values(), self.pipeline.seeds, self.scale.seeds)

    @property
    def seed_range(self) -> tuple[int, int]:
        """The number of trainings of the run that has the fewest, and of the one that has the most."""
        counts = self.seed_counts.values() or [self.pipeline.seeds]
        return min(counts), max(counts)

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
        sources = params.load_recipe(Task.CLASSIFICATION), self.scale.classification
        return [
            run
            for run in self.runs.values()
            if run.task is Task.CLASSIFICATION
            and run.name == run.model
            and network(run.model, run.settings.plain()) == network(run.model, merge_layers(None, run.model, *sources))
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
            known, _ = self.known_runs()
            raise InputError(f"run: found {run_id!r}, no such run in params/tables/; {_meant(run_id, known, errors)}")
        for other in found[1:]:
            if other.runs[run_id] != found[0].runs[run_id]:
                places = " and ".join(f"params/tables/{one.tables[0].id}.yaml" for one in (found[0], other))
                expected = "expected one of these tables in params/pipeline.yaml"
                raise InputError(f"run: {run_id} has different settings in {places}, {expected}")
        return found[0]

    def known_runs(self) -> tuple[list[str], list[str]]:
        """Return the ids of the runs of all files of params/tables/, and the errors of those files that are invalid."""
        others, errors = self._others
        return list(dict.fromkeys(id for one in (self, *others) for id in one.runs)), errors

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
    replication = _replicate(pipeline, params.load_scale(pipeline.scale), chosen)
    _check_patterns(replication)
    return replication


def _check_patterns(replication: Replication) -> None:
    """Refuse seeds in the scale for runs that no table has, which would have no effect."""
    for pattern in replication.scale.seeds:
        if matching(replication.runs, pattern):
            continue
        known, errors = replication.known_runs()
        if not matching(known, pattern):
            place = f"params/scales/{replication.scale_name}.yaml: seeds"
            meant = _meant(pattern, known, errors)
            raise InputError(f"{place}: found {pattern!r:.80}, which fits no run in params/tables/; {meant}")


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
    check_names(recipes[Task.DETECTION], detectors, "params/recipes/detection.yaml: ")
    check_names(scale.classification, [], f"{path}: classification.")
    check_names(scale.detection, detectors, f"{path}: detection.")
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


def _check_batches(scale: Scale, path: str) -> None:
    batch, images = scale.classification.get("batch_size"), scale.data.classification.train_images
    if batch and images and batch > images:
        raise InputError(f"{path}: classification.batch_size: found {batch}, expected at most train_images {images}")


def _check_figures(figures: FigureSettings, run: Run, path: str) -> None:
    place = f"{path}: figures"
    if parse_name(run.model)[0] != "sge":
        raise InputError(f"{FIGURES_RUN}: found model {run.model}, expected one with sge, whose activations are shown")
    groups, settings = (attention_settings(run.model, run.settings) or {})["groups"], run.classification
    if max(figures.groups) >= groups:
        expected = f"expected 0 to {groups - 1}, the groups of {FIGURES_RUN}"
        raise InputError(f"{place}.groups: found {max(figures.groups)}, {expected}")
    if settings.image_size <= settings.strides[figures.stage - 1]:
        found = f"found {figures.stage}, whose feature maps of {settings.image_size} px images have one position"
        raise InputError(f"{place}.stage: {found}, expected an earlier stage")
