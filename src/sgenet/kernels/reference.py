"""SGE in plain torch: the definition, and the reference for tests of the fused kernels."""

import numbers

import torch
from torch import Tensor

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    normalize: bool = True,
    eps: float = 1e-5,
    identity: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Spatial Group-wise Enhance, arXiv 1905.09646, section 3; half precision inputs are computed in float32.

    Args:
        x: feature map (N, C, H, W), in float16, bfloat16, float32 or float64.
        weight: gamma of each group, in any shape.
        bias: beta of each group, in any shape.
        groups: number of contiguous groups of channels; divides C.
        normalize: whether the similarity is normalised over the positions.
        eps: added to the standard deviation, which is the unbiased one.
        identity: the shortcut of a residual block, which is added to the result; of the shape of `x`.
        relu: whether a ReLU follows.

    Returns:
        The scaled map, with the shape, type and memory format of `x`; with `identity`, of the type of a sum of both.

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a type is none of these; a tensor is not dense, or `groups` is not an integer.
    """
    if not torch.jit.is_scripting() and not torch.jit.is_tracing():  # which compile or warn of each check
        check_arguments(x, weight, bias, groups, identity)
    return compute(x, weight, bias, groups, normalize, eps, identity, relu)


def compute(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
    identity: Tensor | None,
    relu: bool,
) -> Tensor:
    """Compute `reference` of arguments that were checked."""
    dtype = x.dtype
    if identity is not None and identity.dtype != dtype:
        dtype = torch.promote_types(dtype, identity.dtype)
    wide = x.to(sum_type(x))
    gamma = weight.to(wide.dtype).reshape(1, groups, 1, 1)
    beta = bias.to(wide.dtype).reshape(1, groups, 1, 1)
    n, channels, height, width = x.shape
    grouped = wide.view(n, groups, channels // groups, height, width)  # a view in either memory format
    mean_vector = grouped.mean(dim=(3, 4), keepdim=True)
    likeness = (grouped * mean_vector).sum(dim=2)  # (N, G, H, W): c_i = <g, x_i>
    if normalize:
        likeness = _normalized(likeness, height * width, eps)
    gate = torch.addcmul(beta, likeness, gamma).sigmoid()
    y = (grouped * gate.unsqueeze(2)).reshape(n, channels, height, width)
    if identity is not None:
        y = y + identity
    return (y.relu() if relu else y).to(dtype)


def sum_type(x: Tensor) -> torch.dtype:
    """The type of sums over a map: at least float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def check_arguments(x: Tensor, weight: Tensor, bias: Tensor, groups: int, identity: Tensor | None) -> None:
    """Raise a ValueError or TypeError unless these are arguments of `reference`."""
    if isinstance(groups, bool) or not isinstance(groups, int | numbers.Integral):
        raise TypeError(f"SGE: groups: found {groups!r}, expected an integer")
    given = {"x": x, "weight": weight, "bias": bias}
    for name, tensor in (given if identity is None else given | {"identity": identity}).items():
        _check_tensor(name, tensor)
        if tensor.device != x.device:
            raise ValueError(f"SGE: {name}: found on {tensor.device}, expected on {x.device} with x")
    if x.dim() != 4:
        raise ValueError(f"SGE: x: found {x.dim()} dimensions, expected 4, (N, C, H, W)")
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"SGE: {x.shape[1]} channels do not fall into {groups} equal groups")
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter.numel() != groups:
            raise ValueError(f"SGE: {name}: found {parameter.numel()} numbers, expected {groups}, one for each group")
    if identity is not None and identity.shape != x.shape:
        raise ValueError(f"SGE: identity: found the shape {tuple(identity.shape)}, expected {tuple(x.shape)}")


def _check_tensor(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"SGE: {name}: found {type(tensor).__name__}, expected a tensor")
    if tensor.layout is not torch.strided or tensor.is_nested:
        found = "a nested tensor" if tensor.is_nested else tensor.layout
        raise TypeError(f"SGE: {name}: found {found}, expected a dense tensor")
    if tensor.dtype not in _TYPES:
        raise TypeError(f"SGE: {name}: found {tensor.dtype}, expected float16, bfloat16, float32 or float64")


def _normalized(likeness: Tensor, positions: int, eps: float) -> Tensor:
    """(s - mean(s)) / (d + eps), or 0 for a single position; without a branch, which an export would fix."""
    variance, mean = torch.var_mean(likeness, dim=(2, 3), correction=0, keepdim=True)
    variance = variance * positions / (positions - 1 + 2 // (positions + 1))  # max(positions - 1, 1)
    constant = variance == 0  # where the root has no derivative
    deviation = variance.masked_fill(constant, 1).sqrt().masked_fill(constant, 0)
    return (likeness - mean) / (deviation + eps)
