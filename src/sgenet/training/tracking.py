"""Log learning curves and settings to Weights & Biases: offline by default, without prompts or an account."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sgenet.config.pipeline import WandB
from sgenet.errors import InputError

_MODES = ("online", "offline", "disabled")
_LONGEST_TAG = 64  # characters; W&B refuses longer ones


@contextmanager
def wandb_run(
    settings: WandB, *, name: str, scale: str, task: str, tables: list[str], config: dict[str, Any]
) -> Iterator[Callable[[dict[str, float]], None] | None]:
    """Open a W&B run and yield the function that logs a row of the history; None when W&B is disabled.

    If W&B fails, for instance on a full disk, the failure is reported once and further rows are not logged.

    Args:
        settings: `wandb` of params/pipeline.yaml; the environment variable WANDB_MODE overrides its mode.
        name: of the run.
        scale: of the run; runs of different scales are never in the same group.
        task: of the run.
        tables: that contain the run: the first one is the W&B group, and each is a tag.
        config: settings to record.

    Raises:
        InputError: WANDB_MODE is none of the modes.
    """
    mode = os.environ.get("WANDB_MODE") or settings.mode
    if mode not in _MODES:
        raise InputError(f"environment variable WANDB_MODE: found {mode!r}, expected one of {', '.join(_MODES)}")
    if "disabled" in (mode, settings.mode):
        yield None
        return
    opened = _Run(lambda: _open(mode, settings.project, name, scale, task, tables, config))
    try:
        yield opened.log
    except BaseException:
        opened.finish(exit_code=1)
        raise
    opened.finish()


class _Run:
    """A W&B run that is abandoned when W&B fails; the failure is reported once and the training continues."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._run = self._try(make)

    def log(self, row: dict[str, float]) -> None:
        if self._run is not None:
            self._try(lambda: self._run.log(row, step=int(row["epoch"])))

    def finish(self, exit_code: int = 0) -> None:
        if self._run is not None:
            self._try(lambda: self._run.finish(exit_code=exit_code))

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            self._run = None
            print(f"wandb: {type(error).__name__}: {error!s:.200}; the training continues without W&B", flush=True)


def _open(mode: str, project: str, name: str, scale: str, task: str, tables: list[str], config: dict[str, Any]) -> Any:
    import wandb

    return wandb.init(
        project=project,
        name=name,
        group=f"{scale}/{tables[0]}",
        job_type=task,
        tags=[tag[:_LONGEST_TAG] for tag in (scale, *tables)],
        config=config,
        mode=mode,  # type: ignore[arg-type]
        dir=".",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
