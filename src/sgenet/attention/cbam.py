"""Convolutional Block Attention Module (CBAM), arXiv 1807.06521: a gate on channels, then one on positions.

The names and the initialisation of the module are those of the SGE authors' networks: the spatial gate's normalisation
starts with weight 0, so that every position is initially scaled by sigmoid(0) = 0.5. The rest of the network is
initialised as in torchvision; the authors initialise `fc` by kaiming normal and keep torch's default for the downsample
convolutions.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from sgenet.attention._parts import check_channels, hidden_size, init_weights

__all__ = ["ConvolutionalBlockAttention"]


class ConvolutionalBlockAttention(nn.Module):
    """Scale the channels, then the positions.

    Args:
        channels: channels of the feature map.
        reduction: channels over hidden units of the channel gate; ValueError if no unit is left.
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
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.channels = channels
        self.ChannelGate = _ChannelGate(channels, hidden_size("CBAM", channels, reduction), factory)
        self.SpatialGate = _SpatialGate(factory)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return x gated; x and the result are (N, C, H, W)."""
        check_channels("CBAM", x, self.channels)
        return self.SpatialGate(self.ChannelGate(x))


class _ChannelGate(nn.Module):
    """One small network on the mean and on the maximum of each channel; the sum of its outputs scales the channel."""

    def __init__(self, channels: int, hidden: int, factory: dict[str, Any]) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels, hidden, **factory),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, **factory),
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((self.avg_pool(x), self.max_pool(x)))  # one pass through the network for both
        mean, highest = self.mlp(pooled).chunk(2)
        return x * (mean + highest).sigmoid()[:, :, None, None]


class _SpatialGate(nn.Module):
    """A 7x7 convolution over the maximum and the mean of all channels scales each position."""

    def __init__(self, factory: dict[str, Any]) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(1, momentum=0.01, **factory)
        nn.init.zeros_(norm.weight)
        conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False, **factory)
        self.spatial = nn.Sequential(OrderedDict(conv=conv, bn=norm))

    def forward(self, x: Tensor) -> Tensor:
        compressed = torch.cat((x.max(dim=1, keepdim=True).values, x.mean(dim=1, keepdim=True)), dim=1)
        return x * self.spatial(compressed).sigmoid()
