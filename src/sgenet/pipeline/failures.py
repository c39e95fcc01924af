"""Steps that ended with an error, as their logs show: for the report and for `sgenet status`."""

import os
import re
import signal
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from sgenet.config import paths
from sgenet.config.runs import FIGURES_RUN
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.identity import Artifacts

LINES = 10  # of a log that are shown
LENGTH = 300  # characters of a line that are shown

# What workflow/rules/common.smk writes at the end of a step's log. A step that Ctrl-C or SIGTERM stopped did not fail.
_ENDED = re.compile(r"sgenet: exit status ([0-9]{1,3})")
_STOPPED = (130, 143)
_TAIL = 64 * 1024  # bytes of a log that are read
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")  # ECMA-48: colours, movements of the cursor


@dataclass(frozen=True)
class Failure:
    """A step that ended with an error: what it was, its exit status, and the last lines of its log."""

    step: str
    status: int
    lines: tuple[str, ...]
    log: Path

    @property
    def ended(self) -> str:
        """The status, and what it means where a signal ended the step, which then could say nothing itself."""
        number = self.status - 128
        meaning = signal.strsignal(number) if number in signal.valid_signals() else None
        if number == signal.SIGKILL:
            meaning = "killed, as by a machine whose memory is full"
        return f"exit status {self.status}{f' ({meaning.lower()})' if meaning else ''}"


def read_failure(step: str, log: Path) -> Failure | None:
    """The failure that a log ends with; None where its step succeeded, was stopped or has not run.

    The lines are plain text without control characters, at most LINES of them, each at most LENGTH characters long.
    """
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            tail = file.read(_TAIL).decode("utf-8", errors="replace")
    except OSError:
        return None
    lines = [line for line in map(_plain, tail.split("\n")) if line]
    ended = _ENDED.fullmatch(lines[-1]) if lines else None
    if ended is None or int(ended[1]) in (0, *_STOPPED):
        return None
    return Failure(step, int(ended[1]), tuple(lines[-1 - LINES : -1]), log)


def failure_of_run(scale: str, run_id: str, seed: int) -> Failure | None:
    """The failure that keeps a run from having results: of its training, or of the evaluation behind it.

    A log is of the past where the step's result was made since then.
    """
    trained = paths.training(scale, run_id, seed) / paths.TRAINING
    if not trained.exists():
        return read_failure("training", paths.run_log(scale, "train", run_id, seed))
    log = paths.run_log(scale, "evaluate", run_id, seed)
    newer = log.exists() and log.stat().st_mtime >= trained.stat().st_mtime
    return read_failure("evaluation", log) if newer else None


def other_failures(artifacts: Artifacts) -> tuple[Failure, ...]:
    """Failures of the steps that belong to no run and seed, of those whose result is missing."""
    found = (read_failure(one.step, one.log) for one in single_steps(artifacts) if not one.artifact.record.exists())
    return tuple(failure for failure in found if failure)


@dataclass(frozen=True)
class SingleStep:
    """A step that belongs to no run and seed: name and description of what it makes, the artifact, and the log."""

    name: str
    step: str
    artifact: Artifact
    log: Path


def single_steps(artifacts: Artifacts) -> list[SingleStep]:
    """Return the steps of a replication that belong to no run and seed: preparation of data, and measurements."""
    made, replication = artifacts, artifacts.replication
    steps = [
        (f"data of {task}", f"preparation of the data for {task}", made.data(task), f"prepare/{task}")
        for task in replication.tasks
    ]
    steps.append(("complexity", "counting of parameters and operations", made.complexity(), "complexity"))
    if replication.timed:
        steps.append(("latency", "timing of the models", made.latency(), "latency"))
    if FIGURES_RUN in replication.runs:
        steps.append(("activations", "measuring of activations", made.activations(), "activations"))
    for run in replication.released():
        step, log = f"evaluation of the released weights of {run.model}", f"evaluate/released/{run.name}"
        steps.append((f"released {run.name}", step, made.released(run), log))
    return [SingleStep(name, step, of, paths.log(artifacts.scale, log)) for name, step, of, log in steps]


def _plain(line: str) -> str:
    """What a terminal would show of a line: a progress bar's last state, without colours and control characters."""
    line = _ESCAPE.sub("", line.rstrip("\r\n").rpartition("\r")[2]).replace("\t", "    ")
    # C: control and format characters (also those that turn the direction of text), Z: separators of lines
    kept = (letter for letter in line if unicodedata.category(letter)[0] != "C" and letter not in "\u2028\u2029")
    text = "".join(kept).rstrip()
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
