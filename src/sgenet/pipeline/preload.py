"""What the steps of a workflow share: imported once in the fork server, before it forks them."""

import contextlib
from functools import cache
from importlib import import_module

from sgenet.provenance.origin import commit

_PRELOAD = {  # what steps of a task import, in their course too: runs need jsonschema, and wandb.init its launch
    "classification": ("sgenet.pipeline.steps", "sgenet.config.runs", "jsonschema", "wandb.sdk.launch",
                       "sgenet.classification.train", "sgenet.classification.evaluate"),
    "detection": ("sgenet.detection.train", "sgenet.detection.evaluate", "mmdet.models", "mmdet.datasets"),
}  # fmt: skip


def preload(arguments: list[str]) -> None:
    """Import what a step with these arguments needs, compile SGE, and check the parameters."""
    tasks = ("classification", "detection") if any("detection/" in word for word in arguments) else ("classification",)
    for task in tasks:
        for name in _PRELOAD[task]:
            with contextlib.suppress(Exception):  # the step itself says what is wrong
                import_module(name)
    with contextlib.suppress(Exception):
        import_module("sgenet.kernels.cpu").load()
    with contextlib.suppress(Exception):
        _check_params(*arguments[arguments.index("--scale") + 1 :][:1])
    commit()  # kept: that of the code which the forks run, whatever is committed meanwhile


@cache
def _check_params(scale: str) -> None:
    """Check the parameters once: forks keep what was found valid, and read their files again."""
    from sgenet.config.runs import load_replication

    load_replication(scale)
