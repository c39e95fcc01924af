"""Preload modules shared by the steps of a workflow: the fork server imports them once, before it forks."""

import contextlib
from importlib import import_module

from sgenet.provenance.origin import commit

_PRELOAD = {  # imports of a task's steps, including late ones: wandb.sdk.launch for wandb.init
    "classification": ("sgenet.pipeline.steps", "sgenet.config.replication", "wandb.sdk.launch",
                       "sgenet.classification.train", "sgenet.classification.evaluate"),
    "detection": ("sgenet.detection.train", "sgenet.detection.evaluate", "mmdet.models", "mmdet.datasets"),
}  # fmt: skip


def preload(arguments: list[str]) -> None:
    """Import what a step with these arguments needs and compile SGE."""
    tasks = ("classification", "detection") if any("detection/" in word for word in arguments) else ("classification",)
    for task in tasks:
        for name in _PRELOAD[task]:
            with contextlib.suppress(Exception):  # the step itself reports the error
                import_module(name)
    with contextlib.suppress(Exception):
        import_module("sgenet.kernels.cpu").load()
    commit()  # cached: forks run the code of this commit, even if HEAD changes later
