"""Hooks that act on complete epochs: history, best weights, checkpoints, log, progress, results.

`training_hooks` returns all hooks of a training in the order in which mmengine calls them. When an epoch is complete, a
row is added to the history, then the best weights are copied, then a checkpoint and the history are written. Only then
is the row logged and printed.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from sgenet.config import paths
from sgenet.training.resume import Row, Weights, load_checkpoint, newest_checkpoint, save_checkpoint, write_history
from sgenet.training.step_hooks import BatchNormHook, LossHook, SeedHook, accumulation
from sgenet.weights.checkpoints import copy_weights, save_tensors, save_weights

Log = Callable[[Row], None]
_SILENCE = 60  # seconds between lines of progress where there is no terminal for a bar


@dataclass
class TrainingState:
    """What the hooks of a training share: a row per epoch, and the best epoch's weights if they are wanted."""

    history: list[Row] = field(default_factory=list)
    best: Weights | None = None


def training_hooks(
    run_id: str, folder: Path, output: Path, seed: int, network: nn.Module, best: str | None, log: Log | None = None
) -> list[Hook]:
    """Hooks of this process in a training.

    Args:
        run_id: for messages.
        folder: of the run's checkpoints.
        output: receives `history.csv`, `last.safetensors` and, if `best` is given, `best.safetensors`.
        seed: of the run.
        network: module whose weights are saved.
        best: validation metric whose highest value selects the best epoch; None to save the last epoch only.
        log: called with each epoch's row.
    """
    state, main, losses = TrainingState(), is_main_process(), LossHook(run_id, network)
    hooks = [SeedHook(seed), BatchNormHook(network), losses, HistoryHook(losses, state)]
    if main and best:
        hooks.append(BestWeightsHook(network, best, state))
    hooks.append(ResumeHook(run_id, folder, state))
    if main and log:
        hooks.append(LogHook(log, state))
    if main:
        hooks += [ProgressHook(run_id, state), ResultHook(network, output, state)]
    return hooks


class EpochEndHook(Hook):
    """Base of hooks that act when an epoch is complete: after its validation, if the run has a validation."""

    priority = "LOW"  # after mmengine's ParamSchedulerHook: the checkpoint must include its step

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.val_loop is None:
            self.finish_epoch(runner, {})

    def after_val_epoch(self, runner: Runner, metrics: Row | None = None) -> None:
        named = {name.rpartition("/")[2]: float(value) for name, value in (metrics or {}).items()}
        self.finish_epoch(runner, named)

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        """Act on a complete epoch; `metrics` are those of its validation."""
        raise NotImplementedError


class HistoryHook(EpochEndHook):
    """Add a row to the history: losses, learning rate of the last micro-batch, metrics, seconds."""

    def __init__(self, losses: LossHook, state: TrainingState) -> None:
        self.losses, self.state = losses, state
        self._started, self._lr = 0.0, math.nan

    def before_train_epoch(self, runner: Runner) -> None:
        self._started = time.monotonic()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        self._lr = runner.optim_wrapper.get_lr()["lr"][0]

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        row = {"epoch": len(self.state.history) + 1, "loss": self.losses.means["loss"], "lr": self._lr, **metrics}
        row |= {name: loss for name, loss in self.losses.means.items() if name != "loss"}
        self.state.history.append({**row, "seconds": time.monotonic() - self._started})


class BestWeightsHook(EpochEndHook):
    """Keep a copy of the weights of the epoch with the highest validation metric; of equal ones, the first."""

    def __init__(self, network: nn.Module, metric: str, state: TrainingState) -> None:
        self.network, self.metric, self.state = network, metric, state

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        *earlier, last = (row[self.metric] for row in self.state.history)
        if last > max(earlier, default=-math.inf):
            self.state.best = copy_weights(self.network)


class ResumeHook(EpochEndHook):
    """Write a checkpoint and the history so far after each epoch, and continue from the newest intact checkpoint.

    `sgenet status` reads the history: a checkpoint contains it too, but takes torch to read.
    """

    def __init__(self, run_id: str, folder: Path, state: TrainingState) -> None:
        self.run_id, self.folder, self.state = run_id, folder, state

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():
            barrier()  # wait for the first process, which removes damaged checkpoints
        checkpoint, damaged = newest_checkpoint(self.folder)
        if is_main_process():
            barrier()
        if damaged:
            self._print(f"damaged checkpoints are not used: {', '.join(damaged)}")
        if checkpoint:
            load_checkpoint(runner, checkpoint)
            self.state.history, self.state.best = checkpoint.state["history"], checkpoint.state["best"]
            self._print(f"continues after epoch {runner.epoch}")
        elif damaged:
            self._print("starts from the beginning")

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        if is_main_process():
            save_checkpoint(runner, self.state.history, self.state.best, self.folder)
            write_history(self.state.history, self.folder / paths.HISTORY)

    def _print(self, text: str) -> None:
        if is_main_process():
            print(f"{self.run_id}: {text}", flush=True)


class LogHook(EpochEndHook):
    """Pass each row of the history to a function; of a continued run, the rows of its checkpoint too."""

    def __init__(self, log: Log, state: TrainingState) -> None:
        self.log, self.state = log, state

    def before_train(self, runner: Runner) -> None:
        for row in self.state.history:
            self.log(row)

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        self.log(self.state.history[-1])


class ProgressHook(EpochEndHook):
    """Print a line per epoch. Within an epoch, show a bar on a terminal, and print a line per minute elsewhere."""

    def __init__(self, run_id: str, state: TrainingState) -> None:
        self.run_id, self.state = run_id, state
        self._printed = time.monotonic()
        self._bar: Any = None

    def before_train(self, runner: Runner) -> None:
        world = get_dist_info()[1]
        steps = len(runner.train_dataloader) // accumulation(runner)
        where = f"{world} device{'s' * (world > 1)}"
        self._print(f"{runner.max_epochs - runner.epoch} epochs of {steps} steps, on {where}")

    def before_train_epoch(self, runner: Runner) -> None:
        title = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        self._bar = tqdm(total=len(runner.train_dataloader), desc=title, disable=None, leave=False)

    def after_train_iter(self, runner: Runner, batch_idx: int, *data: object, **more: object) -> None:
        self._bar.update()
        if time.monotonic() - self._printed > _SILENCE and not sys.stderr.isatty():
            self._printed = time.monotonic()
            self._print(f"epoch {runner.epoch + 1}, iteration {batch_idx + 1} of {len(runner.train_dataloader)}")

    def after_train_epoch(self, runner: Runner) -> None:
        self._bar.close()
        super().after_train_epoch(runner)

    def finish_epoch(self, runner: Runner, metrics: Row) -> None:
        row = self.state.history[-1]
        shown = ", ".join(f"{name} {row[name]:.4g}" for name in ("loss", *metrics, "lr", "seconds"))
        self._print(f"epoch {row['epoch']}/{runner.max_epochs}: {shown}")

    def _print(self, text: str) -> None:
        print(f"{self.run_id}: {text}", flush=True)


class ResultHook(Hook):
    """After the last epoch, write `last.safetensors`, `history.csv` and, if there are best weights, those."""

    priority = "LOW"

    def __init__(self, network: nn.Module, output: Path, state: TrainingState) -> None:
        self.network, self.output, self.state = network, output, state

    def after_train(self, runner: Runner) -> None:
        (self.output / paths.TRAINING).unlink(missing_ok=True)  # training.json must never describe older weights
        if self.state.best is not None:
            save_tensors(self.state.best, self.output / paths.BEST)
        save_weights(self.network, self.output / paths.LAST)
        write_history(self.state.history, self.output / paths.HISTORY)
