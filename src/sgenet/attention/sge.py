"""Spatial Group-wise Enhance (SGE), arXiv 1905.09646, section 3.

The channels are divided into `groups` contiguous groups. In each group, every position is scaled by the similarity of
its feature vector to the group's mean vector: g = mean_i x_i, c_i = <g, x_i>, normalised over the positions of that
group and sample, then x_i * sigmoid(gamma * c_i + beta).

Details that the paper does not specify follow the authors' code: the standard deviation is unbiased, epsilon is added
to it (outside the root), gamma starts at 0 and beta at 1, so that every branch is initially scaled by
sigmoid(1) = 0.731. Other widely copied versions differ: they start beta at 0 or use the biased deviation.
"""

import torch
from torch import Tensor, nn

from sgenet.attention._parts import check_channels
from sgenet.kernels import spatial_group_enhance_add_relu

__all__ = ["SpatialGroupEnhance"]

torch.fx.wrap("spatial_group_enhance_add_relu")  # one node of a traced network


class SpatialGroupEnhance(nn.Module):
    """Scale each position of each channel group by its similarity to the group's global feature.

    Args:
        channels: channels of the feature map, a multiple of `groups`; ValueError otherwise.
        groups: number of groups G; the module has 2G parameters, `weight` (gamma) and `bias` (beta), (1, G, 1, 1).
        gamma: initial value of every `weight`.
        beta: initial value of every `bias`.
        normalize: whether the similarity is normalised over the positions (the paper's ablation does not normalise it).
        eps: added to the standard deviation.
        device: of the parameters.
        dtype: of the parameters.

    Shape: (N, C, H, W) -> (N, C, H, W), in the memory format of the input.

    A residual block may pass its shortcut and ReLU to `forward`. A hook on the module, or its node in a traced network,
    then has the output of the block.
    """

    def __init__(
        self,
        channels: int,
        groups: int = 64,
        gamma: float = 0.0,
        beta: float = 1.0,
        normalize: bool = True,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"SGE: {channels} channels do not fall into {groups} equal groups")
        self.channels = channels
        self.groups = groups
        self.normalize = normalize
        self.eps = eps
        self.weight = nn.Parameter(torch.full((1, groups, 1, 1), float(gamma), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.full((1, groups, 1, 1), float(beta), device=device, dtype=dtype))

    def forward(self, x: Tensor, identity: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return x gated; with `identity`, a shortcut like x, plus that; with `relu`, after a ReLU; (N, C, H, W)."""
        check_channels("SGE", x, self.channels)
        return spatial_group_enhance_add_relu(
            x, self.weight, self.bias, identity, self.groups, self.normalize, self.eps, relu
        )

    def extra_repr(self) -> str:
        """Return the settings that `repr` shows."""
        return f"{self.channels}, groups={self.groups}, normalize={self.normalize}, eps={self.eps}"
