import os
import socket
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from sgenet import errors
from sgenet.config import paths
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.tasks import TASKS, Task
from sgenet.errors import InputError
from sgenet.pipeline import adopt
from sgenet.pipeline.workflow import canonical, load_workflow, logged
from sgenet.runtime import fork_server, processes

try:
    WORKFLOW = load_workflow(config)
    if workflow.is_main_process:  # before Snakemake looks at what exists
        adopt.adopt(WORKFLOW.scale)
except (InputError, OSError) as error:
    raise WorkflowError(errors.explain(error) or str(error)) from None

REPLICATION, SCALE = WORKFLOW.replication, WORKFLOW.scale
DATA, RESULTS = Path("data", SCALE), Path("results", SCALE)
DEVICES = REPLICATION.scale.devices  # of one training

shell.prefix(WORKFLOW.prefix)


wildcard_constraints:
    task="|".join(TASKS),
    name=WORKFLOW.names,
    seed=r"\d+",


def manifest_of(task):
    """The manifest of a task's data, a checkpoint: what is trained depends on its fingerprint."""
    return lambda wildcards: ancient(
        checkpoints.prepare_data.get(task=task).output.manifest
    )


def reported(files):
    """The files of an evaluation; its metrics are shown in Snakemake's own report."""
    task = files["metrics"].parts[3]
    labels = {"task": task, "run": "{name}", "seed": "{seed}"}
    shown = report(
        files["metrics"],
        caption="../report/evaluation.rst",
        category="Evaluations",
        labels=labels,
    )
    return {**files, "metrics": shown}


# Steps end when this process has ended.
os.environ[processes.WORKFLOW] = f"{socket.gethostname()}:{os.getpid()}"
# On the CPU, steps of this workflow are forks of one process that has imported what they need.
if not WORKFLOW.gpus:
    os.environ.setdefault("SGENET_WARM", fork_server.folder_of(os.getpid()))
