"""Curves and settings to Weights & Biases: offline unless asked, never a prompt, never an account needed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sgenet.params import Settings

_LONGEST_TAG = 64  # characters; W&B refuses longer ones


@contextmanager
def wandb_run(
    settings: Settings, *, name: str, scale: str, task: str, tables: list[str], config: Settings
) -> Iterator[Callable[[dict[str, float]], None] | None]:
    """Open a W&B run and yield the function that logs a row of the history; None when W&B is disabled.

    Args:
        settings: `wandb` of params/pipeline.yaml; the environment variable WANDB_MODE goes before its mode.
        name: of the run.
        scale: of the run; those of different scales never stand in one group.
        task: of the run.
        tables: that the run belongs to: the first one's runs are a group, and each is a tag.
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
        group=f"{scale}/{tables[0]}",
        job_type=task,
        tags=[tag[:_LONGEST_TAG] for tag in (scale, *tables)],
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
