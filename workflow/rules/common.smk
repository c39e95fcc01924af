import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from sgenet import paths, warm
from sgenet.claims import load_claims
from sgenet.files import InputError
from sgenet.runs import FIGURES_RUN, TASKS, load_replication

try:
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
shell.prefix(
    f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" SGENET_SEEDS={len(REPLICATION.seeds)}"
    f" SGENET_TABLES={shlex.quote(' '.join(REPLICATION.pipeline['tables']))}; "
)

# Steps of this workflow fork from one process that has imported what they need.
os.environ.setdefault("SGENET_WARM", warm.folder_of(os.getpid()))

SCALE = REPLICATION.scale_name
DATA = Path("data", SCALE)
RESULTS = Path("results", SCALE)
LOGS = Path("logs", SCALE)


wildcard_constraints:
    task="|".join(TASKS),
    seed=r"\d+",


def run_of(task, wildcards):
    return REPLICATION.runs[f"{task}/{wildcards.name}"]


def trainings(task):
    """Folders of the trained runs of a task, one a seed."""
    runs = [run for run in REPLICATION.runs.values() if run.task == task]
    return [
        paths.training(SCALE, run.id, seed)
        for run in runs
        for seed in REPLICATION.seeds
    ]


def evaluations():
    """metrics.json of every run and seed and of released weights, and what figures 2 to 4 show of their run."""
    runs = REPLICATION.runs.values()
    metrics = [
        paths.evaluation(SCALE, run.id, seed) / "metrics.json"
        for run in runs
        for seed in REPLICATION.seeds
    ]
    metrics += [
        paths.released_evaluation(SCALE, run.id) for run in REPLICATION.released()
    ]
    figures = [paths.activations(SCALE)] if FIGURES_RUN in REPLICATION.runs else []
    return metrics + figures


def canonical(value):
    """Settings as text that the order of keys in a file does not change."""
    return json.dumps(value, sort_keys=True)


def settings(task):
    """What decides a run's numbers, for Snakemake to watch: settings, model and weights to start from."""

    def of(wildcards):
        return canonical(run_of(task, wildcards).identity)

    return of


def start_of(wildcards):
    """Weights that the detector's backbone starts from: its classifier's best epoch, of the same seed."""
    start = run_of("detection", wildcards).starts_from
    return paths.training(SCALE, start, int(wildcards.seed)) / "best.safetensors"


def gpus():
    """GPUs that a job takes."""
    device = REPLICATION.scale["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )


def record_with_dvc():
    """Bring dvc.lock up to date with what Snakemake made, so that `dvc repro` has nothing left to do."""
    from sgenet import params

    whole = (
        set(workflow.dag_settings.targets or ["all"]) == {"all"}
        and not workflow.dag_settings.until
    )
    asked = params.load_pipeline()["scale"] == SCALE and not config
    if whole and asked and "DVC_STAGE" not in os.environ and Path(".dvc").is_dir():
        dvc = Path(sys.executable).with_name("dvc")
        if subprocess.run(
            [dvc, "commit", "--force", "--quiet"], check=False
        ).returncode:
            print(
                "dvc.lock is not up to date: `dvc commit --force` failed, see above",
                file=sys.stderr,
            )


def make_folders():
    """Folders that DVC expects even where no run of a task was asked for, and no weights were released."""
    for folder in (*TASKS, "released"):
        (RESULTS / folder).mkdir(parents=True, exist_ok=True)
