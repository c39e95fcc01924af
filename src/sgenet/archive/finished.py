"""Whether a replication is finished: all results are there and current, or failed, and the report shows them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.errors import InputError
from sgenet.judgement.results import read_found
from sgenet.pipeline.failures import Failure, single_steps
from sgenet.pipeline.report_identity import read_identity, report_digest
from sgenet.pipeline.workflow import command_line
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import MISSING, Artifacts

# Files that may be left out of results that are shared: matches.npz has what the report shows of them.
_LARGE = f"{paths.DETECTIONS} is missing"


@dataclass(frozen=True)
class Finished:
    """The artifacts of a finished replication that exist, each before those that read it; and the steps that failed.

    `failures` are by what failed, such as `classification/resnet50, seed 0`.
    """

    artifacts: tuple[Artifact, ...]
    failures: dict[str, Failure]


def read_finished(replication: Replication) -> Finished:
    """Return what a replication left; InputError, with the command that makes it, where something is due."""
    artifacts, found = Artifacts(replication), read_found(replication)
    failures = {
        f"{run_id}, seed {seed}": failure
        for run_id, results in found.runs.items()
        for seed, failure in results.failures.items()
    }
    failures |= {failure.step: failure for failure in found.failures}
    excused = {failure.step for failure in found.failures}
    lost = {
        (run_id, seed)
        for run_id, results in found.runs.items()
        for seed, why in results.absent.items()
        if (why.failure or why.waits_for) and not why.outdated
    }
    names = {one.artifact.record: one.step for one in single_steps(artifacts)}
    present = []
    for artifact in _all(artifacts):
        why = artifacts.stale(artifact)
        failed = names.get(artifact.record) in excused or _is_lost(artifact, lost)
        if why == _LARGE:
            gone = [path.name for path in artifact.files if path.name != paths.DETECTIONS and not path.exists()]
            why = f"{gone[0]} is missing" if gone else None
        if why is None:
            present.append(artifact)
        elif why != MISSING or not (failed or artifact.step == "train"):  # metrics.json repeats a training's record
            raise InputError(f"{artifact.record}: {why}; `{command_line(replication)}` makes it")
    _check_report(replication, artifacts)
    return Finished(tuple(present), failures)


def _all(artifacts: Artifacts) -> Iterator[Artifact]:
    """Yield every training and measurement once, after what it reads."""
    seen = set()

    def visit(artifact: Artifact) -> Iterator[Artifact]:
        if artifact.record not in seen:
            seen.add(artifact.record)
            for source in artifact.inputs.values():
                yield from visit(source)
            yield artifact

    for artifact in (*artifacts.trainings(), *artifacts.measurements()):
        yield from visit(artifact)


def _is_lost(artifact: Artifact, lost: set[tuple[str, int]]) -> bool:
    """Whether an artifact is of a run and seed that failed, or is measured on one."""
    own = artifact.run is not None and artifact.seed is not None and (artifact.run.id, artifact.seed) in lost
    return own or any(_is_lost(source, lost) for source in artifact.inputs.values())


def _check_report(replication: Replication, artifacts: Artifacts) -> None:
    page = paths.report(replication.scale_name) / "index.html"
    command = command_line(replication)
    if not page.is_file():
        raise InputError(f"{page}: missing; `{command}` builds it")
    with suppress(OSError, UnicodeDecodeError):
        if read_identity(page) == report_digest(artifacts):
            return
    raise InputError(f"{page}: was built from other results or parameters; `{command}` builds it again")
