"""What a run leaves: its history, a checkpoint to continue from, and in the end its files in their declared place."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from sgenet.files import atomic_path, write_text
from sgenet.params import Settings

RESUME = Path(".resume")  # outside every declared output: Snakemake deletes those before a job starts


def resume_folder(run_id: str, scale: str, seed: int, settings: Settings, fingerprint: str) -> Path:
    """Folder for a run's unfinished state, named after all that decides its numbers."""
    identity = json.dumps([run_id, scale, seed, settings, fingerprint], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return RESUME / scale / run_id.replace("/", "_") / f"seed-{seed}-{digest}"


def save_checkpoint(runner: Runner, epoch: int, path: Path) -> None:
    """Write what a run needs to continue after `epoch`, atomically; plain tensors and numbers, no objects."""
    state = {
        "epoch": epoch,
        "model": _bare(runner.model).state_dict(),
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
    _bare(runner.model).load_state_dict(state["model"])
    runner.optim_wrapper.load_state_dict(state["optimizer"])
    for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(saved)
    runner.train_loop._epoch = state["epoch"]
    runner.train_loop._iter = state["epoch"] * len(runner.train_dataloader)


def _bare(model: nn.Module) -> nn.Module:
    """The model without its wrapper for several processes."""
    module = model.module if is_model_wrapper(model) else model
    assert isinstance(module, nn.Module)
    return module


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
