"""Selective Kernel (SK), arXiv 1903.06586, in the modified form of the SGE authors' networks.

The block's 3x3 convolution is combined with a second, grouped one; for each channel, a softmax over the two gives
their weights. The original has a dilated convolution in place of the plain one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgenet.attention._parts import check_channels, hidden_size, init_weights

__all__ = ["SelectiveKernel"]


class SelectiveKernel(nn.Module):
    """Fuse a 3x3 convolution and a grouped one: w d1 + (1 - w) d2, with a weight w per channel.

    In the authors' state dicts its layers are the block's own (`conv2`, `bn2`, `conv2g`, ...).

    Args:
        channels: channels of the feature map, P of the bottleneck.
        groups: of the second convolution; ValueError unless it divides `channels`.
        reduction: channels over hidden channels; ValueError if none is left.
        stride: of both convolutions.
        device: of the parameters.
        dtype: of the parameters.

    Shape: (N, P, H, W) -> (N, P, H / stride, W / stride); in training N > 1, for `bn_fc1`.
    """

    placement = "conv"

    def __init__(
        self,
        channels: int,
        groups: int = 32,
        reduction: int = 16,
        stride: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        if channels % groups:
            raise ValueError(f"SK: {channels} channels do not fall into {groups} equal groups")
        hidden = hidden_size("SK", channels, reduction)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        settings = {"kernel_size": 3, "stride": stride, "padding": 1, "bias": False, **factory}
        self.conv2 = nn.Conv2d(channels, channels, **settings)
        self.bn2 = nn.BatchNorm2d(channels, **factory)
        self.conv2g = nn.Conv2d(channels, channels, groups=groups, **settings)
        self.bn2g = nn.BatchNorm2d(channels, **factory)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_fc1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=False, **factory)
        self.bn_fc1 = nn.BatchNorm2d(hidden, **factory)
        self.conv_fc2 = nn.Conv2d(hidden, 2 * channels, kernel_size=1, bias=False, **factory)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the fused convolutions (N, P, H / stride, W / stride) of x (N, P, H, W)."""
        check_channels("SK", x, self.channels)
        d1 = self.relu(self.bn2(self.conv2(x)))
        d2 = self.relu(self.bn2g(self.conv2g(x)))
        pooled = self.pool(d1) + self.pool(d2)  # two pools, as in the authors' operation count
        first, second = self.conv_fc2(F.relu(self.bn_fc1(self.conv_fc1(pooled)))).chunk(2, dim=1)
        return torch.lerp(d2, d1, (first - second).sigmoid())  # a softmax over two is the sigmoid of their difference
