"""The SGE operation as a torch operator, with the fastest implementation for the tensor's device.

For one sample and one group of m channels at S positions, with element x_c,i of the map (arXiv 1905.09646, section 3):

    mu_c = mean_i x_c,i           s_i = sum_c mu_c x_c,i          mean vector, similarity to it
    z_i = (s_i - mean(s)) / (d + eps)                             d: unbiased deviation of s
    a_i = sigmoid(gamma z_i + beta)           y_c,i = x_c,i a_i

and backward, from G_c,i, the gradient of y, with r = 1 / (d + eps):

    t_i = a_i (1 - a_i) sum_c G_c,i x_c,i     dgamma = sum_i t_i z_i          dbeta = sum_i t_i
    q_i = gamma r (t_i - mean(t)) - k (s_i - mean(s)),  k = gamma r dgamma / ((S - 1) d), or 0 where d is 0
    dx_c,i = G_c,i a_i + mu_c q_i + mean_j(q_j x_c,j)

Only the map is large: the backward pass needs the map, mu, mean(s) and d. `reference` is the definition in plain torch;
`cpu` and `cuda` read the map as few times as possible.
"""

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from sgenet.kernels.reference import reference, sum_type

__all__ = ["reference", "spatial_group_enhance", "use"]

Form = Literal["fused", "reference"]
_NEEDS = {"cpu": "numba", "cuda": "triton"}
_INSTALLED = {device for device, package in _NEEDS.items() if importlib.util.find_spec(package)}
_form: Form = "fused"


def spatial_group_enhance(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool = True, eps: float = 1e-5
) -> Tensor:
    """Compute `reference` with fused kernels if the device of `x` has them.

    The result and the gradients of x, weight and bias equal those of the reference within 1e-5 of its largest value in
    float32. It can be differentiated once. Shapes, types and errors are those of `reference`. For a given seed and
    device the result does not depend on the number of threads.
    """
    alone = normalize and x.shape[2:].numel() == 1  # for a single position the gate is sigmoid(beta)
    if _form == "fused" and not alone and _available(x.device.type):
        y: Tensor = torch.ops.sgenet.spatial_group_enhance(x, weight, bias, groups, normalize, eps)[0]
        return y
    return reference(x, weight, bias, groups, normalize, eps)


@contextlib.contextmanager
def use(form: Form) -> Iterator[None]:
    """Context in which `spatial_group_enhance` uses this form: for comparisons, and for higher-order gradients."""
    global _form
    before, _form = _form, form
    try:
        yield
    finally:
        _form = before


def _available(device: str) -> bool:
    # Under torch.compile's tracing imports are not possible, and not needed: the operator imports its kernels.
    return device in _INSTALLED and (torch.compiler.is_compiling() or _kernels(device) is not None)


@functools.cache
def _kernels(device: str) -> ModuleType | None:
    """The kernel module of a device; imported at its first use, since it imports a compiler."""
    try:
        importlib.import_module(_NEEDS[device])
    except ImportError:  # not usable on this machine: the reference is used
        return None
    return importlib.import_module(f"sgenet.kernels.{device}")


def _dense(x: Tensor) -> tuple[Tensor, torch.memory_format]:
    """Return the map in dense memory: unchanged if it is contiguous in either memory format."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if last else torch.contiguous_format
    return x.contiguous(memory_format=memory_format), memory_format


def _ready(x: Tensor, *parameters: Tensor) -> tuple[Any, torch.memory_format, list[Tensor]]:
    """Return the kernels for the map's device; its memory format; the dense map, and parameters in `sum_type`."""
    kernels = _kernels(x.device.type)
    assert kernels is not None
    x, memory_format = _dense(x)
    return kernels, memory_format, [x, *(parameter.to(sum_type(x)).contiguous() for parameter in parameters)]


_NAME = "sgenet::spatial_group_enhance"
_SETTINGS = "int groups, bool normalize, float eps"
torch.library.define(_NAME, f"(Tensor x, Tensor weight, Tensor bias, {_SETTINGS}) -> (Tensor, Tensor, Tensor)")
torch.library.define(
    f"{_NAME}_backward",
    f"(Tensor grad, Tensor x, Tensor weight, Tensor bias, Tensor mean_vector, Tensor statistics, {_SETTINGS})"
    " -> (Tensor, Tensor, Tensor)",
)


@torch.library.impl(_NAME, ("cpu", "cuda"))
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y; the mean vector (N, C); mean and deviation of the similarity (N, groups, 2); these in `sum_type`."""
    kernels, _, tensors = _ready(x, weight, bias)
    found: tuple[Tensor, Tensor, Tensor] = kernels.forward(*tensors, groups, normalize, eps)
    return found


@torch.library.register_fake(_NAME)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels = x.shape[:2]
    wide = sum_type(x)
    y = torch.empty_like(x, memory_format=_dense(x)[1])
    return y, x.new_empty(n, channels, dtype=wide), x.new_empty(n, groups, 2, dtype=wide)


@torch.library.impl(f"{_NAME}_backward", ("cpu", "cuda"))
def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias, the latter two in `sum_type`."""
    kernels, memory_format, tensors = _ready(x, weight, bias)
    grad = grad.contiguous(memory_format=memory_format)
    found: tuple[Tensor, Tensor, Tensor] = kernels.backward(
        grad, *tensors, mean_vector, statistics, groups, normalize, eps
    )
    return found


@torch.library.register_fake(f"{_NAME}_backward")
def _(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    wide = sum_type(x)
    grad_x = torch.empty_like(x, memory_format=_dense(x)[1])
    return grad_x, x.new_empty(groups, dtype=wide), x.new_empty(groups, dtype=wide)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx: Any, grad: Tensor, *_: object) -> tuple[Tensor | None, ...]:
    x, weight, bias, *kept = ctx.saved_tensors
    backward = torch.ops.sgenet.spatial_group_enhance_backward
    grad_x, grad_weight, grad_bias = backward(grad, x, weight, bias, *kept, *ctx.settings)
    return grad_x, grad_weight.to(weight.dtype), grad_bias.to(bias.dtype), None, None, None


torch.library.register_autograd(_NAME, _differentiate, setup_context=_keep)
