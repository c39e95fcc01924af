"""What several attention modules share: the size of their hidden layer, and the authors' initialisation."""

from torch import nn


def hidden_size(module: str, channels: int, reduction: int) -> int:
    """Units of a hidden layer, `channels` // `reduction`; ValueError when none is left."""
    if channels < reduction:
        raise ValueError(f"{module}: {channels} channels leave no hidden unit at reduction {reduction}")
    return channels // reduction


def init_weights(module: nn.Module) -> None:
    """Start every convolution of `module` as kaiming normal (fan-out), and every bias of a layer at 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
