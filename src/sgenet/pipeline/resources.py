"""What each job of the workflow asks of a cluster: memory, time, nodes, CPUs and GPUs.

All of it follows from the scale and from measured or planned durations, and nothing from the machine that submits the
job. On one machine (`snakemake --cores all`) only threads and GPUs matter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sgenet.config.recipes import TrainingSettings
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN, Run
from sgenet.config.tasks import Task
from sgenet.pipeline.durations import Durations
from sgenet.pipeline.workflow import NOUNS, Workflow

MARGIN = 1.5  # a job asks for so many times the time that it is expected to take
START = 10  # minutes that each job asks for besides: start-up on a busy file system, and what was not measured
UNKNOWN = {"train": 24 * 60, "evaluate": 4 * 60, "prepare": 12 * 60}  # minutes where no duration is known
OTHERS = 60  # minutes of the other steps: report, complexity, latency, activations
EMBEDDED = 60  # minutes at most of a step on embedded data, where no duration is known
PROCESS = {Task.CLASSIFICATION: 6000, Task.DETECTION: 10000}  # MB of one process of a training: CUDA, annotations
WORKER = 1500  # MB of a process that reads images
SMALL = 3000  # MB of a step that uses no real images
DATA = 8000  # MB of a preparation of real data: COCO's annotations


@dataclass(frozen=True)
class JobResources:
    """Threads and resources of the rules.

    Args:
        workflow: as the rules see it.
        on_cluster: whether jobs are submitted, or this process belongs to one; known later than the Snakefile is read.
        cores: number of cores of this machine that the workflow may use; asked for on one machine only.
    """

    workflow: Workflow
    on_cluster: Callable[[], bool]
    cores: Callable[[], int]

    def machine_threads(self) -> int:
        """Threads of a step that takes all of a machine: all cores here, those of one process on a cluster."""
        return self.workflow.replication.scale.threads if self.on_cluster() else self.cores()

    def training(self, task: Task) -> dict[str, Any]:
        """Return the resources of a training; of one on several nodes, also how its processes are shared among them."""
        scale = self.workflow.replication.scale
        asked = self._resources("train", task, gpu=scale.devices)
        if scale.nodes == 1:
            return asked
        each = scale.devices // scale.nodes
        tasks = {"tasks_per_node": each} if each > 1 else {"tasks": scale.nodes}  # the executor refuses one per node
        # With `mpi`, the executor leaves it to the step to call srun; with 0, it asks for no more tasks for each GPU.
        shared = {"mpi": "srun", "tasks_per_gpu": 0, "cpus_per_task": scale.threads}
        return asked | {"nodes": scale.nodes} | tasks | shared

    def launcher(self) -> str:
        """Return what precedes the command of a training: srun, for one on several nodes of a cluster."""
        scale = self.workflow.replication.scale
        if scale.nodes == 1 or not self.on_cluster():
            return ""
        each = scale.devices // scale.nodes
        shares = f"--nodes={scale.nodes} --ntasks-per-node={each} --cpus-per-task={scale.threads}"
        return f"srun --ntasks={scale.devices} {shares} --kill-on-bad-exit=1 "

    def evaluation(self, task: Task) -> dict[str, Any]:
        """Return the resources of an evaluation."""
        return self._resources("evaluate", task, gpu=1)

    def measurement(self, *, alone: bool = False) -> dict[str, Any]:
        """Return the resources of a measurement of no single run; `alone`: nothing else may run on its node."""
        extra = {"slurm_extra": "--exclusive"} if alone else {}
        return {**self._resources("measure", Task.CLASSIFICATION, gpu=1), **extra}

    def preparation(self) -> dict[str, Any]:
        """Return the resources of `sgenet prepare`."""
        real = self._is_real()
        runtime = UNKNOWN["prepare"] if real else EMBEDDED
        return {"mem_mb": DATA if real else SMALL, "runtime": runtime, "nodes": 1}

    def small(self) -> dict[str, Any]:
        """Return the resources of a step without images and GPU."""
        return {"mem_mb": SMALL, "runtime": OTHERS, "nodes": 1}

    def gpus(self, count: int) -> int:
        """GPUs of a job that uses `count` devices.

        A scale with `device: auto` asks a cluster for GPUs, whatever the machine is that submits the job. On one
        machine it takes those that are there.
        """
        wanted = self.workflow.replication.scale.device != "cpu" if self.on_cluster() else self.workflow.gpus
        return count * int(wanted)

    def minutes(self, step: str, run: Run | None, attempt: int = 1) -> int:
        """Time limit of a step, in minutes: more with each attempt."""
        known = self.durations.of(step, run) if run and self.on_cluster() else None
        if known:
            return math.ceil(attempt * (MARGIN * known[0] / 60 + START))
        most = UNKNOWN.get(step, OTHERS)
        return attempt * (most if self._is_real() else min(most, EMBEDDED))

    def memory(self, step: str, task: Task) -> int:
        """Memory of a step on a node, in MB: that of all its processes there."""
        scale = self.workflow.replication.scale
        processes = scale.devices // scale.nodes if step == "train" else 1
        if not self._is_real():
            return SMALL * processes
        return processes * (PROCESS[task] + WORKER * self._workers(task))

    def _resources(self, step: str, task: Task, gpu: int) -> dict[str, Any]:
        def runtime(wildcards: Any, attempt: int) -> int:
            run_id = f"{task}/{wildcards.name}" if hasattr(wildcards, "name") else FIGURES_RUN
            return self.minutes(step, self.workflow.replication.runs.get(run_id), attempt)

        memory, count = self.memory(step, task), gpu
        return {"mem_mb": memory, "runtime": runtime, "nodes": 1, "gpu": lambda wildcards: self.gpus(count)}

    def _is_real(self) -> bool:
        """Whether any task has data of the user."""
        data = self.workflow.replication.scale.data
        return any(data.of(task).source != "embedded" for task in self.workflow.replication.tasks)

    def _workers(self, task: Task) -> int:
        """Most processes that read images for one process of a training."""
        settings: list[TrainingSettings] = [
            run.settings for run in self.workflow.replication.runs.values() if run.task is task
        ]
        return max((one.workers for one in settings), default=0)

    @cached_property
    def durations(self) -> Durations:
        """How long steps take, on the kind of device that the scale asks for."""
        device = "cpu" if self.workflow.replication.scale.device == "cpu" else "cuda"
        return Durations(self.workflow.artifacts, planned_on=device)


def suggestions(replication: Replication) -> list[dict[str, Any]]:
    """Return what jobs of trainings and evaluations ask a cluster for, by rule: minutes of the longest one, and MB.

    `from` is what the minutes are from; None where nothing was measured or planned.
    """
    asked, found = JobResources(Workflow(replication), lambda: True, lambda: 1), []
    for task in replication.tasks:
        runs = [run for run in replication.runs.values() if run.task is task]
        for step in ("train", "evaluate"):
            minutes, longest = max(((asked.minutes(step, run), run) for run in runs), key=lambda pair: pair[0])
            known = asked.durations.of(step, longest)
            needs = {"runtime": minutes, "mem_mb": asked.memory(step, task), "from": known and known[1]}
            found.append({"rule": f"{step}_{NOUNS[task]}", **needs})
    return found
