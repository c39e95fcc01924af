"""The operator of torch, its derivatives, and the form that eager mode uses; equations: `sgenet.kernels`."""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from sgenet.kernels.reference import reference, sum_type

_NEEDS = {"cpu": "numba", "cuda": "triton"}
_INSTALLED = {device for device, package in _NEEDS.items() if importlib.util.find_spec(package)}
_Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]


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


def fused(
    x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor | None, groups: int, normalize: bool, eps: float, relu: bool
) -> Tensor:
    """Call the operator in torch.compile, and otherwise `Fused`, which costs less and has all derivatives."""
    call = torch.ops.sgenet.spatial_group_enhance if torch.compiler.is_compiling() else Fused.apply
    y: Tensor = call(x, weight, bias, identity, groups, normalize, eps, relu)[0]
    return y


def _memory_format(x: Tensor) -> torch.memory_format:
    """The format in which the map is dense, or can be made so."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


_NAME = "sgenet::spatial_group_enhance"
_SETTINGS = "int groups, bool normalize, float eps"
torch.library.define(
    _NAME,
    f"(Tensor x, Tensor weight, Tensor bias, Tensor? identity, {_SETTINGS}, bool relu) -> (Tensor, Tensor, Tensor)",
)
torch.library.define(
    f"{_NAME}_backward",
    "(Tensor grad, Tensor x, Tensor weight, Tensor bias, Tensor mean_vector, Tensor statistics, Tensor? y,"
    f" {_SETTINGS}, bool identity) -> (Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.impl(_NAME, ("cpu", "cuda"))
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor | None, groups: int, normalize: bool, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y; the mean vector (N, C); two statistics of the similarity (N, groups, 2); these in `sum_type`."""
    device, memory_format, wide = kernels(x.device.type), _memory_format(x), sum_type(x)
    assert device is not None
    if identity is not None:
        identity = identity.contiguous(memory_format=memory_format)
    found: tuple[Tensor, Tensor, Tensor] = device.forward(
        x.contiguous(memory_format=memory_format),
        weight.to(wide).contiguous(),
        bias.to(wide).contiguous(),
        identity, groups, normalize, eps, relu,
    )  # fmt: skip
    return found


@torch.library.register_fake(_NAME)
def _(
    x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor | None, groups: int, normalize: bool, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels = x.shape[:2]
    wide = sum_type(x)
    y = torch.empty_like(x, memory_format=_memory_format(x))
    return y, x.new_empty(n, channels, dtype=wide), x.new_empty(n, groups, 2, dtype=wide)


@torch.library.impl(f"{_NAME}_backward", ("cpu", "cuda"))
def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean_vector: Tensor, statistics: Tensor, y: Tensor | None,
    groups: int, normalize: bool, eps: float, identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of x; of weight and bias for each sample, (N, groups); of the shortcut, or nothing."""
    device, memory_format, wide = kernels(x.device.type), _memory_format(x), sum_type(x)
    assert device is not None
    *found, grad_identity = device.backward(
        grad.contiguous(memory_format=memory_format),
        x.contiguous(memory_format=memory_format),
        weight.to(wide).contiguous(),
        bias.to(wide).contiguous(),
        mean_vector, statistics, y, groups, normalize, eps, identity,
    )  # fmt: skip
    return *found, x.new_empty(0) if grad_identity is None else grad_identity


@torch.library.register_fake(f"{_NAME}_backward")
def _(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean_vector: Tensor, statistics: Tensor, y: Tensor | None,
    groups: int, normalize: bool, eps: float, identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    like = [torch.empty_like(x, memory_format=_memory_format(x)) for _ in range(2)]
    grad_weight, grad_bias = (x.new_empty(len(x), groups, dtype=sum_type(x)) for _ in range(2))
    return like[0], grad_weight, grad_bias, like[1] if identity and y is not None else x.new_empty(0)


class Fused(Function):
    """The operator in eager mode: (x, weight, bias, identity, groups, normalize, eps, relu) -> y and what is kept.

    It costs less than the operator called directly, and has derivatives of all orders, forward-mode derivatives and
    vmap. Those beyond the first derivative are computed by the reference.
    """

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return y, the mean vector and the statistics."""
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.sgenet.spatial_group_enhance(*arguments)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the derivatives need."""
        x, weight, bias, identity, *ctx.settings, ctx.relu = inputs
        y, mean_vector, statistics = output
        ctx.save_for_backward(x, weight, bias, mean_vector, statistics, y if ctx.relu else None)
        ctx.save_for_forward(x, weight, bias, identity)
        ctx.mark_non_differentiable(mean_vector, statistics)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: object) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs."""
        return _differentiate(ctx, grad, FusedBackward.apply)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
        """Return the tangents of the outputs."""
        primals, settings = ctx.saved_tensors, (*ctx.settings, ctx.relu)
        given = [i for i, primal in enumerate(primals) if primal is not None]

        def compute(*tensors: Tensor) -> Tensor:
            x, weight, bias, identity = (*tensors, None) if len(tensors) == 3 else tensors
            groups, normalize, eps, relu = settings
            return reference(x, weight, bias, groups, normalize, eps, identity, relu)

        return _push(compute, [primals[i] for i in given], [tangents[i] for i in given]), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        """Add the mapped dimension to the samples, since the operator treats each sample alone."""
        return _map(Fused, info.batch_size, in_dims, arguments, samples=(0, 3), parameters=(1, 2))


class FusedBackward(Function):
    """The operator's first derivative, as a function that can be differentiated itself."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of x, of weight and bias for each sample, and of the shortcut."""
        found: tuple[Tensor, Tensor, Tensor, Tensor] = torch.ops.sgenet.spatial_group_enhance_backward(*arguments)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the derivatives need."""
        grad, x, weight, bias, _, _, y, *ctx.settings, identity = inputs
        ctx.identity = identity and y is not None
        ctx.save_for_backward(grad, x, weight, bias, y)
        ctx.save_for_forward(grad, x, weight, bias, y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of grad, x, weight and bias."""
        *primals, _ = ctx.saved_tensors
        _, pull = torch.func.vjp(FusedBackward._plain(ctx), *primals)
        return *pull(grads), *[None] * 7

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Return the tangents of the outputs."""
        *primals, _ = ctx.saved_tensors
        return _push(FusedBackward._plain(ctx), primals, tangents[:4])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        """Add the mapped dimension to the samples; see `Fused`."""
        samples, parameters = (0, 1, 4, 5, 6), (2, 3)
        return _map(FusedBackward, info.batch_size, in_dims, arguments, samples=samples, parameters=parameters)

    @staticmethod
    def _plain(ctx: Any) -> Callable[..., tuple[Tensor, ...]]:
        """The same in plain torch: (grad, x, weight, bias) -> the outputs."""
        *_, y = ctx.saved_tensors
        (groups, normalize, eps), identity = ctx.settings, ctx.identity

        def compute(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
            n, channels, *size = x.shape

            def alone(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # each sample's groups with own parameters
                x = x.reshape(1, n * channels, *size)
                return reference(x, weight, bias, n * groups, normalize, eps).reshape(n, channels, *size)

            if y is not None:
                grad = grad.masked_fill(y <= 0, 0)
            wide = [parameter.to(sum_type(x)).reshape(1, groups).expand(n, groups) for parameter in (weight, bias)]
            _, pull = torch.func.vjp(alone, x, *(parameter.reshape(-1) for parameter in wide))
            grad_x, *found = pull(grad)
            grad_weight, grad_bias = (gradient.reshape(n, groups) for gradient in found)
            return grad_x, grad_weight, grad_bias, grad * 1 if identity else x.new_empty(0)

        return compute


def _differentiate(ctx: Any, grad: Tensor, backward: Callable[..., Any]) -> tuple[Tensor | None, ...]:
    """Gradients of the operator's inputs; `ctx` is that of `Fused`."""
    x, weight, bias, mean_vector, statistics, y = ctx.saved_tensors
    for_identity = ctx.needs_input_grad[3]
    grad_x, *by_sample, grad_identity = backward(
        grad, x, weight, bias, mean_vector, statistics, y, *ctx.settings, for_identity
    )
    grad_weight, grad_bias = (
        gradient.sum(0).to(parameter.dtype).view(parameter.shape)
        for gradient, parameter in zip(by_sample, (weight, bias), strict=True)
    )
    if for_identity and y is None:
        grad_identity = grad
    return grad_x, grad_weight, grad_bias, grad_identity if for_identity else None, None, None, None, None


def _push(function: Callable[..., Any], primals: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> Any:
    """Tangents of a function's outputs."""
    given = [
        torch.zeros_like(primal) if tangent is None else tangent
        for primal, tangent in zip(primals, tangents, strict=True)
    ]
    # The gradient is a linear function, and its own gradient is the tangent; jvp cannot be called inside a jvp.
    outputs, pull = torch.func.vjp(function, *primals)
    zeros = tuple(map(torch.zeros_like, outputs)) if isinstance(outputs, tuple) else torch.zeros_like(outputs)
    return torch.func.vjp(pull, zeros)[1](tuple(given))[0]


def _map(
    function: type[Function],
    size: int,
    in_dims: tuple[int | None, ...],
    arguments: tuple[Any, ...],
    *,
    samples: tuple[int, ...],
    parameters: tuple[int, ...],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Outputs of a function of samples for each entry of the mapped dimension, and that dimension's place in them."""
    first = [
        argument if dim is None else argument.movedim(dim, 0) for argument, dim in zip(arguments, in_dims, strict=True)
    ]
    if any(in_dims[i] is not None for i in parameters):  # one after the other
        rows = [
            function.apply(*(entry if dim is None else entry[k] for entry, dim in zip(first, in_dims, strict=True)))
            for k in range(size)
        ]
        found = tuple(torch.stack(column) for column in zip(*rows, strict=True))
        return found, (0,) * len(found)
    for i in samples:
        if first[i] is not None:
            entry = first[i] if in_dims[i] is not None else first[i].expand(size, *first[i].shape)
            first[i] = entry.flatten(0, 1)
    found = tuple(
        output.unflatten(0, (size, -1)) if output.dim() > 1 else output.expand(size, *output.shape)
        for output in function.apply(*first)
    )
    return found, (0,) * len(found)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    Fused.setup_context(ctx, inputs, output)


def _backward_of_operator(ctx: Any, grad: Tensor, *_: object) -> tuple[Tensor | None, ...]:
    return _differentiate(ctx, grad, torch.ops.sgenet.spatial_group_enhance_backward)


torch.library.register_autograd(_NAME, _backward_of_operator, setup_context=_keep)
