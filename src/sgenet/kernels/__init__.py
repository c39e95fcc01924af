"""The SGE operation as a torch operator, with the fastest implementation for the tensor's device.

For one sample and one group of m channels at S positions, with element x_c,i of the map (arXiv 1905.09646, section 3):

    mu_c = mean_i x_c,i           s_i = sum_c mu_c x_c,i          mean vector, similarity to it
    z_i = (s_i - mean(s)) / (d + eps)                             d: unbiased deviation of s
    a_i = sigmoid(gamma z_i + beta)           y_c,i = x_c,i a_i

In a residual block the shortcut is added to y and a ReLU follows; both can be part of the operator. Backward, from
G_c,i, the gradient of y, with r = 1 / (d + eps):

    t_i = a_i (1 - a_i) sum_c G_c,i x_c,i     dgamma = sum_i t_i z_i          dbeta = sum_i t_i
    q_i = gamma r (t_i - mean(t)) - k (s_i - mean(s)),  k = gamma r dgamma / ((S - 1) d), or 0 where d is 0
    dx_c,i = G_c,i a_i + mu_c q_i + mean_j(q_j x_c,j)

Only the map is large: the backward pass needs the map, mu, mean(s) and d, and after a ReLU its result. `reference` is
the definition in plain torch; `cpu` and `cuda` read the map as few times as possible.

In eager mode the fused form is called through `fused.Fused`, and in torch.compile as an operator. An exported or
scripted network, which runs without this package, has the reference.
"""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from sgenet.kernels import fused
from sgenet.kernels.op import is_available
from sgenet.kernels.reference import check_arguments, compute, reference

__all__ = ["reference", "spatial_group_enhance", "spatial_group_enhance_add_relu", "use"]

Form = Literal["fused", "reference"]
_form: Form = "fused"
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch 2.6 has only the latter


def spatial_group_enhance(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool = True, eps: float = 1e-5
) -> Tensor:
    """Compute `reference` with fused kernels if the device of `x` has them.

    The result and the gradients of x, weight and bias equal those of the reference within 1e-5 of its largest value in
    float32. Derivatives of any order, forward and backward, and torch.func's transforms are supported; derivatives
    beyond the first are computed by the reference. Shapes, types and errors are those of `reference`. For a given seed
    and device the result does not depend on the number of threads.
    """
    return spatial_group_enhance_add_relu(x, weight, bias, None, groups, normalize, eps, relu=False)


def spatial_group_enhance_add_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool = True,
    eps: float = 1e-5,
    relu: bool = True,
) -> Tensor:
    """Compute relu(SGE(x) + identity), the end of a residual block, in one pass; see `spatial_group_enhance`.

    `identity` may be None, and `relu` off. Half precision is rounded once, at the end. If the types of `x` and
    `identity` differ, the result has that of their sum.
    """
    if not torch.jit.is_scripting():
        normalize, relu, eps = bool(normalize), bool(relu), float(eps)  # also of numpy
        if not torch.jit.is_tracing():  # which warns of each check
            check_arguments(x, weight, bias, groups, identity)
        if _is_fused(x.device.type):
            if identity is not None and identity.dtype != x.dtype:
                dtype = torch.promote_types(x.dtype, identity.dtype)
                x, identity = x.to(dtype), identity.to(dtype)
            return fused.call(x, weight, bias, identity, groups, normalize, eps, relu)
    return compute(x, weight, bias, groups, normalize, eps, identity, relu)


def _is_fused(device: str) -> bool:
    exported = _is_exporting() or torch.jit.is_tracing()
    return _form == "fused" and not exported and is_available(device)


@contextlib.contextmanager
def use(form: Form) -> Iterator[None]:
    """Context in which the functions of this package use this form: for comparisons."""
    global _form
    before, _form = _form, form
    try:
        yield
    finally:
        _form = before
