"""Checks of raw results: each is whole, unchanged, current and of one commit, and its metrics follow from its data."""

from collections import Counter
from collections.abc import Iterable

from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.pipeline.failures import failure_of_run, other_failures
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import stored
from sgenet.provenance.results import Recorded
from sgenet.verification.check import Check


def check_records(artifacts: Artifacts) -> Check:
    """Check that no result is missing without a failure, stale or changed, and that all are of one commit."""
    made = [*artifacts.trainings(), *artifacts.measurements()]
    check, commits, absent = Check("results"), Counter[str](), Counter[str]()
    for artifact in made:
        if not artifact.present:
            if not _failed(artifacts, artifact):
                check.deviate(artifact.record, "no result, and no failed step", f"one from `{artifact.command}`")
            continue
        try:
            recorded = artifacts.recorded(artifact)
        except InputError as error:
            check.deviations.append(str(error))
            continue
        if why := artifacts.outdated(artifact):
            check.deviations.append(f"{artifact.record}: {why}")
        commits[recorded.commit or "no commit"] += 1
        absent += _check_files(check, artifact, recorded)
    _check_commits(check, commits)
    check.unchecked += [f"{count} files {name}, which are not here" for name, count in sorted(absent.items())]
    check.checked = f"{_count(made)}, of {', '.join(map(made_by, commits)) or 'no commit'}"
    return check


def _check_files(check: Check, artifact: Artifact, recorded: Recorded) -> Counter[str]:
    """Compare the content of an artifact's files with their digests; returns which of those that may be are absent."""
    absent = Counter[str]()
    if recorded.identity is None:
        check.unchecked.append(f"{artifact.record}: it has no digests of its files")
        return absent
    for path in artifact.files:
        expected = recorded.identity.files.get(path.name)
        if path.exists():
            if expected and stored(path) != expected:
                check.deviate(path, "other content", f"that of `{artifact.command}`, by its digest")
            elif not expected and path.name not in (paths.HISTORY, paths.TIMING):  # which contain times
                check.deviate(artifact.record, f"no digest of {path.name}", "one")
        elif path in artifact.weights or path.name == paths.DETECTIONS:
            absent[path.name] += 1
        else:
            check.deviate(path, "no file", f"the one of `{artifact.command}`")
    return absent


def _check_commits(check: Check, commits: Counter[str]) -> None:
    (usual, _), *others = commits.most_common() or [("", 0)]
    for commit, count in others:
        check.deviate("results", f"{count} of {made_by(commit)}", f"all of {made_by(usual)}")
    for commit in commits:
        if commit.endswith("+"):
            check.unchecked.append(f"the source of {made_by(commit)}: some of its files were modified")


def made_by(commit: str) -> str:
    """A commit in words, abbreviated as git does."""
    return commit if commit == "no commit" else f"commit {commit[:10]}{'+' if commit.endswith('+') else ''}"


def _failed(artifacts: Artifacts, artifact: Artifact) -> bool:
    """Whether a step that failed explains that an artifact is missing: its own, or one that it depends on."""
    if artifact.run is None or artifact.seed is None:
        return any(failure.log.stem == artifact.record.stem for failure in other_failures(artifacts))
    if artifact.step != "evaluate released" and failure_of_run(artifacts.scale, artifact.run.id, artifact.seed):
        return True
    return any(not source.present and _failed(artifacts, source) for source in artifact.inputs.values())


def _count(artifacts: Iterable[Artifact]) -> str:
    there = [artifact for artifact in artifacts if artifact.present]
    trainings = sum(artifact.step == "train" for artifact in there)
    return f"{trainings} trainings and {len(there) - trainings} measurements"
