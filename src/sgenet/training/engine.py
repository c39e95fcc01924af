"""What training of classifiers and detectors has in common, on mmengine's Runner: schedule, seeds, history."""

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

from sgenet.config.params import Settings
from sgenet.errors import InputError
from sgenet.training import devices
from sgenet.training.batches import entropy, pieces_of_step, seed_everything
from sgenet.training.resume import Weights, load_checkpoint, newest_checkpoint, save_checkpoint, write_history
from sgenet.weights.checkpoints import copy_weights, save_tensors, save_weights

Log = Callable[[dict[str, float]], None]
_LOSSES_AT_ONCE = 50
_SILENCE = 60  # seconds without a word where there is no terminal for a bar


def schedulers(settings: Settings, warmup: list[dict[str, Any]], iterations: int) -> list[dict[str, Any]]:
    """mmengine's configuration of the learning rate's course: warm-up first, then steps or a cosine to the last epoch.

    `iterations` is the number of steps an epoch; the cosine falls a little with each.
    """
    schedule, epochs = settings["schedule"], settings["epochs"]
    if schedule["type"] == "step":
        steps = {"type": "MultiStepLR", "milestones": schedule["milestones"], "gamma": schedule["gamma"]}
        return [*warmup, {**steps, "by_epoch": True, "begin": 0, "end": epochs}]
    total = epochs * iterations
    return [*warmup, {"type": "CosineAnnealingLR", "T_max": total, "by_epoch": False, "begin": 0, "end": total}]


class QuietRunner(Runner):
    """mmengine's Runner without its survey of compilers and environment, which costs seconds: origins record those.

    And without its files, a log and its configuration, which nobody reads and a full disk would take amiss.
    """

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        pass

    def build_logger(self, log_level: str = "INFO", log_file: str | None = None, **more: Any) -> MMLogger:
        """Return a logger of this experiment that writes to no file."""
        return MMLogger.get_instance(self._experiment_name, log_level=log_level)

    def dump_config(self) -> None:
        """Write no configuration file."""


def optim_wrapper(settings: Settings, **more: Any) -> dict[str, Any]:
    """mmengine's configuration of the optimiser and of the adding up of gradients."""
    return {
        "type": "OptimWrapper",
        "optimizer": settings["optimizer"] | {"fused": True},
        "accumulative_counts": pieces_of_step(settings) // get_dist_info()[1],
        **more,
    }


class StepSchedulerHook(ParamSchedulerHook):
    """Schedules that count iterations count steps of the optimiser, whatever the number of devices."""

    def after_train_iter(self, runner: Runner, batch_idx: int, *data: Any, **more: Any) -> None:
        """After the last micro-batch of an optimiser step: advance the schedules that count iterations."""
        if (batch_idx + 1) % runner.optim_wrapper._accumulative_counts == 0:
            super().after_train_iter(runner, batch_idx, *data, **more)


class EpochHook(Hook):
    """Seeds each batch, shows progress, keeps checkpoints to continue from; in the end writes history and weights.

    Random numbers depend on the run's seed, the epoch and the batch alone, so a run continued at the start of an epoch
    goes through the same ones as one that was never interrupted, and several processes through the same as one.

    Of a step's pieces the first alone moves the running statistics of batch normalisation, as in the authors'
    DataParallel, which keeps those of its first device.

    Args:
        run_id: for messages.
        folder: the run's unfinished state.
        output: receives `history.csv`, `last.safetensors` and, if `best` is given, `best.safetensors`.
        seed: of the run.
        network: what the weights are saved of.
        best: column of the validation metrics whose highest epoch counts as best.
        log: called with each epoch's row.
    """

    priority = "LOW"  # behind mmengine's ParamSchedulerHook, whose step the checkpoint must hold

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
        self._told = time.monotonic()
        self._bar: Any = None

    def before_train(self, runner: Runner) -> None:
        """Before the first epoch: load the newest whole checkpoint and report where training continues."""
        if self._rank:
            barrier()  # behind the first process, which removes what is damaged
        checkpoint, damaged = newest_checkpoint(self.folder)
        if not self._rank:
            barrier()
        if damaged:
            self._tell(f"damaged checkpoints are not used: {', '.join(damaged)}")
        if checkpoint:
            load_checkpoint(runner, checkpoint)
            self.history, self._best_weights = checkpoint.state["history"], checkpoint.state["best"]
            self._tell(f"continues after epoch {runner.epoch}")
            if self.log:
                for row in self.history:
                    self.log(row)
        elif damaged:
            self._tell("starts from the beginning")

        where = f"{self._world} device{'s' * (self._world > 1)}"
        steps = len(runner.train_dataloader) // runner.optim_wrapper._accumulative_counts
        self._tell(f"{runner.max_epochs - runner.epoch} epochs of {steps} steps, on {where}")

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
        if time.monotonic() - self._told > _SILENCE and not sys.stderr.isatty():
            self._told = time.monotonic()
            self._tell(f"epoch {runner.epoch + 1}, iteration {batch_idx + 1} of {len(runner.train_dataloader)}")
        if len(self._losses) >= (_LOSSES_AT_ONCE if torch.cuda.is_initialized() else 1):
            self._count_losses(runner)

    def _count_losses(self, runner: Runner) -> None:
        """Add up the losses that were not looked at yet: each look waits for the GPU."""
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
        """Refuse weights that are not finite, as the last step of an epoch may leave them: no checkpoint takes them."""
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
        self._tell(f"epoch {epoch}/{runner.max_epochs}: {shown}")

    def after_train(self, runner: Runner) -> None:
        """After the last epoch: write the weights and the history, in the first process."""
        if self._rank:
            return
        (self.output / "training.json").unlink(missing_ok=True)  # an old origin never stands beside new weights
        if self._best_weights is not None:
            save_tensors(self._best_weights, self.output / "best.safetensors")
        save_weights(self.network, self.output / "last.safetensors")
        write_history(self.history, self.output / "history.csv")

    def _tell(self, text: str) -> None:
        if self._rank == 0:
            print(f"{self.run_id}: {text}", flush=True)


def runner_settings(folder: Path, seed: int, epochs: int) -> dict[str, Any]:
    """What both tasks pass to the Runner: our own progress and checkpoints in place of its files and long logs."""
    return {
        "work_dir": str(folder / "mmengine"),
        "randomness": {"seed": seed},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs},
        "default_hooks": {"checkpoint": None, "logger": None, "param_scheduler": {"type": StepSchedulerHook}},
        "launcher": "pytorch" if devices.launched() else "none",
        "cfg": {
            "model_wrapper_cfg": {
                "type": "MMDistributedDataParallel",
                "device_ids": None,  # where the model lies; mmengine would name a GPU on the CPU too
                "broadcast_buffers": False,
            }
        },
        "visualizer": {"type": "Visualizer", "vis_backends": []},
        "log_level": "ERROR",
    }
