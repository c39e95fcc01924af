"""What a run leaves while it is trained: checkpoints to continue from; and its history."""

import contextlib
import csv
import hashlib
import io
import json
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from sgenet.config.params import Settings
from sgenet.errors import InputError
from sgenet.runtime import processes
from sgenet.runtime.files import put, temporary_path, write_text
from sgenet.weights.checkpoints import fit_weights
from sgenet.weights.pickles import check_pickles

RESUME = Path(".resume")  # outside every declared output: Snakemake deletes those before a job starts
Weights = dict[str, Tensor]
_LOCK = "lock"
_PATIENCE = 5  # seconds
_KEPT = 2
_NAME = re.compile(r"epoch-[0-9]{4,9}-[0-9a-f]{64}\.pth")
_KEYS = {"epoch", "model", "optimizer", "schedulers", "history", "best"}
_OTHER = "does not fit the run, expected a checkpoint that this version of the code wrote: remove it to begin anew"


class Checkpoint(NamedTuple):
    """A checkpoint's file, and what `save_checkpoint` wrote in it."""

    path: Path
    state: dict[str, Any]


def resume_folder(run_id: str, scale: str, seed: int, settings: Settings, fingerprint: str) -> Path:
    """Folder for a run's unfinished state, named after all that decides its numbers."""
    identity = json.dumps([run_id, scale, seed, settings, fingerprint], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return RESUME / scale / run_id.replace("/", "_") / f"seed-{seed}-{digest}"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a run's folder to this process; waits a little for one that is just ending.

    Raises:
        InputError: another process trains this run; the message tells which.
    """
    lock = processes.hold(folder / _LOCK, str(folder), patience=_PATIENCE)
    try:
        yield
    finally:
        processes.release(lock)


def save_checkpoint(runner: Runner, history: list[dict[str, float]], best: Weights | None, folder: Path) -> None:
    """Write all that a run needs to continue after the epochs of `history`; keep the newest two such files.

    One file, written whole or not at all, with the checksum of its content in its name: no part of it can be older or
    newer than another one. Plain tensors and numbers, no objects.

    Args:
        runner: its model, optimizer and schedulers.
        history: one row an epoch.
        best: weights of the best epoch so far, where the run has such.
        folder: of the run.
    """
    state = {
        "epoch": len(history),
        "model": _bare(runner.model).state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
        "history": history,
        "best": best,
    }
    content = io.BytesIO()  # a disk that is full is an OSError of the writing below, none of torch's own
    torch.save(state, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    with temporary_path(folder / "epoch.pth") as temporary:  # one name, so that what a killed writer left is found
        temporary.write_bytes(content.getbuffer())
        put(temporary, folder / f"epoch-{len(history):04}-{digest}.pth")
    for path in _checkpoints(folder)[_KEPT:]:
        _remove(path)


class DamagedError(Exception):
    """A checkpoint's content is not what was written."""


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest whole checkpoint, and what was wrong with those newer than it, which are removed.

    Nothing but tensors and plain types is ever unpickled. mmengine's own checkpoints are not used: they hold objects
    whose loading would need `getattr` to be allowed.

    Raises:
        InputError: one is whole, but cannot be read; it stays.
    """
    damaged: list[str] = []
    for path in _checkpoints(folder):
        try:
            return Checkpoint(path, _read(path)), damaged
        except DamagedError as error:
            damaged.append(f"{path.name[:10]} ({error})")
            _remove(path)
    return None, damaged


def _checkpoints(folder: Path) -> list[Path]:
    """The folder's checkpoints, the newest first."""
    names = [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return [folder / name for name in sorted(names, key=lambda name: (int(name.split("-")[1]), name), reverse=True)]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedError("not a file")
    try:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.stem.rpartition("-")[2]:
                raise DamagedError("its content has another checksum than its name")
            file.seek(0)
            check_pickles(file, path)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DamagedError("it holds more than tensors and numbers") from None
    except (DamagedError, InputError):
        raise
    except Exception as error:  # such as too little memory: nothing is lost by that
        told = next(iter(str(error).splitlines()), "")
        raise InputError(f"{path}: cannot be read ({told[:120]}), expected a checkpoint") from None
    if not isinstance(state, dict) or state.keys() != _KEYS:
        raise InputError(f"{path}: {_OTHER}")
    return state


def load_checkpoint(runner: Runner, checkpoint: Checkpoint) -> None:
    """Let `runner` continue from a checkpoint; InputError where it is not one of this run."""
    path, state = checkpoint
    try:
        fit_weights(_bare(runner.model), state["model"], path)
        runner.optim_wrapper.load_state_dict(state["optimizer"])
        for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        _check_history(state)
    except InputError:
        raise
    except Exception:  # torch and mmengine meet other states with many kinds of exception
        raise InputError(f"{path}: {_OTHER}") from None
    runner.train_loop._epoch = state["epoch"]
    runner.train_loop._iter = state["epoch"] * len(runner.train_dataloader)


def _check_history(state: dict[str, Any]) -> None:
    numbers = [value for row in state["history"] for value in row.values()]
    tensors = (state["best"] or {}).values()
    if len(state["history"]) != state["epoch"] or not all(abs(value) < 1e300 for value in numbers):
        raise ValueError("history")  # or a TypeError of what is no number
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise ValueError("best")


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


def forget(folder: Path) -> None:
    """Remove the unfinished state of a run that is done, its lock last.

    A run that is killed in between continues from a checkpoint that is left.
    """
    for path in folder.iterdir():
        if path.name != _LOCK:
            _remove(path)
    (folder / _LOCK).unlink(missing_ok=True)
    for emptied in (folder, folder.parent):
        with contextlib.suppress(OSError):  # another seed's is there
            emptied.rmdir()


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
