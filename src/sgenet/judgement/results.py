"""What the steps left on disk of every run: results that can be used, and why others cannot."""

from dataclasses import dataclass, field, replace

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.config.tasks import Task
from sgenet.data.progress import progress
from sgenet.errors import InputError
from sgenet.judgement.evaluations import ReleasedResult, Result, check_head, read_result, with_times
from sgenet.judgement.images import read_matches, read_predictions
from sgenet.judgement.inputs import Missing, problem_of, read_current
from sgenet.pipeline.failures import Failure, failure_of_run, other_failures, single_steps
from sgenet.pipeline.learning import did_not_learn
from sgenet.pipeline.workflow import again
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import Complexity, Counts, Latencies, ReleasedEvaluation


@dataclass
class RunResults:
    """What one run left: by seed the results that can be used, and why there is none; what released weights reach."""

    id: str
    by_seed: dict[int, Result] = field(default_factory=dict)
    absent: dict[int, Missing] = field(default_factory=dict)
    released: ReleasedResult | Missing = Missing()

    @property
    def task(self) -> str:
        """The task of the run: the first part of its id."""
        return self.id.partition("/")[0]

    @property
    def missing(self) -> list[int]:
        """The seeds without a result, where no file is in its place that cannot be used."""
        return sorted(seed for seed, why in self.absent.items() if why.outdated or not why.problem)

    @property
    def problem(self) -> str | None:
        """What is wrong with the files of its seeds; None where each could be used."""
        found = [why.problem for why in self.absent.values() if why.problem and not why.outdated]
        return "; ".join(dict.fromkeys(found)) or None

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, in sentences."""
        outdated = [why.problem for why in self.absent.values() if why.outdated]
        return [problem for problem in (self.problem, problem_of(self.released), *outdated) if problem]

    @property
    def failures(self) -> dict[int, Failure]:
        """The steps that ended with an error, by seed."""
        return {seed: why.failure for seed, why in self.absent.items() if why.failure}

    @property
    def waits_for(self) -> dict[int, str]:
        """By seed the failed run whose weights it starts from."""
        return {seed: why.waits_for for seed, why in self.absent.items() if why.waits_for}

    def reject(self, seed: int, problem: str) -> None:
        """Leave a seed's result out, since a file of it cannot be used."""
        self.leave_out(seed, Missing(problem))

    def leave_out(self, seed: int, why: Missing) -> None:
        """Leave a seed's result out."""
        self.by_seed.pop(seed, None)
        self.absent[seed] = why

    @property
    def remark(self) -> str:
        """Which of its trainings did not learn, and why; empty where all did."""
        found = [f"seed {seed}: {result.unlearned}" for seed, result in self.by_seed.items() if result.unlearned]
        return f"Did not learn: {'. '.join(found)}." if found else ""

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed, where it was measured."""
        found = {seed: result.metrics.get(metric) for seed, result in self.by_seed.items()}
        return {seed: value for seed, value in found.items() if value is not None}

    def mean(self, metric: str) -> float | None:
        """The mean of the metric over the seeds that have it; None where none has."""
        values = self.values(metric).values()
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Found:
    """All that the steps left: results by run, counts and times; `failures` are of steps of no run and seed."""

    runs: dict[str, RunResults]
    complexity: Complexity | Missing = Missing()
    timing: Latencies | Missing = Missing()
    failures: tuple[Failure, ...] = ()

    @property
    def counts(self) -> dict[str, Counts]:
        """The counts of models, by run."""
        return {} if isinstance(self.complexity, Missing) else self.complexity.models

    @property
    def latency(self) -> Latencies | None:
        """The times of models."""
        return None if isinstance(self.timing, Missing) else self.timing

    @property
    def uncounted(self) -> dict[str, str]:
        """Why models could not be counted, by run."""
        return (not isinstance(self.complexity, Missing) and self.complexity.failed) or {}

    @property
    def untimed(self) -> dict[str, str]:
        """Why models could not be timed, by run."""
        return (self.latency and self.latency.failed) or {}

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files, in sentences."""
        found = [problem_of(self.complexity), problem_of(self.timing)]
        return [problem for problem in found if problem] + [
            problem for run in self.runs.values() for problem in run.problems
        ]

    def failed(self, run_id: str) -> list[str]:
        """Why the model of a run could not be counted or timed, in sentences."""
        reasons = {"Not counted": self.uncounted.get(run_id), "Not timed": self.untimed.get(run_id)}
        return [f"{what}: {why}" for what, why in reasons.items() if why]


def count_missing(replication: Replication) -> tuple[int, int]:
    """How many results of the present trainings, counts and measurements are missing, and how many there should be."""
    artifacts = Artifacts(replication)
    runs, steps = _read_runs(artifacts), [one.artifact for one in single_steps(artifacts)]
    files = [artifact.record for artifact in steps if artifact.step != "prepare"]
    missing = sum(len(run.missing) for run in runs.values()) + sum(not path.exists() for path in files)
    return missing, sum(replication.seed_counts.values()) + len(files)


def trained_columns(replication: Replication) -> dict[str, list[str]]:
    """The metrics that the tables show of each run."""
    wanted: dict[str, list[str]] = {run_id: [] for run_id in replication.runs}
    for table in replication.tables:
        for row in table.rows:
            if table.task.trained:
                columns = [column for column in table.columns if column.trained and row.has(column)]
                wanted[table.run_id(row)] += [column.id for column in columns]
    return wanted


def read_found(replication: Replication) -> Found:
    """Read all of it; never raises for a bad file, which is `Missing` with its problem."""
    artifacts = Artifacts(replication)
    timing = read_current(artifacts, artifacts.latency(), Latencies) if replication.timed else Missing()
    runs = _read_runs(artifacts)
    _read_images(replication, runs)
    return Found(
        runs=runs,
        complexity=read_current(artifacts, artifacts.complexity(), Complexity),
        timing=timing,
        failures=other_failures(artifacts),
    )


def _read_runs(artifacts: Artifacts) -> dict[str, RunResults]:
    found: dict[str, RunResults] = {}
    replication = artifacts.replication
    wanted = trained_columns(replication)
    for run in replication.runs.values():
        results = found[run.id] = RunResults(run.id)
        for seed in replication.seeds(run.id):
            result = _read_seed(artifacts, run, seed, wanted[run.id])
            if isinstance(result, Missing):
                results.leave_out(seed, result)
            else:
                results.by_seed[seed] = result
        _reject_other_data(results)
        for seed, result in results.by_seed.items():
            results.by_seed[seed] = replace(result, unlearned=did_not_learn(replication, run, seed))
    _let_wait(replication, found)
    for run in replication.released():
        found[run.id].released = _read_released(artifacts, run)
    return found


def _read_images(replication: Replication, runs: dict[str, RunResults]) -> None:
    """Add to each result what it states of single images; one with an unusable file becomes a problem of its run."""
    wanted, samples = trained_columns(replication), replication.pipeline.report.bootstrap_samples
    results = [(run, seed) for run in runs.values() for seed in run.by_seed]
    for run, seed in progress(results, "resampling the validation images", "training", len(results)):
        result, first = run.by_seed[seed], min(run.by_seed)
        try:
            if run.task == Task.CLASSIFICATION:
                per_image = read_predictions(result.folder, result.metrics)
            else:
                names = wanted[run.id]
                per_image = read_matches(result.folder, result.metrics, names, samples, curves=seed == first)
        except InputError as error:
            run.reject(seed, str(error))
        else:
            run.by_seed[seed] = replace(result, per_image=per_image)


def _read_seed(artifacts: Artifacts, run: Run, seed: int, wanted: list[str]) -> Result | Missing:
    """The result of a seed of a run; it is missing too where its training was to be repeated, and failed."""
    artifact, scale = artifacts.evaluation(run, seed), artifacts.scale
    try:
        result = read_result(artifact.record.parent, run.id, scale, seed, wanted)
    except InputError as error:
        return Missing(str(error))
    failure = failure_of_run(scale, run.id, seed)
    (training,) = artifact.measures
    if result is None or (failure and not training.present):
        return Missing(failure=failure)
    if why := artifacts.outdated(artifact):
        command = again(artifacts.replication, run.id, seed, forced=False)
        return Missing(f"{artifact.record}: {why}; `{command}` makes it again", outdated=True, failure=failure)
    return result


def _read_released(artifacts: Artifacts, run: Run) -> ReleasedResult | Missing:
    artifact = artifacts.released(run)
    value = read_current(artifacts, artifact, ReleasedEvaluation)
    if isinstance(value, Missing):
        return value
    try:
        check_head(artifact.record, {"run": (value.run, run.id), "scale": (value.scale, artifacts.scale)})
        return with_times(value, artifact.record)
    except InputError as error:
        return Missing(str(error))


def _reject_other_data(results: RunResults) -> None:
    """Reject the seeds that were trained or evaluated on other data than the first, where no manifest tells which."""
    expected = next((result.data for result in results.by_seed.values()), None)
    for seed, result in list(results.by_seed.items()):
        for step in ("train", "evaluate"):
            found = getattr(result.origin, step).data.fingerprint
            if found != expected:
                place = f"{result.folder / paths.METRICS}: origin.{step}.data.fingerprint"
                results.reject(seed, f"{place}: found {found!r:.60}, expected the run's {expected!r:.60}")


def _let_wait(replication: Replication, found: dict[str, RunResults]) -> None:
    """Leave out the results that start from the weights of a failed training."""
    for run in replication.runs.values():
        if run.starts_from is None:
            continue
        for seed, failure in found[run.starts_from].failures.items():
            if failure.step == "training" and seed in replication.seeds(run.id):
                found[run.id].leave_out(seed, Missing(waits_for=run.starts_from))
