"""SGE in plain torch: the definition, and the reference for tests of the fused kernels."""

import torch
from torch import Tensor


def reference(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool = True, eps: float = 1e-5
) -> Tensor:
    """Spatial Group-wise Enhance, arXiv 1905.09646, section 3; half precision inputs are computed in float32.

    Args:
        x: feature map (N, C, H, W).
        weight: gamma of each group, (groups).
        bias: beta of each group, (groups).
        groups: number of contiguous groups of channels; divides C.
        normalize: whether the similarity is normalised over the positions.
        eps: added to the standard deviation, which is the unbiased one.

    Returns:
        The scaled map, with the shape, type and memory format of `x`.
    """
    wide = x.to(sum_type(x))
    gamma, beta = (parameter.to(wide.dtype).view(1, groups, 1, 1) for parameter in (weight, bias))
    grouped = wide.unflatten(1, (groups, -1))  # (N, G, C/G, H, W): a view in either memory format
    mean_vector = grouped.mean(dim=(3, 4), keepdim=True)
    likeness = (grouped * mean_vector).sum(dim=2)  # (N, G, H, W): c_i = <g, x_i>
    if normalize:
        likeness = _normalized(likeness, eps)
    gate = torch.addcmul(beta, likeness, gamma).sigmoid()
    return (grouped * gate.unsqueeze(2)).flatten(1, 2).to(x.dtype)


def sum_type(x: Tensor) -> torch.dtype:
    """The type of sums over a map: at least float32."""
    return torch.promote_types(x.dtype, torch.float32)


def _normalized(likeness: Tensor, eps: float) -> Tensor:
    if likeness.shape[2:].numel() == 1:  # for one position, the deviation is undefined
        return torch.zeros_like(likeness)
    deviation, mean = torch.std_mean(likeness, dim=(2, 3), keepdim=True)
    return (likeness - mean) / (deviation + eps)
