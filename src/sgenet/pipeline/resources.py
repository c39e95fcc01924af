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
from sgenet.config.runs import FIGURES_RUN, Run
from sgenet.config.tasks import Task
from sgenet.pipeline.durations import Durations
from sgenet.pipeline.workflow import Workflow

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
        """Return the resources of a training."""
        return self._resources("train", task, gpu=self.workflow.replication.scale.devices)

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
        known = self._durations.of(step, run) if run and self.on_cluster() else None
        if known:
            return math.ceil(attempt * (MARGIN * known[0] / 60 + START))
        most = UNKNOWN.get(step, OTHERS)
        return attempt * (most if self._is_real() else min(most, EMBEDDED))

    def memory(self, step: str, task: Task) -> int:
        """Memory of a step, in MB: that of all its processes."""
        scale = self.workflow.replication.scale
        if not self._is_real():
            return SMALL * (scale.devices if step == "train" else 1)
        processes = scale.devices if step == "train" else 1
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
    def _durations(self) -> Durations:
        device = "cpu" if self.workflow.replication.scale.device == "cpu" else "cuda"
        return Durations(self.workflow.artifacts, planned_on=device)
