"""`sgenet prune`: list, or remove, results and checkpoints that the present parameters do not use."""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import params, paths
from sgenet.config.replication import Replication, load_replication
from sgenet.config.tasks import TASKS
from sgenet.errors import writing
from sgenet.pipeline.disk import size, size_text
from sgenet.pipeline.status import shorten
from sgenet.pipeline.unfinished import find_unfinished, folders_of
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime import locks

_SEED = re.compile(r"seed-([0-9]+)")
_NO_TABLE = "no table has this run"
_FINISHED = "checkpoints of a training that is finished"
Found = Iterator[tuple[Path, str, tuple[str, int] | None]]


@dataclass(frozen=True)
class Unused:
    """A folder that the present parameters do not use, why, its bytes, and the run and seed that it is of."""

    folder: Path
    reason: str
    size: int
    training: tuple[str, int] | None = None


def find_unused(replication: Replication) -> list[Unused]:
    """Return what a scale has on disk that is not used; what belongs to a running training is left out.

    A run is used if any table of params/tables has it, and whatever the number of seeds is now.
    """
    chosen = replication.pipeline
    artifacts = Artifacts(load_replication(chosen.scale, chosen.seeds, params.names("tables"), chosen.code))
    found = [*_results(artifacts), *_released(artifacts), *_checkpoints(artifacts)]
    unused = [Unused(folder, reason, size(folder), training) for folder, reason, training in found]
    if (tries := paths.tries(chosen.scale)).is_dir():
        reason = "a try, with other settings than those of params/"
        unused += [Unused(path, reason, size(path)) for path in sorted(tries.iterdir())]
    return _without_running(unused, chosen.scale)


def remove_unused(unused: list[Unused], scale: str) -> list[Unused]:
    """Remove what `find_unused` has found, and the folders above that are then empty; returns what was removed.

    Raises:
        InputError: a workflow runs in this checkout, or something cannot be removed.
    """
    with locks.lock(locks.CHECKOUT, "this checkout"):
        unused = _without_running(unused, scale)
        for one in unused:
            with writing(one.folder):
                _remove(one.folder, scale)
    return unused


def remove_finished(replication: Replication) -> None:
    """Remove the checkpoints of trainings of a replication that are finished and current, and do not run."""
    finished = [
        Unused(folder, reason, 0, training)
        for folder, reason, training in _checkpoints(Artifacts(replication))
        if reason == _FINISHED
    ]
    for one in _without_running(finished, replication.scale_name):
        with writing(one.folder):
            _remove(one.folder, replication.scale_name)


def to_text(unused: list[Unused], scale: str, *, removed: bool) -> str:
    """Return the list as text, by reason."""
    by_reason: dict[str, list[Unused]] = defaultdict(list)
    for one in unused:
        by_reason[one.reason].append(one)
    lines = []
    for reason, alike in by_reason.items():
        lines += [reason, *(f"{size_text(one.size):>12}  {one.folder}" for one in alike)]
    total = f"{len(unused)} folder{'s' * (len(unused) != 1)}, {size_text(sum(one.size for one in unused))}"
    if removed or not unused:
        return "\n".join([*lines, f"{'removed' if removed else 'unused'}: {total}"])
    return "\n".join([*lines, f"unused: {total}; `sgenet prune --scale {scale} --yes` removes this"])


def _results(artifacts: Artifacts) -> Found:
    """The trainings and evaluations that are stale, or of no run."""
    runs = artifacts.replication.runs
    for folder_of, artifact_of in (
        (paths.training, artifacts.training),
        (paths.evaluation, artifacts.evaluation),
    ):
        for task in TASKS:
            top = folder_of(artifacts.scale, task, 0).parent
            for folder in sorted(top.glob("**/seed-*")):
                run_id = f"{task}/{folder.parent.relative_to(top).as_posix()}"
                if (match := _SEED.fullmatch(folder.name)) and folder.is_dir():
                    run, seed = runs.get(run_id), int(match[1])
                    if why := _why(artifacts, artifact_of(run, seed) if run else None):
                        yield folder, why, (paths.resume_name(run_id), seed)


def _released(artifacts: Artifacts) -> Found:
    """The evaluations of released weights that are stale, or of no run."""
    for run_folder in sorted(paths.released_files(artifacts.scale, "classification/x")["metrics"].parents[1].glob("*")):
        run = artifacts.replication.runs.get(f"classification/{run_folder.name}")
        if why := _why(artifacts, artifacts.released(run) if run else None):
            yield run_folder, why, None


def _why(artifacts: Artifacts, artifact: Artifact | None) -> str | None:
    """Why a result is not used; it is kept without its record, and until its data are prepared again."""
    if artifact is None:
        return _NO_TABLE
    known = artifact.present and not artifacts.waits(artifact)
    return shorten(artifact, artifacts.stale(artifact)) if known else None


def _checkpoints(artifacts: Artifacts) -> Found:
    """The checkpoints from which no training of the present parameters continues."""
    runs = {paths.resume_name(run.id): run for run in artifacts.replication.runs.values()}
    for one in find_unfinished(artifacts.scale):
        why = None
        if run := runs.get(one.run):
            training = artifacts.training(run, one.seed)
            own = folders_of(artifacts, training)
            if own is not None and one.folder not in own:
                why = "checkpoints of a training with other parameters or data"
            elif own is not None and not artifacts.stale(training):
                why = _FINISHED
        else:
            why = f"checkpoints: {_NO_TABLE}"
        if why:
            yield one.folder, why, (one.run, one.seed)


def _without_running(unused: list[Unused], scale: str) -> list[Unused]:
    """Leave out what belongs to a training that runs now; it may be any of the tries."""
    running = {(one.run, one.seed) for one in find_unfinished(scale) if one.running}
    if running:
        unused = [one for one in unused if not one.folder.is_relative_to(paths.tries(scale))]
    return [one for one in unused if one.training not in running]


def _remove(folder: Path, scale: str) -> None:
    """Remove a folder, and those above it that are then empty, as far as the folder of a task."""
    if folder.is_relative_to(paths.RESUME):
        from sgenet.training import resume

        with resume.lock(folder):
            resume.remove_checkpoints(folder)
        return
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink()
    results = paths.results(scale)
    kept = {top / name for top in (results, results / "evaluation") for name in ("", *TASKS)}
    for emptied in folder.parents:
        if emptied in kept:
            break
        with suppress(OSError):  # not empty
            emptied.rmdir()
