"""Helpers of several attention modules: size of the hidden layer, the authors' initialisation, check of the input."""

import torch
from torch import Tensor, nn


def hidden_size(module: str, channels: int, reduction: int) -> int:
    """Units of a hidden layer, `channels` // `reduction`; ValueError if it is 0."""
    if channels < reduction:
        raise ValueError(f"{module}: {channels} channels leave no hidden unit at reduction {reduction}")
    return channels // reduction


def init_weights(module: nn.Module) -> None:
    """Initialise every convolution of `module` by kaiming normal (fan-out), and the biases of all its layers at 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def check_channels(module: str, x: Tensor, channels: int) -> None:
    """Raise a ValueError unless `x` is (N, channels, H, W). In a network that is being traced, `x` has no shape."""
    if not isinstance(x, Tensor) or torch.jit.is_tracing():
        return
    if x.dim() != 4:
        raise ValueError(f"{module}: x: found {x.dim()} dimensions, expected 4, (N, C, H, W)")
    if x.shape[1] != channels:
        raise ValueError(f"{module}: found {x.shape[1]} channels, expected {channels}")
