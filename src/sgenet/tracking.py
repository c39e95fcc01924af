"""Curves and settings to Weights & Biases: offline unless asked, never a prompt, never an account needed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sgenet.params import Settings


@contextmanager
def wandb_run(
    settings: Settings, *, name: str, group: str, config: Settings
) -> Iterator[Callable[[dict[str, float]], None] | None]:
    """Open a W&B run and yield the function that logs a row of the history; None when W&B is disabled.

    Args:
        settings: `wandb` of params/pipeline.yaml; the environment variable WANDB_MODE goes before its mode.
        name: of the run.
        group: runs that belong together.
        config: settings to record.
    """
    mode = os.environ.get("WANDB_MODE", settings["mode"])
    if "disabled" in (mode, settings["mode"]):
        yield None
        return
    import wandb

    run = wandb.init(
        project=settings["project"],
        name=name,
        group=group,
        config=config,
        mode=mode,  # type: ignore[arg-type]
        dir=".",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    try:
        yield lambda row: run.log(row, step=int(row["epoch"]))
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()
