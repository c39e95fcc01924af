"""Weights in safetensors files, written atomically and loaded strictly. Nothing is unpickled."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sgenet.errors import InputError
from sgenet.runtime.files import atomic_path, check_file

_LARGEST = 2**36  # bytes of a file


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state dict of `model` in the CPU's memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()}


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the state dict of `model` to a safetensors file, atomically."""
    save_tensors(copy_weights(model), path)


def save_tensors(state: dict[str, Tensor], path: str | Path) -> None:
    """Write tensors on the CPU, such as those of `copy_weights`, to a safetensors file, atomically."""
    content = save(state)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name; InputError if it cannot be read."""
    try:
        check_file(path, _LARGEST)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors weights ({error})") from None


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a safetensors file into `model`, strictly.

    Args:
        model: its weights are replaced.
        path: the file.

    Raises:
        InputError: the file cannot be read, or its names or shapes differ from the model's; the first ones are named.
    """
    fit_weights(model, read_weights(path), path)


def fit_weights(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Load exactly these tensors into `model`; the InputError names `path` and the first names that do not match."""
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(state.keys() & expected.keys())
        if state[name].shape != expected[name].shape
    ]
    problems = [f"{name} is missing" for name in missing[:3]] + [f"{name} is unknown" for name in unknown[:3]]
    if problems + shapes:
        more = len(missing) + len(unknown) + len(shapes)
        raise InputError(f"{path}: does not fit the model at {more} names: " + "; ".join((problems + shapes)[:5]))
    model.load_state_dict(state)
