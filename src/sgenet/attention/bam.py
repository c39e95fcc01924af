"""Bottleneck Attention Module (BAM), arXiv 1807.06514: one gate of channels and positions between two stages.

The gate is the product of a channel and a position branch, as in the SGE authors' networks (the paper adds them). The
names and the initialisation of the module are also those of the authors' networks. The rest of the network is
initialised as in torchvision; the authors initialise `fc` by kaiming normal and keep torch's default for the downsample
convolutions.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from sgenet.attention._parts import check_channels, hidden_size, init_weights

__all__ = ["BottleneckAttention"]


class BottleneckAttention(nn.Module):
    """Scale by 1 + sigmoid(channel branch * position branch).

    Args:
        channels: channels of the feature map.
        reduction: channels over hidden channels of both branches; ValueError if none is left.
        dilation: of the two 3x3 convolutions of the position branch.
        device: of the parameters.
        dtype: of the parameters.

    Shape: (N, C, H, W) -> (N, C, H, W); in training N > 1, for the channel branch's batch normalisation.
    """

    placement = "stage"

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        dilation: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        hidden = hidden_size("BAM", channels, reduction)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.channel_att = _ChannelBranch(channels, hidden, factory)
        self.spatial_att = _PositionBranch(channels, hidden, dilation, factory)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return x gated; x and the result are (N, C, H, W)."""
        check_channels("BAM", x, self.channels)
        gate = (self.channel_att(x) * self.spatial_att(x)).sigmoid()
        return torch.addcmul(x, x, gate)


class _ChannelBranch(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1), from the channels' means."""

    def __init__(self, channels: int, hidden: int, factory: dict[str, Any]) -> None:
        super().__init__()
        layers = {
            "gate_c_fc_0": nn.Linear(channels, hidden, **factory),
            "gate_c_bn_1": nn.BatchNorm1d(hidden, **factory),
            "gate_c_relu_1": nn.ReLU(inplace=True),
            "gate_c_fc_final": nn.Linear(hidden, channels, **factory),
        }
        self.gate_c = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_c(x.mean(dim=(2, 3)))[:, :, None, None]  # no pooling module, as in the authors' count


class _PositionBranch(nn.Module):
    """(N, C, H, W) -> (N, 1, H, W), from wide neighbourhoods in a few channels."""

    def __init__(self, channels: int, hidden: int, dilation: int, factory: dict[str, Any]) -> None:
        super().__init__()

        def dilated() -> nn.Conv2d:
            return nn.Conv2d(hidden, hidden, kernel_size=3, padding=dilation, dilation=dilation, **factory)

        layers = {
            "gate_s_conv_reduce0": nn.Conv2d(channels, hidden, kernel_size=1, **factory),
            "gate_s_bn_reduce0": nn.BatchNorm2d(hidden, **factory),
            "gate_s_relu_reduce0": nn.ReLU(inplace=True),
            "gate_s_conv_di_0": dilated(),
            "gate_s_bn_di_0": nn.BatchNorm2d(hidden, **factory),
            "gate_s_relu_di_0": nn.ReLU(inplace=True),
            "gate_s_conv_di_1": dilated(),
            "gate_s_bn_di_1": nn.BatchNorm2d(hidden, **factory),
            "gate_s_relu_di_1": nn.ReLU(inplace=True),
            "gate_s_conv_final": nn.Conv2d(hidden, 1, kernel_size=1, **factory),
        }
        self.gate_s = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_s(x)
