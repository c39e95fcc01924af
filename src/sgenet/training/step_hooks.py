"""Hooks that act on micro-batches and steps: learning rate, seeds, batch normalisation, losses."""

import math
from typing import Any, NoReturn

import torch
from mmengine.dist import all_reduce, broadcast, get_dist_info, is_main_process
from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sgenet.errors import InputError
from sgenet.training.batches import derive_seed, seed_everything
from sgenet.training.first_step import FirstStep
from sgenet.training.resume import Row

_LOSSES_AT_ONCE = 50


def accumulation(runner: Runner) -> int:
    """Number of this process's micro-batches in an optimiser step."""
    return int(runner.optim_wrapper._accumulative_counts)


class StepSchedulerHook(ParamSchedulerHook):
    """Make schedules that count iterations count optimiser steps, independently of the number of devices."""

    def after_train_iter(self, runner: Runner, batch_idx: int, *data: Any, **more: Any) -> None:
        if (batch_idx + 1) % accumulation(runner) == 0:
            super().after_train_iter(runner, batch_idx, *data, **more)


class SeedHook(Hook):
    """Seed the random generators for each micro-batch from the run's seed, the epoch and the micro-batch's number.

    A run that continues from a checkpoint therefore draws the same numbers as an uninterrupted one, and several
    processes draw the same numbers as one. The dataset seeds its items itself, for which it is given the epoch.
    """

    priority = "LOW"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        runner.train_dataloader.dataset.epoch = runner.epoch

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        rank, world = get_dist_info()
        seed_everything(derive_seed(self.seed, runner.epoch, batch_idx * world + rank))


class BatchNormHook(Hook):
    """Let only the first micro-batch of a step update the running statistics of batch normalisation.

    The authors' DataParallel does the same: it keeps the statistics of its first device. After an epoch all processes
    have the statistics of the first one.
    """

    priority = "LOW"

    def __init__(self, network: nn.Module) -> None:
        self.norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        first = is_main_process() and batch_idx % accumulation(runner) == 0
        for norm in self.norms:
            norm.track_running_stats = first

    def after_train_epoch(self, runner: Runner) -> None:
        for norm in self.norms:
            norm.track_running_stats = True
            for buffer in norm.buffers():
                broadcast(buffer, 0)


class LossHook(Hook):
    """Average each loss over an epoch, and stop the training when a loss or a weight is not finite.

    After each epoch `means` has the mean of each loss over the micro-batches of all processes. The weights are checked
    then, so that no checkpoint has any that are not finite. They are also checked after the first step of a training,
    whose failures have other reasons than later ones (see `FirstStep`).
    """

    priority = "LOW"

    def __init__(self, run_id: str, network: nn.Module) -> None:
        self.run_id, self.network = run_id, network
        self.means: Row = {}
        self._unread: list[dict[str, Tensor]] = []  # reading a loss waits for the GPU, so they are read rarely
        self._sums: Row = {}
        self._iterations = 0
        self._last_finite: float | None = None
        self._first: FirstStep | None = None
        self._batch: object = None  # of the first step

    def before_train_epoch(self, runner: Runner) -> None:
        self._unread, self._sums, self._iterations, self._last_finite = [], {}, 0, None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        if runner.epoch == 0 and batch_idx == 0:
            self._first = FirstStep(self.network)
        self._batch = data_batch if self._first else None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        self._unread.append({name: value.detach() for name, value in (outputs or {}).items() if "loss" in name})
        if self._first or len(self._unread) >= (_LOSSES_AT_ONCE if torch.cuda.is_initialized() else 1):
            self._read(runner)
        if self._first and (batch_idx + 1) % accumulation(runner) == 0:
            self._check_weights(runner)
            self._first = self._batch = None

    def after_train_epoch(self, runner: Runner) -> None:
        self._read(runner)
        self._check_weights(runner)
        sums = torch.tensor([*self._sums.values(), self._iterations], dtype=torch.float64)
        all_reduce(sums)
        self.means = dict(zip(self._sums, (sums[:-1] / sums[-1]).tolist(), strict=True))

    def _read(self, runner: Runner) -> None:
        for tensors in self._unread:
            losses = dict(zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True))
            self._iterations += 1
            for name in ("loss", *losses):
                if not math.isfinite(losses[name]):
                    self._diverged(runner, f"the {name} is {losses[name]}")
            self._last_finite = losses["loss"]
            for name, loss in losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + loss
        self._unread = []

    def _check_weights(self, runner: Runner) -> None:
        floating = {name: value for name, value in self.network.state_dict().items() if value.is_floating_point()}
        finite = torch.stack([value.isfinite().all() for value in floating.values()]).tolist()
        for name, good in zip(floating, finite, strict=True):
            if not good:
                self._diverged(runner, f"{name} is not finite", of_weight=True)

    def _diverged(self, runner: Runner, what: str, *, of_weight: bool = False) -> NoReturn:
        last = "none in this epoch" if self._last_finite is None else f"{self._last_finite:.4g}"
        why = "lower the learning rate"
        if self._first:
            SeedHook(runner.seed).before_train_iter(runner, self._iterations - 1)
            explain = self._first.explain_gradients if of_weight else self._first.explain_loss
            why = explain(runner.model, self._batch) or why
        raise InputError(
            f"{self.run_id}: {what} in epoch {runner.epoch + 1}, iteration {self._iterations} "
            f"(last finite loss: {last}); expected finite numbers: {why}"
        )
