"""`sgenet status`: what is done, stale, missing, failed or running, what that costs, and the command that makes it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.config.tables import Row
from sgenet.errors import InputError
from sgenet.pipeline.disk import Disk, usage
from sgenet.pipeline.durations import Durations
from sgenet.pipeline.failures import Failure, failure_of_run, read_failure, single_steps
from sgenet.pipeline.learning import did_not_learn
from sgenet.pipeline.outliers import Outlier, find_outliers
from sgenet.pipeline.unfinished import Unfinished, find_unfinished, folders_of
from sgenet.pipeline.workflow import command_line
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import MISSING, Artifacts
from sgenet.runtime.files import to_json


class State(StrEnum):
    """State of a result. The state of a row is the first of these that a seed has."""

    RUNNING = "running"
    FAILED = "failed"
    STALE = "stale"
    MISSING = "missing"
    DONE = "done"


@dataclass(frozen=True)
class Item:
    """State of a training and its evaluation, or of a single result.

    `reason` is why it is not done, `unlearned` why a training that is done did not learn.
    """

    name: str
    state: State
    seed: int | None = None
    reason: str | None = None
    since: str | None = None
    log: str | None = None
    unlearned: str | None = None


@dataclass(frozen=True)
class RowState:
    """State of a row over the seeds of its run: `done` of them are done."""

    label: str
    run: str
    state: State
    done: int


@dataclass(frozen=True)
class TableState:
    """State of the rows of a table."""

    table: str
    rows: list[RowState]


@dataclass(frozen=True)
class EarlierCode:
    """Results that other code made than the present one: their number, changed files, the command that remakes them."""

    results: int
    files: list[str]
    command: str


@dataclass(frozen=True)
class TimeLeft:
    """Estimated seconds of what is not done, one after another, without `unknown` steps; and what that is from."""

    seconds: float
    steps: int
    unknown: int
    sources: list[str]


@dataclass(frozen=True)
class Status:
    """Content of the screen, and of the JSON.

    `seeds` is the number of trainings of the run that has the fewest. `runs` has the state of each seed by run, also of
    classifiers that are in no row; `singles` are the other results. `outliers` are trainings outside the band of the
    other seeds of their run.
    `due` of both are not done, and `command` makes them.
    """

    scale: str
    seeds: int
    tables: list[TableState]
    runs: dict[str, list[Item]]
    singles: list[Item]
    outliers: list[Outlier]
    earlier_code: EarlierCode
    time_left: TimeLeft
    disk: Disk
    commits: dict[str, int]
    due: int
    command: str

    def to_json(self) -> str:
        """Return it as JSON."""
        return to_json(asdict(self))


def survey(replication: Replication) -> Status:
    """Return the state of a replication; nothing is changed."""
    return _Survey(replication).make()


class _Survey:
    """What is asked several times while the state of a replication is determined."""

    def __init__(self, replication: Replication) -> None:
        self.replication = replication
        self.artifacts = Artifacts(replication)
        self.unfinished: dict[tuple[str, int], list[Unfinished]] = defaultdict(list)
        for one in find_unfinished(replication.scale_name):
            self.unfinished[one.run, one.seed].append(one)
        self.items = {
            run.id: [self._item(run, seed) for seed in replication.seeds(run.id)] for run in replication.runs.values()
        }

    def make(self) -> Status:
        replication, artifacts = self.replication, self.artifacts
        singles = list(self._singles())
        other_code = artifacts.made_by_other_code()
        files = sorted({file for changed in other_code.values() for file in changed})
        items = [*singles, *(item for seeds in self.items.values() for item in seeds)]
        return Status(
            scale=replication.scale_name,
            seeds=replication.seed_range[0],
            tables=[
                TableState(table.id, [self._row(row, table.run_id(row)) for row in table.rows])
                for table in replication.tables
                if table.task.trained
            ],
            runs=self.items,
            singles=singles,
            outliers=list(find_outliers(artifacts, self.unfinished, self._unlearned())),
            earlier_code=EarlierCode(len(other_code), files, command_line(replication, code="strict")),
            time_left=self._time_left(),
            disk=usage(replication.scale_name),
            commits=dict(Counter(self._commits()).most_common()),
            due=sum(item.state is not State.DONE for item in items),
            command=command_line(replication),
        )

    def _unlearned(self) -> set[tuple[str, int]]:
        items = (item for seeds in self.items.values() for item in seeds if item.unlearned)
        return {(item.name, item.seed) for item in items if item.seed is not None}

    def _row(self, row: Row, run_id: str) -> RowState:
        items = self.items[run_id]
        state = min((item.state for item in items), key=list(State).index)
        return RowState(row.label, run_id, state, sum(item.state is State.DONE for item in items))

    def _item(self, run: Run, seed: int) -> Item:
        """State of a run with a seed."""
        training, evaluation = self.artifacts.training(run, seed), self.artifacts.evaluation(run, seed)
        why = self.artifacts.due(training)
        reason = shorten(training, why) if why else shorten(evaluation, self.artifacts.due(evaluation))
        for one in self._unfinished_of(run, seed):
            if one.running:
                own = folders_of(self.artifacts, training)
                other = None if own is None or one.folder in own else "with other parameters than the present ones"
                with suppress(OSError):  # it has just ended
                    return Item(run.id, State.RUNNING, seed, other, one.since.isoformat(timespec="seconds"))
        if not reason:
            return Item(run.id, State.DONE, seed, unlearned=did_not_learn(self.replication, run, seed))
        if failure := failure_of_run(self.replication.scale_name, run.id, seed):
            return _failed(run.id, failure, seed)
        lacking = run.missing_weights if why else None
        if not (training.present or evaluation.present):
            return Item(run.id, State.MISSING, seed, lacking)
        if why == MISSING:
            return Item(run.id, State.STALE, seed, "its training is missing")
        if reason == MISSING:
            return Item(run.id, State.MISSING, seed, "trained, not evaluated")
        return Item(run.id, State.STALE, seed, f"{reason}; {lacking}" if lacking else reason)

    def _singles(self) -> Iterator[Item]:
        """State of the data and of the measurements that belong to no row."""
        for one in single_steps(self.artifacts):
            name, artifact, why = one.name, one.artifact, self.artifacts.due(one.artifact)
            failure = None if artifact.present else read_failure(name, one.log)
            if failure:
                yield _failed(name, failure)
            elif why == MISSING:
                yield Item(name, State.MISSING)
            else:
                yield Item(name, State.STALE if why else State.DONE, reason=shorten(artifact, why))

    def _time_left(self) -> TimeLeft:
        durations = Durations(self.artifacts)
        known, unknown, sources = 0.0, 0, Counter[str]()
        for run_id, items in self.items.items():
            run = self.replication.runs[run_id]
            for item in items:
                for step, share in self._steps_left(run, item):
                    if found := durations.of(step, run):
                        known += found[0] * share
                        sources[found[1]] += 1
                    else:
                        unknown += 1
        return TimeLeft(
            round(known, 1), sources.total() + unknown, unknown, [name for name, _ in sources.most_common()]
        )

    def _steps_left(self, run: Run, item: Item) -> Iterator[tuple[str, float]]:
        """The steps that an item needs, and which share of them is left."""
        if item.state is State.DONE or item.seed is None:
            return
        training = self.artifacts.training(run, item.seed)
        if self.artifacts.due(training):
            own, epochs = self._unfinished_of(run, item.seed), 0
            belonging = folders_of(self.artifacts, training) if own else None
            with suppress(OSError):  # removed in the meantime: it is finished
                epochs = max((one.epochs for one in own if belonging and one.folder in belonging), default=0)
            yield "train", max(0.0, 1 - epochs / run.settings.epochs)
        yield "evaluate", 1.0

    def _commits(self) -> Iterator[str]:
        for artifact in (*self.artifacts.trainings(), *self.artifacts.measurements()):
            with suppress(InputError):
                if artifact.present:
                    yield self.artifacts.recorded(artifact).commit or "unknown"

    def _unfinished_of(self, run: Run, seed: int) -> list[Unfinished]:
        return self.unfinished.get((paths.resume_name(run.id), seed), [])


def shorten(artifact: Artifact, why: str | None) -> str | None:
    """Return a reason without the commands of the trainings that were read: it is then the same for all of them."""
    for source in artifact.inputs.values():
        why = shorten(source, why and why.replace(repr(source.command), "training"))
    return why


def _failed(name: str, failure: Failure, seed: int | None = None) -> Item:
    last = f": {failure.lines[-1]}" if failure.lines else ""
    return Item(name, State.FAILED, seed, f"{failure.step} ended with {failure.ended}{last}", log=str(failure.log))
