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
from sgenet.pipeline.resources import JobResources
from sgenet.pipeline.workflow import load_workflow, logged
from sgenet.runtime import signals, slurm, user


def forced():
    """The rules and files of `--forcerun`; with `--forceall` also the trainings, so that detectors wait for them."""
    settings = workflow.dag_settings
    trainings = {"train_classifier", "train_detector"} if settings.forceall else set()
    return trainings | set(settings.forcerun)


try:
    WORKFLOW = load_workflow(
        config,
        forced,
        judge=workflow.is_main_process,
    )
except (InputError, OSError) as error:
    raise WorkflowError(errors.explain(error) or str(error)) from None

REPLICATION, SCALE = WORKFLOW.replication, WORKFLOW.scale
MADE = WORKFLOW.artifacts
DATA, RESULTS = Path("data", SCALE), Path("results", SCALE)


def on_cluster():
    """Whether jobs of this workflow run on a cluster: it submits them, would (a dry run), or this is one of them."""
    submits = (
        not workflow.local_exec or workflow.resource_settings.cores is None
    )  # only a workflow on one machine needs a number of cores
    return submits or os.environ.get(slurm.CLUSTER) == "1"


RESOURCES = JobResources(WORKFLOW, on_cluster, lambda: workflow.cores)

shell.prefix(WORKFLOW.prefix)


wildcard_constraints:
    task="|".join(TASKS),
    name=WORKFLOW.names,
    seed=r"\d+",


def request(asked, tasks=()):
    """The inputs of a step that makes an artifact, a file whose time counts, and the results that the step reads.

    The file is known once the data of these tasks are prepared. The results are named at once, so that `--omit-from` and
    `--batch` find what they leave to be done; they count as changed only where the artifact is due: Snakemake does not
    look at what follows a job that runs, unless it reads something that counts.
    """

    def file(wildcards):
        for task in tasks(wildcards) if callable(tasks) else tasks:
            checkpoints.prepare_data.get(task=task)
        return asked(wildcards).asked

    def results(wildcards):
        found = asked(wildcards)
        return found.reads if found.due else [ancient(path) for path in found.reads]

    return {"asked": file, "results": results}


def records(artifacts):
    """The files that are there when artifacts are made."""
    return [artifact.record for artifact in artifacts]


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


user.stand_in()
# Steps end when this process has ended.
os.environ[signals.WORKFLOW] = f"{socket.gethostname()}:{os.getpid()}"
