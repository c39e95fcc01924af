"""Released checkpoints of other projects, in the format of torch.save, read without running any code in them.

Two kinds are supported: the authors' ImageNet classifiers (`state_dict`, `epoch`, `best_acc`, `optimizer`) and
detectors of mmdetection 0.6 (`state_dict`, `meta`). Both may be from a torch of 2019, whose files are not zip archives.
Other training programs name the tensors differently; see `WRAPPERS`.
"""

import os
import pickle
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from sgenet.errors import InputError
from sgenet.runtime.files import check_file
from sgenet.weights.checkpoints import fit_weights
from sgenet.weights.pickles import check_pickles


@dataclass(frozen=True)
class Released:
    """The content of a checkpoint: tensors by name, and metadata (None if the file does not contain it).

    `epoch` and `accuracy` have the values in the file; `classes` are those of a detector, which mmdetection 0.6.rc0 did
    not write. `unused` are the names of further sets of weights in the file, such as `state_dict_ema`.
    """

    state: dict[str, Tensor]
    epoch: float | None
    accuracy: float | None
    classes: tuple[str, ...] | None
    unused: tuple[str, ...] = ()


WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")  # the first that is there is read
_AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict")  # of weights over the training, not read


def read_released(path: str | Path) -> Released:
    """Read a checkpoint, or a bare state dict, written by torch.save; tensors are loaded to the CPU.

    The tensors are read from the first of `WRAPPERS` that is a mapping, otherwise from the whole file. The prefix
    `module.` of DataParallel is removed if every name has it.

    Raises:
        InputError: the file cannot be read, contains more than tensors and plain values, or has no state dict.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {type(content).__name__}, expected a checkpoint with a state_dict")
    wrapper, state = _find_state(content)
    place = f"{path}: {wrapper}" if wrapper else f"{path}"
    if not isinstance(state, dict) or not state:
        raise InputError(f"{place}: found {reprlib.repr(state)}, expected tensors by name")
    left = 2 * os.path.getsize(path)  # remaining bytes; two names may share a tensor
    for name, tensor in state.items():
        left -= tensor.nbytes if isinstance(tensor, Tensor) and tensor.layout == torch.strided else 0
        if not isinstance(name, str) or left < 0 or not _is_plain(tensor):
            found = f"{type(tensor).__name__} under {reprlib.repr(name)}"
            if left < 0:
                raise InputError(f"{place}: found {found} that is larger than the file, expected all of it")
            if wrapper is None and not isinstance(tensor, Tensor):
                expected = f"tensors by name, in the file itself or under {', '.join(WRAPPERS)}"
                raise InputError(f"{place}: found {found}, expected {expected}")
            raise InputError(f"{place}: found {found}, expected a dense tensor of finite real numbers")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    own = content if wrapper else {}
    meta = own["meta"] if isinstance(own.get("meta"), dict) else {}
    epoch = own.get("epoch", meta.get("epoch"))
    unused = tuple(name for name in _AVERAGES if own.get(name) is not None)
    names = _names(meta.get("CLASSES"), path)
    return Released(dict(state), _number(epoch), _number(own.get("best_acc")), names, unused)


def _find_state(content: dict[Any, Any]) -> tuple[str | None, Any]:
    """Return the entry that contains the tensors, and its content; without such an entry None and the whole file."""
    named = [name for name in WRAPPERS if isinstance(content.get(name), dict)]
    named += ["state_dict"] if "state_dict" in content else []  # of another kind, which is refused
    return (named[0], content[named[0]]) if named else (None, content)


def fit_released(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Load these tensors into `model`, strictly; counters of batches, which old torch did not save, start at 0."""
    counters = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")}
    fit_weights(model, {name: torch.zeros_like(tensor) for name, tensor in counters.items()} | state, path)


class _NumpyType:
    """Replaces numpy.dtype when a numpy number is unpickled; numpy.dtype never receives content of the file."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[fiub][1248]", code):
            raise pickle.UnpicklingError(f"numpy type {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _numpy_number(kind: _NumpyType, data: bytes) -> float:
    """Replaces numpy's function that creates a number from its type and bytes."""
    return np.frombuffer(data, np.dtype(kind.order + kind.code), count=1)[0].item()


# Besides tensors and plain values, only numpy numbers are allowed: the best accuracy or the learning rate may be one.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_NumpyType, "numpy.dtype"),
    (_numpy_number, "numpy.core.multiarray.scalar"),
    (_numpy_number, "numpy._core.multiarray.scalar"),
]
_LARGEST = 2**36  # bytes of a file
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)


def _load(path: str | Path) -> Any:
    try:
        check_file(path, _LARGEST)
        with open(path, "rb") as file:
            if not file.peek(1):
                raise InputError(f"{path}: is empty, expected a checkpoint of torch.save")
            check_pickles(file, path)
            return _unpickle(file, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path}: cannot be read ({reason}), expected a checkpoint of torch.save") from None


def _unpickle(file: IO[bytes], path: str | Path) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # from torch, zip and pickle: damaged bytes raise many kinds
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            text = f"{path}: found {found[1]}, expected only tensors and plain values"
            raise InputError(f"{text}; it was not loaded, because that could run code") from None
        text = f"{path}: cannot be read as a checkpoint of torch.save ({type(error).__name__})"
        raise InputError(f"{text}; it is damaged, truncated or of another kind") from None


def _is_plain(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.device.type != "cpu" or value.layout != torch.strided:
        return False
    return value.dtype in _DTYPES and bool(value.isfinite().all())


def _number(value: Any) -> float | None:
    """Return a number, given as such or as a tensor of one element; None for anything else."""
    if _is_plain(value) and value.numel() == 1:
        value = value.item()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and abs(value) < 2**53 else None


def _names(value: Any, path: str | Path) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else value  # ("digit") is a string, not a tuple
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: meta.CLASSES: found {reprlib.repr(value)}, expected the names of the classes")
    return tuple(names)
