"""The artifacts of a replication: what each step leaves, and what decides it."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sgenet.config import params, paths
from sgenet.config.recipes import Classification
from sgenet.config.replication import FullSize, Replication
from sgenet.config.runs import FIGURES_RUN, Run
from sgenet.config.tasks import Task

# What decides the numbers of released weights.
_OF_RELEASED = {"width", "attention", "max_pool", "image_size", "resize", "mean", "std"}


@dataclass(frozen=True)
class Artifact:
    """The result of one step: its files, and what decides its numbers.

    `step` is the step's name; `command` makes the artifact (in a replication that has what it reads); `record` is the
    file with its provenance, at the keys `at`, and is written last. `files` are the others; it is whole without those
    of them in `weights`, which only later steps need. `task` is the task of the data that it reads. `models` are the
    models whose attention modules decide it. `inputs` are what it reads, by name. `given` is a file of weights that it
    reads and no step makes.
    """

    step: str
    command: str
    record: Path
    settings: dict[str, Any]
    at: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    weights: tuple[Path, ...] = ()
    run: Run | None = None
    seed: int | None = None
    task: Task | None = None
    models: tuple[str, ...] = ()
    inputs: dict[str, "Artifact"] = field(default_factory=dict)
    given: Path | None = None

    @property
    def present(self) -> bool:
        """Whether there is a record."""
        return self.record.is_file()

    @property
    def measures(self) -> "tuple[Artifact, ...]":
        """The trainings whose weights it measures: one, or those of several seeds; none if it is a training itself."""
        return () if self.step == "train" else tuple(self.inputs.values())

    @property
    def reads(self) -> dict[str, Path]:
        """The files of weights that it reads, by the names under which they are recorded."""
        return {self.name_of(source, path.name): path for source in self.inputs.values() for path in source.weights}

    def name_of(self, source: "Artifact", name: str) -> str:
        """Return the name under which a file of an input is recorded: with its folder where the seeds differ."""
        return name if source.seed == self.seed else f"{source.record.parent.name}/{name}"

    @property
    def start(self) -> Path | None:
        """The weights that a training starts from: those of its classifier's best epoch, or a given file."""
        source = self.inputs.get("start")
        given = self.given if self.step == "train" else None
        return source.record.with_name(paths.BEST) if source else given


class Catalogue:
    """The artifacts of a replication."""

    def __init__(self, replication: Replication) -> None:
        self.replication = replication
        self.scale = replication.scale_name
        self._made: dict[tuple[str, str, int], Artifact] = {}

    def data(self, task: Task) -> Artifact:
        """Return the prepared data of a task."""
        manifest = paths.manifest(self.scale, task)
        return Artifact(
            step="prepare",
            command=f"sgenet prepare {task} --scale {self.scale}",
            record=manifest,
            settings=self.replication.scale.data.of(task).plain(),
            files=(manifest.with_suffix(".png"), paths.data_folder(self.scale, task)),
        )

    def training(self, run: Run, seed: int) -> Artifact:
        """Return the training of a run with a seed."""
        if known := self._made.get(("train", run.folder, seed)):
            return known
        files = paths.trained_files(self.scale, run.folder, seed)
        weights = tuple(path for path in files.values() if path.suffix == ".safetensors")
        start = {} if run.starts_from is None else {"start": self.training(self._start(run), seed)}
        made = self._made["train", run.folder, seed] = Artifact(
            step="train",
            command=self._command("train", run, seed),
            record=files["training"],
            settings=run.identity,
            files=(*weights, files["history"]),
            weights=weights,
            run=run,
            seed=seed,
            task=run.task,
            models=(run.model,),
            inputs=start,
            given=run.weights,
        )
        return made

    def evaluation(self, run: Run, seed: int) -> Artifact:
        """Return the evaluation of a run with a seed."""
        if known := self._made.get(("evaluate", run.folder, seed)):
            return known
        files = paths.evaluated_files(self.scale, run.folder, seed)
        limits = getattr(self.replication.scale.data.detection, "area_limits", None)
        of_areas = {"area_limits": list(limits)} if limits and run.task is Task.DETECTION else {}
        made = self._made["evaluate", run.folder, seed] = _measurement(
            [self.training(run, seed)],
            step="evaluate",
            command=self._command("evaluate", run, seed),
            record=files["metrics"],
            settings={**run.test_settings, **of_areas},
            files=tuple(path for name, path in files.items() if name != "metrics"),
        )
        return made

    def released(self, run: Run) -> Artifact:
        """Return the evaluation of the released weights of a run's model."""
        files = paths.released_files(self.scale, run.id)
        assert isinstance(run.settings, Classification)
        return Artifact(
            step="evaluate released",
            command=f"sgenet evaluate {run.id} --released --scale {self.scale}",
            record=files["metrics"],
            at=("origin",),
            settings=run.settings.model_dump(mode="json", include=_OF_RELEASED, exclude_none=True),
            files=(files["timing"],),
            run=run,
            task=run.task,
            models=(run.model,),
            given=paths.released(run.model),
        )

    def activations(self) -> Artifact:
        """Return the measurement of activations, of all seeds of the run; its figures are of the first."""
        run = self.replication.run(FIGURES_RUN)
        return _measurement(
            [self.training(run, seed) for seed in self.replication.seeds(FIGURES_RUN)],
            step="activations",
            command=f"{self._choices('SGENET_SEEDS')}sgenet activations --scale {self.scale}",
            record=paths.activations(self.scale),
            settings=self.replication.scale.figures.plain(),
        )

    def complexity(self) -> Artifact:
        """Return the counts of parameters and operations."""
        networks = self._networks
        return Artifact(
            step="complexity",
            command=f"{self._choices('SGENET_TABLES', 'SGENET_ROWS')}sgenet complexity --scale {self.scale}",
            record=paths.complexity(self.scale),
            at=("origin",),
            settings={"networks": {one.id: [one.model, one.network.plain()] for one in networks}},
            models=tuple(sorted({one.model for one in networks})),
        )

    def latency(self) -> Artifact:
        """Return the times of forward passes."""
        networks = [one for one in self._networks if not one.task.trained]
        how = self.replication.scale.model_dump(mode="json", include={"latency", "threads", "device"})
        timed = {one.id: [one.model, one.network.plain()] for one in networks}
        return Artifact(
            step="latency",
            command=f"{self._choices('SGENET_TABLES', 'SGENET_ROWS')}sgenet latency --scale {self.scale}",
            record=paths.latency(self.scale),
            at=("origin",),
            settings={**how, "networks": timed, "against": self.replication.plain_of()},
            models=tuple(sorted({one.model for one in networks})),
        )

    def trainings(self, task: Task | None = None) -> Iterator[Artifact]:
        """Yield the trainings of the chosen tables, of one task or of both."""
        for run in self._runs(task):
            for seed in self.replication.seeds(run.id):
                yield self.training(run, seed)

    def measurements(self) -> Iterator[Artifact]:
        """Yield everything that is measured: evaluations, released weights, activations, counts and times."""
        for run in self._runs():
            for seed in self.replication.seeds(run.id):
                yield self.evaluation(run, seed)
        yield from map(self.released, self.replication.released())
        if FIGURES_RUN in self.replication.runs:
            yield self.activations()
        yield self.complexity()
        if self.replication.timed:
            yield self.latency()

    @cached_property
    def _networks(self) -> list[FullSize]:
        """The full-size networks; the recipes are read for them once."""
        return self.replication.full_size()

    def _choices(self, *names: str) -> str:
        """The variables with which a command of no single run finds what was chosen, where that is not the default."""
        default, chosen = self._default, self.replication.pipeline.variables
        return "".join(f"{name}={shlex.quote(chosen[name])} " for name in names if chosen[name] != default[name])

    @cached_property
    def _default(self) -> dict[str, str]:
        """The variables with which a step gets what params/pipeline.yaml has; the file is read once."""
        return params.load_pipeline().variables

    def _runs(self, task: Task | None = None) -> Iterable[Run]:
        return (run for run in self.replication.runs.values() if task in (None, run.task))

    def _start(self, run: Run) -> Run:
        assert run.starts_from is not None
        return self.replication.run(run.starts_from)

    def _command(self, step: str, run: Run, seed: int) -> str:
        return shlex.join(["sgenet", step, run.id, "--scale", self.scale, "--seed", str(seed), *run.options])


def _measurement(
    trainings: list[Artifact],
    *,
    step: str,
    command: str,
    record: Path,
    settings: dict[str, Any],
    files: tuple[Path, ...] = (),
) -> Artifact:
    """Return the artifact of a step that measures the weights of trainings, which differ in their seeds only."""
    training, *others = trainings
    return Artifact(
        step=step,
        command=command,
        record=record,
        at=("origin", step),
        settings=settings,
        files=files,
        run=training.run,
        seed=training.seed,
        task=training.task,
        models=training.models,
        inputs={"training": training, **{f"training of seed {other.seed}": other for other in others}},
    )
