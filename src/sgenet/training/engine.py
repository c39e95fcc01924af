"""Training on mmengine's Runner, shared by classifiers and detectors: schedule, seeds, history, checkpoints."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmengine.dist import all_reduce, barrier, broadcast, get_dist_info
from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from sgenet.config.recipes import Training
from sgenet.errors import InputError
from sgenet.training import devices
from sgenet.training.batches import entropy, pieces_of_step, seed_everything
from sgenet.training.resume import Weights, load_checkpoint, newest_checkpoint, save_checkpoint, write_history
from sgenet.weights.checkpoints import copy_weights, save_tensors, save_weights

Log = Callable[[dict[str, float]], None]
_LOSSES_AT_ONCE = 50
_SILENCE = 60  # seconds between lines of progress where there is no terminal for a bar


def schedulers(settings: Training, warmup: list[dict[str, Any]], iterations: int) -> list[dict[str, Any]]:
    """mmengine's configuration of the learning rate schedule: warm-up, then steps or a cosine to the last epoch.

    `iterations` is the number of steps per epoch; the cosine is updated after each step.
    """
    schedule, epochs = settings.schedule, settings.epochs
    if schedule.type == "step":
        steps = {"type": "MultiStepLR", "milestones": schedule.milestones, "gamma": schedule.gamma}
        return [*warmup, {**steps, "by_epoch": True, "begin": 0, "end": epochs}]
    total = epochs * iterations
    return [*warmup, {"type": "CosineAnnealingLR", "T_max": total, "by_epoch": False, "begin": 0, "end": total}]


class QuietRunner(Runner):
    """mmengine's Runner without its report on the environment, its log file and its configuration file.

    The report takes seconds, and this project records the environment in its own provenance files. The two files are
    not used, and writing them would fail on a full disk.
    """

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        pass

    def build_logger(self, log_level: str = "INFO", log_file: str | None = None, **more: Any) -> MMLogger:
        """Return a logger of this experiment that writes to no file."""
        return MMLogger.get_instance(self._experiment_name, log_level=log_level)

    def dump_config(self) -> None:
        """Write no configuration file."""


def optim_wrapper(settings: Training, **more: Any) -> dict[str, Any]:
    """mmengine's configuration of the optimiser and of gradient accumulation."""
    return {
        "type": "OptimWrapper",
        "optimizer": settings.optimizer.plain() | {"fused": True},
        "accumulative_counts": pieces_of_step(settings) // get_dist_info()[1],
        **more,
    }


class StepSchedulerHook(ParamSchedulerHook):
    """Make schedules that count iterations count optimiser steps, independently of the number of devices."""

    def after_train_iter(self, runner: Runner, batch_idx: int, *data: Any, **more: Any) -> None:
        """After the last micro-batch of an optimiser step: advance the schedules that count iterations."""
        if (batch_idx + 1) % runner.optim_wrapper._accumulative_counts == 0:
            super().after_train_iter(runner, batch_idx, *data, **more)


class EpochHook(Hook):
    """Seed each micro-batch, show progress, save checkpoints; after training, write the history and the weights.

    Random numbers depend only on the run's seed, the epoch and the micro-batch. A run that continues from a checkpoint
    therefore draws the same numbers as an uninterrupted one, and several processes draw the same numbers as one.

    Only the first micro-batch of a step updates the running statistics of batch normalisation. The authors'
    DataParallel does the same: it keeps the statistics of its first device.

    Args:
        run_id: for messages.
        folder: of the run's checkpoints.
        output: receives `history.csv`, `last.safetensors` and, if `best` is given, `best.safetensors`.
        seed: of the run.
        network: module whose weights are saved.
        best: validation metric whose highest value selects the best epoch; None to save the last epoch only.
        log: called with each epoch's row.
    """

    priority = "LOW"  # after mmengine's ParamSchedulerHook: the checkpoint must include its step

    def __init__(
        self,
        run_id: str,
        folder: Path,
        output: Path,
        seed: int,
        network: nn.Module,
        best: str | None,
        log: Log | None = None,
    ) -> None:
        self.run_id, self.folder, self.output, self.seed = run_id, folder, output, seed
        self.network, self.best, self.log = network, best, log
        self._best_weights: Weights | None = None
        self.history: list[dict[str, float]] = []
        self._rank, self._world = get_dist_info()
        self._norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
        self._losses: list[dict[str, Tensor]] = []
        self._sums: dict[str, float] = {}
        self._iterations = 0
        self._last_finite = math.nan
        self._lr = math.nan
        self._started = 0.0
        self._last_output = time.monotonic()
        self._bar: Any = None

    def before_train(self, runner: Runner) -> None:
        """Before the first epoch: load the newest intact checkpoint and report where training continues."""
        if self._rank:
            barrier()  # wait for rank 0, which removes damaged checkpoints
        checkpoint, damaged = newest_checkpoint(self.folder)
        if not self._rank:
            barrier()
        if damaged:
            self._print(f"damaged checkpoints are not used: {', '.join(damaged)}")
        if checkpoint:
            load_checkpoint(runner, checkpoint)
            self.history, self._best_weights = checkpoint.state["history"], checkpoint.state["best"]
            self._print(f"continues after epoch {runner.epoch}")
            if self.log:
                for row in self.history:
                    self.log(row)
        elif damaged:
            self._print("starts from the beginning")

        where = f"{self._world} device{'s' * (self._world > 1)}"
        steps = len(runner.train_dataloader) // runner.optim_wrapper._accumulative_counts
        self._print(f"{runner.max_epochs - runner.epoch} epochs of {steps} steps, on {where}")

    def before_train_epoch(self, runner: Runner) -> None:
        """Before an epoch: pass its number to the data set, reset the sums, open the progress bar."""
        runner.train_dataloader.dataset.epoch = runner.epoch
        self._sums, self._iterations, self._started = {}, 0, time.monotonic()
        title = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        hidden = None if self._rank == 0 else True  # None: on a terminal only
        self._bar = tqdm(total=len(runner.train_dataloader), desc=title, disable=hidden, leave=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Before a micro-batch: seed it, and select whether it updates the running statistics."""
        seed_everything(entropy(self.seed, runner.epoch, batch_idx * self._world + self._rank))
        self._lr = runner.optim_wrapper.get_lr()["lr"][0]
        pieces = runner.optim_wrapper._accumulative_counts
        if pieces * self._world > 1:
            for norm in self._norms:
                norm.track_running_stats = self._rank == 0 and batch_idx % pieces == 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """After a micro-batch: collect its losses and report progress."""
        self._losses.append({name: value.detach() for name, value in (outputs or {}).items() if "loss" in name})
        self._bar.update()
        if time.monotonic() - self._last_output > _SILENCE and not sys.stderr.isatty():
            self._last_output = time.monotonic()
            self._print(f"epoch {runner.epoch + 1}, iteration {batch_idx + 1} of {len(runner.train_dataloader)}")
        if len(self._losses) >= (_LOSSES_AT_ONCE if torch.cuda.is_initialized() else 1):
            self._count_losses(runner)

    def _count_losses(self, runner: Runner) -> None:
        """Add the collected losses to the sums of the epoch; done rarely, since it waits for the GPU."""
        for named in self._losses:
            losses = dict(zip(named, torch.stack(list(named.values())).tolist(), strict=True))
            self._iterations += 1
            for name in ("loss", *losses):
                if not math.isfinite(losses[name]):
                    self._diverged(runner, f"the {name} is {losses[name]}")
            self._last_finite = losses["loss"]
            for name, loss in losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + loss
        self._losses = []

    def _check_weights(self, runner: Runner) -> None:
        """Raise an InputError for weights that are not finite, so that no checkpoint contains them."""
        floating = {name: value for name, value in self.network.state_dict().items() if value.is_floating_point()}
        finite = torch.stack([value.isfinite().all() for value in floating.values()]).tolist()
        for name, good in zip(floating, finite, strict=True):
            if not good:
                self._diverged(runner, f"{name} is not finite")

    def _diverged(self, runner: Runner, what: str) -> NoReturn:
        last = "none in this epoch" if math.isnan(self._last_finite) else f"{self._last_finite:.4g}"
        raise InputError(
            f"{self.run_id}: {what} in epoch {runner.epoch + 1}, iteration {self._iterations} "
            f"(last finite loss: {last}); expected finite numbers: lower the learning rate"
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """After an epoch's training: broadcast the running statistics and check the weights."""
        self._count_losses(runner)
        self._bar.close()
        for norm in self._norms:
            norm.track_running_stats = True
            for buffer in norm.buffers():
                broadcast(buffer, 0)
        self._check_weights(runner)
        if runner.val_loop is None:
            self._finish_epoch(runner, runner.epoch + 1, {})

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """After an epoch's validation: record its metrics and save a checkpoint."""
        named = {name.rpartition("/")[2]: float(value) for name, value in (metrics or {}).items()}
        self._finish_epoch(runner, runner.epoch, named)

    def _finish_epoch(self, runner: Runner, epoch: int, metrics: dict[str, float]) -> None:
        sums = torch.tensor([*self._sums.values(), self._iterations], dtype=torch.float64)
        all_reduce(sums)
        means = dict(zip(self._sums, (sums[:-1] / sums[-1]).tolist(), strict=True))
        row = {"epoch": epoch, "loss": means.pop("loss"), "lr": self._lr, **metrics, **means}
        row["seconds"] = time.monotonic() - self._started
        self.history.append(row)
        if self._rank:
            return
        if self.best and row[self.best] > max((r[self.best] for r in self.history[:-1]), default=-math.inf):
            self._best_weights = copy_weights(self.network)
        save_checkpoint(runner, self.history, self._best_weights, self.folder)
        if self.log:
            self.log(row)
        shown = ", ".join(f"{name} {row[name]:.4g}" for name in ("loss", *metrics, "lr", "seconds"))
        self._print(f"epoch {epoch}/{runner.max_epochs}: {shown}")

    def after_train(self, runner: Runner) -> None:
        """After the last epoch: write the weights and the history, in the first process."""
        if self._rank:
            return
        (self.output / "training.json").unlink(missing_ok=True)  # training.json must never describe older weights
        if self._best_weights is not None:
            save_tensors(self._best_weights, self.output / "best.safetensors")
        save_weights(self.network, self.output / "last.safetensors")
        write_history(self.history, self.output / "history.csv")

    def _print(self, text: str) -> None:
        if self._rank == 0:
            print(f"{self.run_id}: {text}", flush=True)


def runner_settings(folder: Path, seed: int, epochs: int) -> dict[str, Any]:
    """Arguments of the Runner common to both tasks; EpochHook replaces its checkpoints and logs."""
    return {
        "work_dir": str(folder / "mmengine"),
        "randomness": {"seed": seed},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs},
        "default_hooks": {"checkpoint": None, "logger": None, "param_scheduler": {"type": StepSchedulerHook}},
        "launcher": "pytorch" if devices.launched() else "none",
        "cfg": {
            "model_wrapper_cfg": {
                "type": "MMDistributedDataParallel",
                "device_ids": None,  # the model's device; mmengine would select a GPU for a model on the CPU
                "broadcast_buffers": False,
            }
        },
        "visualizer": {"type": "Visualizer", "vis_backends": []},
        "log_level": "ERROR",
    }
