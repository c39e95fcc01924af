"""What training of classifiers and detectors has in common, on mmengine's Runner: schedule, seeds, history, resume."""

import csv
import hashlib
import json
import math
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from sgenet.checkpoints import save_weights
from sgenet.files import InputError, atomic_path, write_text
from sgenet.params import Settings

Log = Callable[[dict[str, float]], None]
RESUME = Path(".resume")  # outside every declared output: Snakemake deletes those before a job starts


def choose_device(device: str) -> str:
    """Resolve `auto` to cuda where there is one; InputError when cuda is asked for and missing."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: found 'cuda' in the scale, but torch sees no CUDA device, expected cpu or auto")
    return device


def resume_folder(run_id: str, scale: str, seed: int, settings: Settings, fingerprint: str) -> Path:
    """Folder for a run's unfinished state, named after all that decides its numbers."""
    identity = json.dumps([run_id, scale, seed, settings, fingerprint], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return RESUME / scale / run_id.replace("/", "_") / f"seed-{seed}-{digest}"


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


def loader(dataset: Any, workers: int, **settings: Any) -> DataLoader[Any]:
    """A DataLoader whose worker processes take their random numbers from the epoch's seed."""
    return DataLoader(dataset, num_workers=workers, worker_init_fn=_seed_worker, **settings)


def _seed_worker(_: int) -> None:
    seed = torch.initial_seed() % 2**32  # torch's own base seed, drawn after the epoch was seeded
    random.seed(seed)
    np.random.seed(seed)


class QuietRunner(Runner):
    """mmengine's Runner without its survey of compilers and environment, which costs seconds: origins record those."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        pass


class EpochHook(Hook):
    """Seeds each epoch, shows progress, keeps the history, the best weights and a checkpoint to continue from.

    The seed of an epoch depends on the run's seed and the epoch alone, so a run continued at the start of an epoch
    goes through the same random numbers as one that was never interrupted.

    Args:
        run_id: for messages.
        folder: receives `history.csv`, `best.safetensors` (if `best` is given) and `checkpoint.pth`.
        seed: of the run.
        network: what the weights are saved of.
        best: column of the validation metrics whose highest epoch counts as best.
        log: called with each epoch's row.
    """

    priority = "LOW"  # behind mmengine's ParamSchedulerHook, whose step the checkpoint must hold

    def __init__(
        self, run_id: str, folder: Path, seed: int, network: nn.Module, best: str | None, log: Log | None = None
    ) -> None:
        self.run_id, self.folder, self.seed, self.network, self.best = run_id, folder, seed, network, best
        self.log = log
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._iterations = 0
        self._last_finite = math.nan
        self._lr = math.nan
        self._started = 0.0
        self._bar: Any = None

    def before_train(self, runner: Runner) -> None:
        checkpoint = self.folder / "checkpoint.pth"
        if checkpoint.exists():
            load_checkpoint(runner, checkpoint)
            self.history = read_history(self.folder / "history.csv")[: runner.epoch]
            print(f"{self.run_id}: continues after epoch {runner.epoch}", flush=True)
            if self.log:
                for row in self.history:
                    self.log(row)

    def before_train_epoch(self, runner: Runner) -> None:
        seed = int(np.random.SeedSequence([self.seed, runner.epoch]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self._sums, self._iterations, self._started = {}, 0, time.monotonic()
        title = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        self._bar = tqdm(total=len(runner.train_dataloader), desc=title, disable=None, leave=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._lr = runner.optim_wrapper.get_lr()["lr"][0]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        losses = {name: float(value.detach()) for name, value in (outputs or {}).items() if "loss" in name}
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise InputError(
                f"{self.run_id}: the loss is {losses['loss']} in epoch {runner.epoch + 1}, iteration {batch_idx + 1}"
                f" (last finite loss {self._last_finite:.4g}); expected a finite one: lower the learning rate"
            )
        self._last_finite = losses["loss"]
        self._iterations += 1
        self._bar.update()
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss

    def after_train_epoch(self, runner: Runner) -> None:
        self._bar.close()
        if runner.val_loop is None:
            self._finish_epoch(runner, runner.epoch + 1, {})

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        named = {name.rpartition("/")[2]: value for name, value in (metrics or {}).items()}
        self._finish_epoch(runner, runner.epoch, named)

    def _finish_epoch(self, runner: Runner, epoch: int, metrics: dict[str, float]) -> None:
        means = {name: total / self._iterations for name, total in self._sums.items()}
        row = {"epoch": epoch, "loss": means.pop("loss"), "lr": self._lr, **metrics, **means}
        row["seconds"] = time.monotonic() - self._started
        self.history.append(row)
        if self.best and row[self.best] > max((r[self.best] for r in self.history[:-1]), default=-math.inf):
            save_weights(self.network, self.folder / "best.safetensors")
        write_history(self.history, self.folder / "history.csv")
        save_checkpoint(runner, epoch, self.folder / "checkpoint.pth")
        if self.log:
            self.log(row)
        shown = ", ".join(f"{name} {row[name]:.4g}" for name in ("loss", *metrics, "lr", "seconds"))
        print(f"{self.run_id}: epoch {epoch}/{runner.max_epochs}: {shown}", flush=True)


def save_checkpoint(runner: Runner, epoch: int, path: Path) -> None:
    """Write what a run needs to continue after `epoch`, atomically; plain tensors and numbers, no objects."""
    state = {
        "epoch": epoch,
        "model": runner.model.state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(runner: Runner, path: Path) -> None:
    """Continue `runner` from what `save_checkpoint` wrote. Nothing but tensors and plain types is unpickled.

    mmengine's own checkpoints are not used: they hold objects whose loading would need `getattr` to be allowed.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    runner.model.load_state_dict(state["model"])
    runner.optim_wrapper.load_state_dict(state["optimizer"])
    for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(saved)
    runner.train_loop._epoch = state["epoch"]
    runner.train_loop._iter = state["epoch"] * len(runner.train_dataloader)


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """Write one row an epoch as CSV."""
    lines = [",".join(history[0])]
    lines += [",".join(map(_exact, row.values())) for row in history]
    write_text(path, "\n".join(lines) + "\n")


def _exact(value: float) -> str:
    """A number as text that reads back as the same number: a continued run compares with it."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_history(path: Path) -> list[dict[str, float]]:
    """Read a history.csv back."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def runner_settings(folder: Path, seed: int, epochs: int) -> dict[str, Any]:
    """What both tasks pass to the Runner: our own progress and checkpoints in place of its files and long logs."""
    return {
        "work_dir": str(folder / "mmengine"),
        "randomness": {"seed": seed},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs},
        "default_hooks": {"checkpoint": None, "logger": None},
        "visualizer": {"type": "Visualizer", "vis_backends": []},
        "log_level": "ERROR",
    }


def publish(folder: Path, files: list[str], destination: Path) -> None:
    """Copy a finished run's files to their declared place, each whole or not at all."""
    for name in files:
        with atomic_path(destination / name) as temporary:
            shutil.copyfile(folder / name, temporary)


def forget(folder: Path) -> None:
    """Remove the unfinished state of a run that is done."""
    done = folder.with_name(folder.name + ".done")  # renamed first, so that no half-deleted state is ever continued
    shutil.rmtree(done, ignore_errors=True)
    folder.rename(done)
    shutil.rmtree(done)
