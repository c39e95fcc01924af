"""Checkpoints from which an interrupted run continues, and its history."""

import contextlib
import csv
import hashlib
import io
import math
import pickle
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.runtime import locks, slurm
from sgenet.runtime.files import put, temporary_path, write_text
from sgenet.weights.checkpoints import fit_weights
from sgenet.weights.pickles import check_pickles

Weights = dict[str, Tensor]
Row = dict[str, float]  # of the history: an epoch's numbers by name
_PATIENCE = 5  # seconds
_KEPT = 2
_NAME = re.compile(r"epoch-[0-9]{4,9}-[0-9a-f]{64}\.pth")
_OTHER = "does not fit the run, expected a checkpoint that this version of the code wrote: remove it to start again"


class Saved(TypedDict):
    """The content of a checkpoint: the state dicts of mmengine's Runner, and what the hooks share."""

    epoch: int
    model: Weights
    optimizer: dict[str, Any]
    schedulers: list[dict[str, Any]]
    history: list[Row]
    best: Weights | None


class Checkpoint(NamedTuple):
    """A checkpoint's path, and the state that `save_checkpoint` wrote to it."""

    path: Path
    state: Saved


def lock(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Lock a run's folder for this process; waits a few seconds for a process that is about to end.

    A job of a cluster waits until the other one has ended: it may be the same job, on a node that Slurm has given up.

    Raises:
        InputError: another process trains this run; the message names it.
    """
    patience = math.inf if slurm.is_cluster_job() else _PATIENCE
    return locks.lock(paths.resume_lock(folder), str(folder), patience)


def save_checkpoint(runner: Runner, history: list[Row], best: Weights | None, folder: Path) -> None:
    """Write everything that a run needs to continue after the epochs of `history`; keep the newest two checkpoints.

    A checkpoint is a single file, written atomically, with the checksum of its content in its name, so that all of its
    parts are from the same epoch. It contains plain tensors and numbers, no objects.

    Args:
        runner: its model, optimizer and schedulers are saved.
        history: one row per epoch.
        best: weights of the best epoch so far, or None.
        folder: of the run.
    """
    state: Saved = {
        "epoch": len(history),
        "model": _bare(runner.model).state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
        "history": history,
        "best": best,
    }
    content = io.BytesIO()  # a full disk then raises an OSError below, rather than an error of torch
    torch.save(state, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    with temporary_path(folder / "epoch.pth") as temporary:  # a fixed name, to find what a killed process left
        temporary.write_bytes(content.getbuffer())
        put(temporary, folder / f"epoch-{len(history):04}-{digest}.pth")
    for path in _checkpoints(folder)[_KEPT:]:
        _remove(path)


class DamagedError(Exception):
    """A checkpoint's content differs from what was written."""


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest intact checkpoint, and a description of each newer, damaged one; those are removed.

    Only tensors and plain types are unpickled. mmengine's own checkpoints are not used: they contain objects whose
    loading would require allowing `getattr`.

    Raises:
        InputError: an intact checkpoint cannot be read; it is not removed.
    """
    damaged: list[str] = []
    for path in _checkpoints(folder):
        try:
            return Checkpoint(path, _read(path)), damaged
        except DamagedError as error:
            damaged.append(f"{path.name[:10]} ({error})")
            _remove(path)
    return None, damaged


def has_checkpoint(folder: Path) -> bool:
    """Whether a training continues from a checkpoint in this folder, unless that is damaged."""
    return folder.is_dir() and bool(_checkpoints(folder))


def _checkpoints(folder: Path) -> list[Path]:
    """The folder's checkpoints, newest first."""
    names = [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return [folder / name for name in sorted(names, key=lambda name: (int(name.split("-")[1]), name), reverse=True)]


def _read(path: Path) -> Saved:
    if not path.is_file():
        raise DamagedError("not a file")
    try:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.stem.rpartition("-")[2]:
                raise DamagedError("the checksum of its content differs from its name")
            file.seek(0)
            check_pickles(file, path)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DamagedError("it contains more than tensors and numbers") from None
    except (DamagedError, InputError):
        raise
    except Exception as error:  # such as too little memory: the checkpoint itself may be intact
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(f"{path}: cannot be read ({reason[:120]}), expected a checkpoint") from None
    if not isinstance(state, dict) or state.keys() != Saved.__annotations__.keys():
        raise InputError(f"{path}: {_OTHER}")
    return cast("Saved", state)


def load_checkpoint(runner: Runner, checkpoint: Checkpoint) -> None:
    """Restore `runner` from a checkpoint; InputError if it is not a checkpoint of this run."""
    path, state = checkpoint
    try:
        fit_weights(_bare(runner.model), state["model"], path)
        runner.optim_wrapper.load_state_dict(state["optimizer"])
        for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        _check_history(state)
    except InputError:
        raise
    except Exception:  # torch and mmengine raise many kinds of exceptions for a state that does not fit
        raise InputError(f"{path}: {_OTHER}") from None
    runner.train_loop._epoch = state["epoch"]
    runner.train_loop._iter = state["epoch"] * len(runner.train_dataloader)


def _check_history(state: Saved) -> None:
    numbers = [value for row in state["history"] for value in row.values()]
    tensors = (state["best"] or {}).values()
    if len(state["history"]) != state["epoch"] or not all(abs(value) < 1e300 for value in numbers):
        raise ValueError("history")  # or a TypeError above for a value that is not a number
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise ValueError("best")


def _bare(model: nn.Module) -> nn.Module:
    """The model without its distributed wrapper."""
    module = model.module if is_model_wrapper(model) else model
    assert isinstance(module, nn.Module)
    return module


def write_history(history: list[Row], path: Path) -> None:
    """Write one row per epoch as CSV."""
    lines = [",".join(history[0])]
    lines += [",".join(map(_exact, row.values())) for row in history]
    write_text(path, "\n".join(lines) + "\n")


def _exact(value: float) -> str:
    """Format a number so that it reads back exactly: a continued run compares with it."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_history(path: Path) -> list[Row]:
    """Read a history.csv back."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def finish(folder: Path) -> None:
    """Remove the checkpoints of a finished run, unless this is a job of a cluster.

    Its workflow removes them once it has recorded that the job is done. If the job is repeated before, because a node
    or the workflow was lost, it continues after the last epoch and only writes the results again.
    """
    if not slurm.is_cluster_job():
        remove_checkpoints(folder)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished run, and then its lock.

    If the process is killed in between, the run continues from a checkpoint that was not removed.
    """
    for path in folder.iterdir():
        if path != paths.resume_lock(folder):
            _remove(path)
    paths.resume_lock(folder).unlink(missing_ok=True)
    for emptied in (folder, folder.parent):
        with contextlib.suppress(OSError):  # not empty: another seed's folder is there
            emptied.rmdir()


def _remove(path: Path) -> None:
    """Remove a file, or a folder and its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
