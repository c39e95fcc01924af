"""Whether what is due of a workflow can run on this machine: the folders of its data are there, and the GPU."""

from sgenet.data.roots import resolve_root
from sgenet.errors import InputError
from sgenet.pipeline.workflow import Workflow
from sgenet.training import devices


def refuse(workflow: Workflow, *, trains: bool = True) -> str | None:
    """Return why what is due cannot run here; None if it can.

    Args:
        workflow: as the rules see it.
        trains: whether networks are trained or measured, for which the scale may need CUDA.
    """
    file = f"params/scales/{workflow.scale}.yaml"
    for task in workflow.replication.tasks:
        root: str | None = getattr(workflow.replication.scale.data.of(task), "root", None)
        if root is not None and workflow.artifacts.due(workflow.artifacts.data(task)):
            try:
                resolve_root(root, f"{file}: data.{task}.root")
            except InputError as error:
                return str(error)
    scale = workflow.replication.scale
    why = devices.lacking(scale.device, scale.devices) if trains else None
    if why is None:
        return None
    current = workflow.stages()
    return None if all(current[stage] for stage in ("classify", "detect", "evaluate")) else f"{file}: {why}"
