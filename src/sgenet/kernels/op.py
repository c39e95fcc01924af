"""The operator of torch and that of its gradients, by the kernels of a device; equations: `sgenet.kernels`."""

import functools
import importlib
import importlib.util
from types import ModuleType

import torch
from torch import Tensor

from sgenet.kernels.reference import sum_type

_NEEDS = {"cpu": "numba", "cuda": "triton"}
_INSTALLED = {device for device, package in _NEEDS.items() if importlib.util.find_spec(package)}


def is_available(device: str) -> bool:
    """Whether a device has fused kernels."""
    # Under torch.compile's tracing imports are not possible, and not needed: the operator imports its kernels.
    return device in _INSTALLED and (torch.compiler.is_compiling() or kernels(device) is not None)


@functools.cache
def kernels(device: str) -> ModuleType | None:
    """The kernel module of a device; imported at its first use, since it imports a compiler."""
    try:
        importlib.import_module(_NEEDS[device])
    except ImportError:  # not usable on this machine: the reference is used
        return None
    return importlib.import_module(f"sgenet.kernels.{device}")


def _memory_format(x: Tensor) -> torch.memory_format:
    """The format in which the map is dense, or can be made so."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _is_alone(x: Tensor) -> bool:
    """Whether a map has a single position: its similarity, normalised, is 0, and the gate is sigmoid(beta)."""
    return x.shape[2:].numel() == 1


NAME = "sgenet::spatial_group_enhance"
_SETTINGS = "int groups, bool normalize, float eps"
torch.library.define(
    NAME,
    f"(Tensor x, Tensor weight, Tensor bias, Tensor? identity, {_SETTINGS}, bool relu) -> (Tensor, Tensor, Tensor)",
)
torch.library.define(
    f"{NAME}_backward",
    "(Tensor grad, Tensor x, Tensor weight, Tensor bias, Tensor mean_vector, Tensor statistics, Tensor? y,"
    f" {_SETTINGS}, bool identity) -> (Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.impl(NAME, ("cpu", "cuda"))
def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y; the mean vector (N, C); two statistics of the similarity (N, groups, 2); these in `sum_type`."""
    device, memory_format, wide = kernels(x.device.type), _memory_format(x), sum_type(x)
    assert device is not None
    if normalize and _is_alone(x):
        weight, normalize = torch.zeros_like(weight), False
    if identity is not None:
        identity = identity.contiguous(memory_format=memory_format)
    found: tuple[Tensor, Tensor, Tensor] = device.forward(
        x.contiguous(memory_format=memory_format),
        weight.to(wide).contiguous(),
        bias.to(wide).contiguous(),
        identity, groups, normalize, eps, relu,
    )  # fmt: skip
    return found


@torch.library.register_fake(NAME)
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels = x.shape[:2]
    wide = sum_type(x)
    y = torch.empty_like(x, memory_format=_memory_format(x))
    return y, x.new_empty(n, channels, dtype=wide), x.new_empty(n, groups, 2, dtype=wide)


@torch.library.impl(f"{NAME}_backward", ("cpu", "cuda"))
def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean_vector: Tensor, statistics: Tensor, y: Tensor | None,
    groups: int, normalize: bool, eps: float, identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of x; of weight and bias for each sample, (N, groups); of the shortcut, or nothing."""
    device, memory_format, wide = kernels(x.device.type), _memory_format(x), sum_type(x)
    assert device is not None
    alone = normalize and _is_alone(x)
    if alone:
        weight, normalize = torch.zeros_like(weight), False
    if y is not None:  # vmap stacks it in a format of its own
        y = y.contiguous(memory_format=memory_format)
    grad_x, grad_weight, grad_bias, grad_identity = device.backward(
        grad.contiguous(memory_format=memory_format),
        x.contiguous(memory_format=memory_format),
        weight.to(wide).contiguous(),
        bias.to(wide).contiguous(),
        mean_vector.contiguous(), statistics.contiguous(), y, groups, normalize, eps, identity,
    )  # fmt: skip
    if alone:
        grad_weight.zero_()
    return grad_x, grad_weight, grad_bias, x.new_empty(0) if grad_identity is None else grad_identity


@torch.library.register_fake(f"{NAME}_backward")
def _(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean_vector: Tensor, statistics: Tensor, y: Tensor | None,
    groups: int, normalize: bool, eps: float, identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    like = [torch.empty_like(x, memory_format=_memory_format(x)) for _ in range(2)]
    grad_weight, grad_bias = (x.new_empty(len(x), groups, dtype=sum_type(x)) for _ in range(2))
    return like[0], grad_weight, grad_bias, like[1] if identity and y is not None else x.new_empty(0)
