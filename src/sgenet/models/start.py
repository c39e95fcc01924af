"""Weights that a training starts from: those of the same network, or of the plain network of the same depth."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sgenet.errors import InputError
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.weights.checkpoints import read_weights
from sgenet.weights.released import fit_released, read_released

_LAST = ("fc.weight", "fc.bias")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights: safetensors, or a checkpoint of torch.save, from which no code runs."""
    return read_weights(path) if Path(path).suffix == ".safetensors" else read_released(path).state


def start_from(network: AttentionResNet, path: str | Path, depth: int) -> str:
    """Load the weights that the training of a network starts from.

    Every name and shape must fit, except that a last layer for another number of classes stays as it was initialised,
    and that the weights of the plain network of this depth leave the attention modules as they were initialised. A
    backbone, which has no last layer, ignores that of the file.

    Args:
        network: a new classifier or backbone.
        path: safetensors, or a checkpoint of torch.save.
        depth: of the network.

    Returns:
        one sentence: what was loaded, and what stays as it was initialised.

    Raises:
        InputError: the file cannot be read, or does not fit.
    """
    state, expected = read_state(path), network.state_dict()
    changes = [_without_last(network, state, path)]
    with torch.device("meta"):
        plain = create_resnet(f"resnet{depth}", width=network.conv1.out_channels).state_dict()
    own = {name for name in expected.keys() - plain.keys() if not name.endswith("num_batches_tracked")}
    if own and own.isdisjoint(state):
        changes.append(f"{len(own)} tensors of the attention modules are new")
        replaced = sorted(plain.keys() - expected.keys() - set(_LAST))
        unused = [state.pop(name) for name in replaced if name in state]
        changes += [f"{len(unused)} tensors of layers that the modules replace are not used"] if unused else []
        state |= {name: expected[name] for name in own}
    fit_released(network, state, path)
    return "; ".join([f"starts from {path}", *filter(None, changes)])


def _without_last(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> str:
    """Replace, in `state`, a last layer that does not fit by the network's own; return what was done."""
    expected, found = network.state_dict(), state.get("fc.weight")
    if "fc.weight" not in expected:
        for name in _LAST:
            state.pop(name, None)
        return ""
    bias = state.get("fc.bias")
    if found is None or bias is None or found.dim() != 2 or found.shape[:1] != bias.shape:
        raise InputError(f"{path}: fc: found no last layer with weight and bias, expected the weights of a classifier")
    classes, features = expected["fc.weight"].shape
    if found.shape[0] == classes or found.shape[1] != features:  # another width is refused with the other layers
        return ""
    state |= {name: expected[name] for name in _LAST}
    return f"its last layer, of {found.shape[0]:,} classes, is replaced by a new one of {classes:,}"
