"""Spatial Group-wise Enhance (SGE), arXiv 1905.09646, section 3.

The channels fall into `groups` contiguous groups. In each group, every position is scaled by how much its feature
vector resembles the group's mean vector: g = mean_i x_i, c_i = <g, x_i>, normalised over the positions of that group
and sample, then x_i * sigmoid(gamma * c_i + beta).

The details follow the authors' code where the paper leaves them open: the standard deviation is the unbiased one,
epsilon is added to it (outside the root), gamma starts at 0 and beta at 1, so that every branch starts scaled by
sigmoid(1) = 0.731. Widely copied versions start beta at 0 or use the biased deviation; those differ.
"""

import torch
from torch import Tensor, nn


class SpatialGroupEnhance(nn.Module):
    """Scale each position of each channel group by its likeness to the group's global feature.

    Args:
        channels: channels of the feature map, a multiple of `groups`; ValueError otherwise.
        groups: number of groups G; the module has 2G parameters, `weight` (gamma) and `bias` (beta), (1, G, 1, 1).
        eps: added to the standard deviation.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int, groups: int = 64, eps: float = 1e-5) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"SGE: {channels} channels do not fall into {groups} equal groups")
        self.groups = groups
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        grouped = x.reshape(n, self.groups, c // self.groups, h * w)
        mean_vector = grouped.mean(dim=3, keepdim=True)
        likeness = (grouped * mean_vector).sum(dim=2)  # (N, G, H*W): c_i = <g, x_i>
        likeness = likeness - likeness.mean(dim=2, keepdim=True)
        if h * w > 1:  # over one position the likeness is its own mean: zero already, and its deviation undefined
            likeness = likeness / (likeness.std(dim=2, keepdim=True) + self.eps)
        gate = torch.sigmoid(likeness.view(n, self.groups, h, w) * self.weight + self.bias)
        return (grouped * gate.view(n, self.groups, 1, h * w)).view(n, c, h, w)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, eps={self.eps}"
