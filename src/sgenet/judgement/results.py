"""What the steps left on disk of every run: results that can be used, and why others cannot."""

from dataclasses import dataclass, field

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.errors import InputError
from sgenet.judgement.evaluations import ReleasedResult, Result, check_head, read_result, with_times
from sgenet.judgement.inputs import read_counts, read_current, read_latency
from sgenet.pipeline.failures import Failure, failure_of_run, other_failures, single_steps
from sgenet.pipeline.learning import did_not_learn
from sgenet.pipeline.workflow import again
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import Counts, Latencies, ReleasedEvaluation


@dataclass
class RunResults:
    """What one run left: the result of each seed that can be used, the seeds that are missing, and why.

    `problems` tells by seed of files that cannot be used: such a seed is not missing. Of missing seeds, `failures`
    tells why they ended, `waits_for` the failed run that they start from, and `outdated` that there is a result of
    other settings or data than the present ones. `unlearned` states by seed why a training did not learn; its result is
    shown and not judged. `released` is what the released weights of its model reach,
    `released_problem` what is wrong with that.
    """

    id: str
    by_seed: dict[int, Result] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    waits_for: dict[int, str] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    outdated: dict[int, str] = field(default_factory=dict)
    unlearned: dict[int, str] = field(default_factory=dict)
    released: ReleasedResult | None = None
    released_problem: str | None = None

    @property
    def task(self) -> str:
        """The task of the run: the first part of its id."""
        return self.id.partition("/")[0]

    @property
    def problem(self) -> str | None:
        """What is wrong with the files of its seeds; None where each could be used."""
        return "; ".join(dict.fromkeys(self.problems.values())) or None

    def reject(self, seed: int, problem: str) -> None:
        """Leave a seed's result out, since a file of it cannot be used."""
        self.by_seed.pop(seed, None)
        self.problems[seed] = problem

    @property
    def remark(self) -> str:
        """Which of its trainings did not learn, and why; empty where all did."""
        found = [f"seed {seed}: {why}" for seed, why in self.unlearned.items() if seed in self.by_seed]
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
    """All that the steps left: results by run, counts of their models by run, times, and what is wrong with them.

    `failures` are those of steps that belong to no run and seed. `uncounted` are models that could not be counted: the
    reason by run.
    """

    runs: dict[str, RunResults]
    counts: dict[str, Counts]
    counts_problem: str | None
    latency: Latencies | None = None
    latency_problem: str | None = None
    failures: tuple[Failure, ...] = ()
    uncounted: dict[str, str] = field(default_factory=dict)

    @property
    def untimed(self) -> dict[str, str]:
        """Why models could not be timed, by run."""
        return (self.latency and self.latency.failed) or {}

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
    """Read all of it; never raises for a bad file: the `problems` of a run, or those of the counts, tell it."""
    artifacts = Artifacts(replication)
    counted, problem = read_counts(artifacts)
    counts, uncounted = (counted.models, counted.failed or {}) if counted else ({}, {})
    latency, latency_problem = read_latency(artifacts) if replication.timed else (None, None)
    failures = other_failures(artifacts)
    return Found(_read_runs(artifacts), counts, problem, latency, latency_problem, failures, uncounted)


def _read_runs(artifacts: Artifacts) -> dict[str, RunResults]:
    found: dict[str, RunResults] = {}
    replication = artifacts.replication
    scale, wanted = replication.scale_name, trained_columns(replication)
    for run in replication.runs.values():
        results = found[run.id] = RunResults(run.id)
        for seed in replication.seeds(run.id):
            artifact = artifacts.evaluation(run, seed)
            try:
                result = read_result(artifact.record.parent, run.id, scale, seed, wanted[run.id])
            except InputError as error:
                results.reject(seed, str(error))
                continue
            if result is None or _failed_since(artifact, scale, run.id):
                results.missing.append(seed)
            elif why := artifacts.outdated(artifact):
                command = again(replication, run.id, seed, forced=False)
                results.missing.append(seed)
                results.outdated[seed] = f"{artifact.record}: {why}; `{command}` makes it again"
            else:
                results.by_seed[seed] = result
        _reject_other_data(results)
        reasons = {seed: did_not_learn(replication, run, seed) for seed in results.by_seed}
        results.unlearned = {seed: why for seed, why in reasons.items() if why}
    _explain_missing(replication, found)
    for run in replication.released():
        results, artifact = found[run.id], artifacts.released(run)
        value, results.released_problem = read_current(artifacts, artifact, ReleasedEvaluation)
        if value:
            try:
                check_head(artifact.record, {"run": (value.run, run.id), "scale": (value.scale, scale)})
                results.released = with_times(value, artifact.record)
            except InputError as error:
                results.released_problem = str(error)
    return found


def _failed_since(artifact: Artifact, scale: str, run_id: str) -> bool:
    """Whether the training of an evaluated run was to be repeated, and failed."""
    (training,), seed = artifact.measures, artifact.seed
    assert seed is not None
    return not training.present and failure_of_run(scale, run_id, seed) is not None


def _reject_other_data(results: RunResults) -> None:
    """Reject the seeds that were trained or evaluated on other data than the first, where no manifest tells which."""
    expected = next((result.data for result in results.by_seed.values()), None)
    for seed, result in list(results.by_seed.items()):
        for step in ("train", "evaluate"):
            found = getattr(result.origin, step).data.fingerprint
            if found != expected:
                place = f"{result.folder / paths.METRICS}: origin.{step}.data.fingerprint"
                results.reject(seed, f"{place}: found {found!r:.60}, expected the run's {expected!r:.60}")


def _explain_missing(replication: Replication, found: dict[str, RunResults]) -> None:
    """Fill in which missing seeds failed, and which wait for a run that did."""
    scale = replication.scale_name
    for results in found.values():
        failures = {seed: failure_of_run(scale, results.id, seed) for seed in results.missing}
        results.failures = {seed: failure for seed, failure in failures.items() if failure}
    for run in replication.runs.values():
        if run.starts_from is None:
            continue
        results, start = found[run.id], found[run.starts_from]
        for seed, failure in start.failures.items():
            if failure.step == "training" and seed in replication.seeds(run.id):
                results.waits_for[seed] = start.id
                results.failures.pop(seed, None)
                results.outdated.pop(seed, None)
        results.missing = sorted({*results.missing, *results.waits_for})
        results.by_seed = {seed: result for seed, result in results.by_seed.items() if seed not in results.waits_for}
