"""Derivatives of the operator of all orders, and the form of it that eager mode uses; equations: `sgenet.kernels`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from sgenet.kernels.op import NAME
from sgenet.kernels.reference import reference, sum_type

FORWARD = torch.ops.sgenet.spatial_group_enhance.default
BACKWARD = torch.ops.sgenet.spatial_group_enhance_backward.default


def call(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    relu: bool,
) -> Tensor:
    """Call the operator in torch.compile, and otherwise `Fused`, which costs less and has all derivatives."""
    call = FORWARD if torch.compiler.is_compiling() else Fused.apply
    y: Tensor = call(x, weight, bias, identity, groups, normalize, eps, relu)[0]
    return y


class Fused(Function):
    """The operator in eager mode: (x, weight, bias, identity, groups, normalize, eps, relu) -> y and what is kept.

    It costs less than the operator called directly, and has derivatives of all orders, forward-mode derivatives and
    vmap. Those beyond the first derivative are computed by the reference.
    """

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return y, the mean vector and the statistics."""
        found: tuple[Tensor, Tensor, Tensor] = FORWARD(*arguments)
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
        # Unless the gradients are differentiated, the operator itself costs less.
        kept = ctx.saved_tensors
        given = (grad, *kept[:3])
        again = torch.is_grad_enabled() or any(forward_ad.unpack_dual(each).tangent is not None for each in given)
        return _differentiate(ctx, kept, grad, FusedBackward.apply if again else BACKWARD)

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
        found: tuple[Tensor, Tensor, Tensor, Tensor] = BACKWARD(*arguments)
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
        pull = torch.func.vjp(FusedBackward._plain(ctx), *primals)[1]
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
            if n == 0:
                none = x.new_empty(0, groups, dtype=sum_type(x))
                return grad * 1, none, none, grad * 1 if identity else x.new_empty(0)

            def alone(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # each sample's groups with own parameters
                x = x.reshape(1, n * channels, *size)
                return reference(x, weight, bias, n * groups, normalize, eps).reshape(n, channels, *size)

            if y is not None:
                grad = grad.masked_fill(y <= 0, 0)
            wide = [parameter.to(sum_type(x)).reshape(1, groups).expand(n, groups) for parameter in (weight, bias)]
            pull = torch.func.vjp(alone, x, *(parameter.reshape(-1) for parameter in wide))[1]
            grad_x, *found = pull(grad)
            grad_weight, grad_bias = (gradient.reshape(n, groups) for gradient in found)
            return grad_x, grad_weight, grad_bias, grad * 1 if identity else x.new_empty(0)

        return compute


def _differentiate(
    ctx: Any, kept: tuple[Any, ...], grad: Tensor, backward: Callable[..., Any]
) -> tuple[Tensor | None, ...]:
    """Gradients of the operator's inputs; `ctx` is that of `Fused`, and `kept` its saved tensors."""
    x, weight, bias, mean_vector, statistics, y = kept
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
    # Where forward mode is nested, the tangent has one of the outer level, which torch does not track in here. Leaving
    # inference mode, in which nothing is tracked, is its public way to track it.
    primals = [forward_ad.unpack_dual(primal).primal for primal in primals]
    given = [
        torch.zeros_like(primal) if tangent is None else tangent
        for primal, tangent in zip(primals, tangents, strict=True)
    ]
    # The gradient is a linear function, and its own gradient is the tangent; jvp cannot be called inside a jvp.
    tracking = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(tracking):
        outputs, pull = torch.func.vjp(function, *primals)[:2]
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
    if size == 0:  # no parameters, as there are no samples
        for i in parameters:
            first[i] = first[i] if in_dims[i] is None else first[i].new_empty(first[i].shape[1:])
    elif any(in_dims[i] is not None for i in parameters):  # one after the other
        rows = [
            function.apply(*(entry if dim is None else entry[k] for entry, dim in zip(first, in_dims, strict=True)))
            for k in range(size)
        ]
        found = tuple(torch.stack(column) for column in zip(*rows, strict=True))
        return found, (0,) * len(found)
    for i in samples:
        if first[i] is not None:
            entry = first[i] if in_dims[i] is not None else first[i].expand(size, *first[i].shape)
            n, first[i] = entry.shape[1], entry.flatten(0, 1)
    found = tuple(
        output.unflatten(0, (size, n)) if output.dim() > 1 else output.expand(size, *output.shape)
        for output in function.apply(*first)
    )
    return found, (0,) * len(found)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    Fused.setup_context(ctx, inputs, output)


def _backward_of_operator(ctx: Any, grad: Tensor, *_: object) -> tuple[Tensor | None, ...]:
    return _differentiate(ctx, ctx.saved_tensors, grad, BACKWARD)


def _map_backward(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
    return FusedBackward.vmap(info, in_dims, *arguments)


torch.library.register_vmap(f"{NAME}_backward", _map_backward)


torch.library.register_autograd(NAME, _backward_of_operator, setup_context=_keep)
