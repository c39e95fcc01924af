"""Whether this machine can run what is due of a workflow."""

from sgenet.pipeline.workflow import Workflow
from sgenet.training import devices


def refuse(workflow: Workflow) -> str | None:
    """Return why jobs that are due cannot run on this machine: the scale needs CUDA; None if they can."""
    why = devices.lacking(workflow.replication.scale.device)
    if why is None:
        return None
    current = workflow.stages()
    if all(current[stage] for stage in ("classify", "detect", "evaluate")):
        return None
    return f"params/scales/{workflow.scale}.yaml: {why}"
