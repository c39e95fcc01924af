"""Global Context (GC), arXiv 1904.11492: one weighted mean of all positions, transformed, is added to each of them.

The SGE authors use it in their detection configurations only, without a published result. As in their code, the weight
of the last layer starts at 0 and the bias does not: initially the module adds a constant to each channel.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sgenet.attention._parts import check_channels, hidden_size

__all__ = ["GlobalContext"]


class GlobalContext(nn.Module):
    """Add a transformed sum of all positions, weighted by a softmax over them.

    Args:
        channels: channels of the feature map.
        reduction: channels over hidden channels; ValueError if none is left.
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
        hidden = hidden_size("GC", channels, reduction)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv_mask = nn.Conv2d(channels, 1, kernel_size=1, **factory)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel_size=1, **factory),
            nn.LayerNorm([hidden, 1, 1], **factory),
            nn.ReLU(inplace=True),
            last := nn.Conv2d(hidden, channels, kernel_size=1, **factory),
        )
        nn.init.kaiming_normal_(self.conv_mask.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its transformed context; x and the result are (N, C, H, W), the context (N, C, 1, 1)."""
        check_channels("GC", x, self.channels)
        weights = self.conv_mask(x).flatten(2).softmax(dim=2)  # (N, 1, H*W)
        context = x.flatten(2) @ weights.transpose(1, 2)  # (N, C, 1)
        return x + self.channel_add_conv(context.unsqueeze(3))
