"""Squeeze-and-Excitation (SE), arXiv 1709.01507: each channel is scaled by a function of the means of all channels.

As in the SGE authors' networks, both layers have a bias and are named `fc.0` and `fc.2`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sgenet.attention._parts import check_channels, hidden_size

__all__ = ["SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """Scale each channel by sigmoid(W2 relu(W1 mean(x))).

    Args:
        channels: channels of the feature map.
        reduction: channels over hidden units; ValueError if no unit is left.
        device: of the parameters.
        dtype: of the parameters.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        hidden = hidden_size("SE", channels, reduction)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, **factory), nn.ReLU(inplace=True), nn.Linear(hidden, channels, **factory)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x gated; x and the result are (N, C, H, W)."""
        check_channels("SE", x, self.channels)
        gate = self.fc(self.pool(x).flatten(1)).sigmoid()
        return x * gate[:, :, None, None]
