import json
import os
import re
import shlex
import shutil
import socket
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from sgenet.pipeline import adopt
from sgenet.config import paths
from sgenet import errors
from sgenet.runtime import processes, fork_server
from sgenet.config.claims import load_claims
from sgenet.errors import InputError
from sgenet.runtime.files import read_json
from sgenet.config.runs import FIGURES_RUN, TASKS, load_replication

try:
    if set("{}") & set(os.getcwd()):
        expected = "expected none: Snakemake takes what stands between braces for names of its own"
        raise InputError(
            f"{os.getcwd()}: found a brace in the folder's name, {expected}"
        )
    for key in config.keys() - {"scale", "seeds", "tables"}:
        raise InputError(
            f"--config: unknown key {key}, expected scale, seeds or tables"
        )
    tables = config.get("tables")
    REPLICATION = load_replication(
        config.get("scale"),
        config.get("seeds"),
        tables.split(",") if isinstance(tables, str) else tables,
    )
    load_claims(REPLICATION.tables)  # checked before anything runs
except InputError as error:
    raise WorkflowError(str(error)) from None

# What every step's shell sees: `sgenet` beside the interpreter that runs this, whether or not its environment is
# activated, and what `--config` chose. Neither is a parameter of a rule: another number of seeds retrains nothing.
# Snakemake formats the text, so braces in the path stand twice.
BINARIES = shlex.quote(str(Path(sys.executable).parent))
shell.prefix(
    f"export PATH={BINARIES.replace('{', '{{').replace('}', '}}')}:$PATH"
    f" SGENET_SEEDS={len(REPLICATION.seeds)}"
    f" SGENET_TABLES={shlex.quote(' '.join(REPLICATION.pipeline['tables']))}; "
)


def logged(command):
    """The shell command of a step: what it prints goes to its log, which ends with its exit status unless that is 0.

    The shell writes the status, so that the report also shows a step that was killed and could say nothing itself.
    """
    failed = "{{ status=$?; printf '\\nsgenet: exit status %d\\n' $status >> {log:q}; exit $status; }}"
    return f"{command} > {{log:q}} 2>&1 || {failed}"


SCALE = REPLICATION.scale_name
DATA = Path("data", SCALE)
RESULTS = Path("results", SCALE)

if workflow.is_main_process:  # before Snakemake looks at what is there
    try:
        adopt.adopt(SCALE)
    except (InputError, OSError) as error:
        raise WorkflowError(errors.explain(error) or str(error)) from None


wildcard_constraints:
    task="|".join(TASKS),
    name="|".join(sorted({re.escape(run.name) for run in REPLICATION.runs.values()})),
    seed=r"\d+",


def run_of(task, wildcards):
    return REPLICATION.runs[f"{task}/{wildcards.name}"]


def tasks():
    """Tasks that have runs, whose data are needed."""
    return [
        task
        for task in TASKS
        if any(run.task == task for run in REPLICATION.runs.values())
    ]


def trainings(task):
    """Folders of the trained runs of a task, one a seed."""
    runs = [run for run in REPLICATION.runs.values() if run.task == task]
    return [
        paths.training(SCALE, run.id, seed)
        for run in runs
        for seed in REPLICATION.seeds
    ]


EVALUATED = {
    "classification": ["metrics.json", "timing.json", "predictions.npz"],
    "detection": ["metrics.json", "timing.json", "detections.json", "matches.npz"],
}


def evaluations():
    """What evaluation leaves of every run and seed, of released weights and for figures 2 to 4, and latencies."""
    files = [
        paths.evaluation(SCALE, run.id, seed) / name
        for run in REPLICATION.runs.values()
        for seed in REPLICATION.seeds
        for name in EVALUATED[run.task]
    ]
    files += [
        paths.released_evaluation(SCALE, run.id).with_name(name)
        for run in REPLICATION.released()
        for name in ["metrics.json", "timing.json"]
    ]
    figures = [paths.activations(SCALE)] if FIGURES_RUN in REPLICATION.runs else []
    return files + figures + latencies()


def latencies():
    """latency.json, where a table of complexity was chosen."""
    chosen = any(table.task == "complexity" for table in REPLICATION.tables)
    return [paths.latency(SCALE)] if chosen else []


def canonical(value):
    """Settings as text that the order of keys in a file does not change."""
    return json.dumps(value, sort_keys=True)


def settings(task):
    """What decides a training, for Snakemake to watch: settings, model and weights to start from."""

    def of(wildcards):
        return canonical(run_of(task, wildcards).identity)

    return of


def test_settings(wildcards):
    """What decides a detector's evaluation beside its weights."""
    return canonical(run_of("detection", wildcards).test_settings)


def area_limits():
    """Where small objects end and large ones begin in evaluation; of real data they change no fingerprint."""
    return canonical(REPLICATION.scale["data"]["detection"].get("area_limits"))


def released_settings(wildcards):
    """What decides the numbers of released weights: the network, and how images are brought to it."""
    keys = ("width", "attention", "image_size", "resize", "mean", "std")
    run = run_of("classification", wildcards)
    return canonical({key: run.settings[key] for key in keys})


def start_of(wildcards):
    """Weights that the detector's backbone starts from: its classifier's best epoch, of the same seed."""
    start = run_of("detection", wildcards).starts_from
    return paths.training(SCALE, start, int(wildcards.seed)) / "best.safetensors"


def data_settings(wildcards):
    """What decides the data. Environment variables in it stay names: a disk not mounted just now makes nothing again."""
    return canonical(REPLICATION.scale["data"][wildcards.task])


def manifest_of(task):
    """The manifest of a task's data, made before it is known what is to be trained on them."""

    def of(wildcards):
        return ancient(checkpoints.prepare_data.get(task=task).output.manifest)

    return of


def fingerprint(task):
    """What the data of a task are: a parameter, since the time of a file says nothing of it."""

    def of(wildcards):
        path = paths.manifest(SCALE, task)
        return fingerprint_in(path, path.stat().st_mtime_ns) if path.exists() else None

    return of


@cache  # each job asks
def fingerprint_in(path, modified):
    return read_json(path)["fingerprint"]


def gpus():
    """GPUs that a job takes."""
    device = REPLICATION.scale["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )


DEVICES = REPLICATION.scale["devices"]  # of one training


def training_threads():
    """CPU threads of a training: those of all its processes."""
    return REPLICATION.scale["threads"] * DEVICES


# Steps end when this process is gone.
os.environ[processes.WORKFLOW] = f"{socket.gethostname()}:{os.getpid()}"
# On the CPU, steps of this workflow fork from one process that has imported what they need.
if not gpus():
    os.environ.setdefault("SGENET_WARM", fork_server.folder_of(os.getpid()))
