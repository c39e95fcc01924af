"""Helpers of several attention modules: the size of the hidden layer, and the authors' initialisation."""

from torch import nn


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
