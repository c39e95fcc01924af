"""What the rules of the workflow ask: inputs, outputs and parameters of each step of a replication."""

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sgenet.config import params, paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication, load_replication
from sgenet.config.runs import Run
from sgenet.config.tasks import TASKS, Task
from sgenet.errors import InputError
from sgenet.pipeline.report_identity import read_identity, report_digest
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts
from sgenet.runtime.processes import LAUNCHED

CHOICES = ("scale", "seeds", "tables", "rows", "code")  # that `--config` may override
_ASKED = Path(".snakemake/asked")  # a file for each artifact, which is newer than the artifact where it is to be made
NOUNS = {Task.CLASSIFICATION: "classifier", Task.DETECTION: "detector"}


@dataclass(frozen=True)
class Request:
    """What a rule needs to know of an artifact.

    `asked` is a file that is newer than the artifact where that is due, and older otherwise; `reads` are the results
    of other rules that it is made from.
    """

    asked: Path
    reads: list[Path]
    due: bool


def load_workflow(
    chosen: Mapping[str, Any], forced: Callable[[], Collection[str]] = frozenset, *, judge: bool = True
) -> "Workflow":
    """Read and check everything that the workflow runs, before any rule is evaluated.

    Args:
        chosen: of `snakemake --config`: scale, seeds, code, tables and rows (lists, or names separated by commas).
        forced: returns the rules and files of `--forcerun` or `--forceall`, known later than the Snakefile is read.
        judge: whether this process decides what is to be made. Those that Snakemake starts for single jobs do not.

    Raises:
        InputError: a parameter or a key of `--config` is invalid, a file of weights that a training starts from is
            missing, or the folder's name contains a brace, which Snakemake would take for a wildcard.
    """
    if set("{}") & set(os.getcwd()):
        expected = "expected none: Snakemake reads text between braces as the name of a wildcard"
        raise InputError(f"{os.getcwd()}: found a brace in the folder's name, {expected}")
    for key in chosen.keys() - set(CHOICES):
        raise InputError(f"--config: unknown key {key}, expected {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    tables, rows = chosen.get("tables"), chosen.get("rows")
    replication = load_replication(
        chosen.get("scale"),
        chosen.get("seeds"),
        tables.split(",") if isinstance(tables, str) else tables,
        chosen.get("code"),
        rows if rows is None else ",".join(rows) if isinstance(rows, list) else str(rows),
    )
    load_claims(replication.tables)
    workflow = Workflow(replication, forced, judge)
    if judge:
        _check_weights(workflow)
        _check_devices(workflow)
    return workflow


def _check_weights(workflow: "Workflow") -> None:
    """Refuse to begin if a training is due whose file of weights is missing."""
    for training in workflow.artifacts.trainings():
        sentence = training.run.missing_weights if training.run else None
        if sentence and workflow.artifacts.due(training):
            raise InputError(sentence)


def _check_devices(workflow: "Workflow") -> None:
    """Refuse to begin if a training is due whose batch the devices of the scale cannot share."""
    for run in (each.run for each in workflow.artifacts.trainings() if each.run and workflow.artifacts.due(each)):
        try:
            run.settings.micro_batches(workflow.replication.scale.devices)
        except InputError as error:
            raise InputError(f"params/scales/{workflow.scale}.yaml: {run.id}: {error}") from None


@dataclass(frozen=True)
class Workflow:
    """A replication as the rules see it."""

    replication: Replication
    forced: Callable[[], Collection[str]] = frozenset
    judge: bool = True

    @cached_property
    def artifacts(self) -> Artifacts:
        """The artifacts of the replication."""
        return Artifacts(self.replication)

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.replication.scale_name

    @property
    def prefix(self) -> str:
        """What the shell of every step begins with: `sgenet` of this environment first on PATH, and the choices.

        The choices are no parameters of a rule, so that another number of seeds retrains nothing. Variables of a
        launcher that has started Snakemake are unset, because a step with a rank would wait for the other ranks.
        Snakemake formats the text, so braces are doubled.
        """
        binaries = shlex.quote(str(Path(sys.executable).parent))
        chosen = " ".join(f"{key}={shlex.quote(text)}" for key, text in self.replication.pipeline.variables.items())
        export = f"export PATH={binaries}:$PATH {chosen}"
        return f"unset {' '.join(LAUNCHED)}; {export}; ".replace("{", "{{").replace("}", "}}")

    @property
    def names(self) -> str:
        """The regular expression of the runs' names."""
        return "|".join(sorted({re.escape(run.name) for run in self.replication.runs.values()}))

    @property
    def gpus(self) -> int:
        """Number of GPUs that a job on one device takes."""
        device = self.replication.scale.device
        return int(device == "cuda" or (device == "auto" and shutil.which("nvidia-smi") is not None))

    @property
    def training_threads(self) -> int:
        """Number of CPU threads of a training: those of all its processes."""
        return self.replication.scale.threads * self.replication.scale.devices

    @property
    def on_devices(self) -> str:
        """The end of the message of a training: its devices, and the nodes of a cluster that they are on."""
        scale = self.replication.scale
        nodes = f" of {scale.nodes} nodes of a cluster" * (scale.nodes > 1)
        return f", on {scale.devices} devices{nodes}" * (scale.devices > 1)

    def request(self, artifact: Artifact) -> Request:
        """Return what a rule needs to know of the artifact that it makes.

        `asked` is the only file whose time counts, so that `Artifacts.due` alone decides what is made, whatever the
        times of files that were copied, pulled or checked out. While the data wait to be prepared again nothing is
        known of what is made from them: the workflow asks again afterwards.
        """
        waits = artifact.task is not None and self._waits(artifact.task)
        why = None if waits or not self.judge else self.due(artifact)
        measured = [path for source in artifact.inputs.values() for path in (source.record, *source.files)]
        reads = [artifact.start] if artifact.start else measured
        if artifact.step == "train" and self.judge and not why and not self._is_forced(artifact):
            reads = []  # so that weights that were removed are not made again for a detector that is current
        return Request(self._ask(artifact.record, [artifact.record, *artifact.files], why), reads, bool(why))

    def due(self, artifact: Artifact) -> str | None:
        """Return why an artifact is made in this workflow; None where it is not."""
        if why := self.artifacts.due(artifact):
            return why
        for name, source in artifact.inputs.items():
            if self._is_forced(source):
                return f"its {name} is forced"
        return None

    def report(self) -> Request:
        """Return the same for the report, which reads everything else."""
        page, waits = self._page, any(map(self._waits, self.replication.tasks))
        why = None if waits or not self.judge else self._report_due()
        trainings, others = list(self.artifacts.trainings()), list(self.artifacts.measurements())
        reads = [path for each in others for path in (each.record, *each.files)]
        reads += [path for each in trainings for path in (each.record, each.record.with_name(paths.HISTORY))]
        return Request(self._ask(page, [page], why), reads, bool(why))

    def evaluation(self, task: Task, wildcards: Any) -> Request:
        """Return the request for the evaluation of a run with a seed."""
        return self.request(self.artifacts.evaluation(self._run(task, wildcards), int(wildcards.seed)))

    def training(self, task: Task, wildcards: Any) -> Request:
        """Return the request for the training of a run with a seed."""
        return self.request(self.artifacts.training(self._run(task, wildcards), int(wildcards.seed)))

    def tasks_of(self, wildcards: Any) -> list[Task]:
        """Return the tasks from whose data a detector is made: also that of the classifier which it may start from."""
        run = self._run(Task.DETECTION, wildcards)
        return [*TASKS] if run.starts_from else [Task.DETECTION]

    def released(self, wildcards: Any) -> Request:
        """Return the request for the evaluation of released weights."""
        return self.request(self.artifacts.released(self._run(Task.CLASSIFICATION, wildcards)))

    def stages(self) -> dict[str, bool]:
        """Return for each stage of dvc.yaml whether all that it makes is current."""
        made = self.artifacts
        parts = {
            "prepare": [made.data(task) for task in self.replication.tasks],
            "classify": made.trainings(Task.CLASSIFICATION),
            "detect": made.trainings(Task.DETECTION),
            "evaluate": made.measurements(),
        }
        found = {stage: not any(map(made.due, artifacts)) for stage, artifacts in parts.items()}
        return found | {"report": all(found.values()) and not self._report_due()}

    def _waits(self, task: Task) -> bool:
        """Whether the data of a task are there and are to be prepared again, by what is asked for or by lost files."""
        data = self.artifacts.data(task)
        return data.present and self.artifacts.stale(data) is not None

    @property
    def _page(self) -> Path:
        return paths.report(self.scale) / "index.html"

    def _report_due(self) -> str | None:
        for artifact in (*map(self.artifacts.data, self.replication.tasks), *self.artifacts.measurements()):
            if why := self.due(artifact) or (self._is_forced(artifact) and "is forced"):
                return f"{artifact.record}: {why}"
        with suppress(OSError, UnicodeDecodeError):
            current = read_identity(self._page) == report_digest(self.artifacts)
            return None if current else "made from other results or parameters"
        return "missing"

    def _ask(self, name: Path, files: list[Path], why: str | None) -> Path:
        path = _ASKED / name
        if not self.judge:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        if why:
            now = time.time()
            newest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
            path.write_text(f"{why}\n{now}\n", encoding="utf-8")  # always another content: Snakemake compares it
            os.utime(path, (now, max(now, newest + 1)))
        else:
            path.touch()
            os.utime(path, (1, 1))
        return path

    def _is_forced(self, artifact: Artifact) -> bool:
        names = {_rule_of(artifact), str(artifact.record), *map(str, artifact.files)}
        return not names.isdisjoint(self.forced()) or any(map(self._is_forced, artifact.inputs.values()))

    def _run(self, task: Task, wildcards: Any) -> Run:
        return self.replication.runs[f"{task}/{wildcards.name}"]


def _rule_of(artifact: Artifact) -> str:
    """The rule that makes an artifact."""
    if artifact.step in ("train", "evaluate") and artifact.task:
        return f"{artifact.step}_{NOUNS[artifact.task]}"
    return {"prepare": "prepare_data", "evaluate released": "evaluate_released"}.get(artifact.step, artifact.step)


def command_line(replication: Replication, target: str | Path = "", forced: str = "", **changes: Any) -> str:
    """Return the call of Snakemake for a replication, with what params/pipeline.yaml has otherwise as `--config`.

    Args:
        replication: what is asked for.
        target: a rule or file, or "" for everything.
        forced: a rule that is run even if its output is current.
        changes: of the parameters `scale`, `seeds`, `tables` and `code`.
    """
    default, wanted = params.load_pipeline().plain(), replication.pipeline.plain() | changes
    config = [
        f"{key}={','.join(wanted[key]) if key in ('tables', 'rows') else wanted[key]}"
        for key in CHOICES
        if wanted[key] != default[key]
    ]
    options = ["--config", *config] if config else []
    options += ["--forcerun", forced] if forced else []
    return shlex.join(["snakemake", "--cores", "all", *([str(target)] if target else []), *options])


def again(replication: Replication, run_id: str, seed: int, *, forced: bool = True) -> str:
    """Return the command that makes a run's numbers again, and whatever they need that is not there.

    Args:
        replication: which the run is of.
        run_id: of the run.
        seed: of the run.
        forced: also where they are current; otherwise only what is due is made.
    """
    target = paths.evaluation(replication.scale_name, run_id, seed) / paths.METRICS
    return command_line(replication, target, f"train_{NOUNS[Task(run_id.partition('/')[0])]}" if forced else "")


def logged(command: str) -> str:
    """Return the shell command of a step whose output goes to its log, which ends with its exit status unless it is 0.

    The shell writes the status, so that the report also shows a step that was killed and could print nothing.
    """
    failed = "{{ status=$?; printf '\\nsgenet: exit status %d\\n' $status >> {log:q}; exit $status; }}"
    return f"{command} > {{log:q}} 2>&1 || {failed}"
