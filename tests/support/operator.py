"""Arguments of the SGE operator, and comparisons of its fused form with its definition."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sgenet.kernels import reference, spatial_group_enhance_add_relu, use

SHAPE, GROUPS = (2, 32, 3, 2), 4  # in channels_last, a strip in float64
FORMATS = [torch.contiguous_format, torch.channels_last]
TAILS = {"plain": (False, False), "identity": (True, False), "relu": (False, True), "identity and relu": (True, True)}


def tensors(tail: str, memory_format: torch.memory_format, shape: tuple[int, ...] = SHAPE) -> tuple[Tensor, ...]:
    """The arguments x, weight, bias and, with an identity, that."""
    generator = torch.Generator().manual_seed(3)
    x, identity = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    weight, bias = torch.randn(2, GROUPS, generator=generator, dtype=torch.float64)
    x, identity = ((t + 0.3).contiguous(memory_format=memory_format) for t in (x, identity))
    return (x, weight, bias, identity)[: 4 if TAILS[tail][0] else 3]


def operator(tail: str, normalize: bool = True) -> Callable[..., Tensor]:
    """The operator with this tail, as a function of what `tensors` returns."""
    relu = TAILS[tail][1]

    def function(x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor | None = None) -> Tensor:
        return spatial_group_enhance_add_relu(x, weight, bias, identity, GROUPS, normalize, relu=relu)

    return function


def directions(arguments: Any, seed: int = 0) -> tuple[Tensor, ...]:
    """A tangent for each argument; without random numbers, which `vmap` does not draw."""
    return tuple(
        torch.cos((1.7 + seed) * torch.arange(1.0, t.numel() + 1, dtype=t.dtype)).view(t.shape) for t in arguments
    )


def compare_forms(compute: Callable[..., Any], *arguments: Tensor) -> None:
    """Assert that the fused form and the definition give the same."""
    found = compute(*arguments)
    with use("reference"):
        expected = compute(*arguments)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, check_stride=False)


def compare_with_definition(
    shape: tuple[int, ...],
    groups: int,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    limit: float,
    tail: str = "plain",
    device: str = "cpu",
    **settings: Any,
) -> None:
    """Assert that the result and the gradients are those of the definition in float64, from the same numbers.

    A difference is relative to the largest number. With an identity, no result is so close to 0 that rounding decides
    the ReLU's mask; without one, its sign is that of x.
    """
    with_identity, relu = TAILS[tail]
    generator = torch.Generator().manual_seed(1)
    x, identity, grad = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    weight, bias = torch.randn(2, groups, generator=generator, dtype=torch.float64).float().double()
    x, grad = (x + 0.3).to(dtype).double(), grad.to(dtype).double()
    y = reference(x, weight, bias, groups, identity=identity, **settings)
    identity = torch.where(y.abs() < 0.02, identity + 0.05, identity).to(dtype).double()
    exact = [t.requires_grad_() for t in (x, weight, bias, identity)[: 4 if with_identity else 3]]
    number = torch.promote_types(dtype, torch.float32)
    given = [
        (t.to(device, dtype).contiguous(memory_format=memory_format) if t.dim() == 4 else t.to(device, number))
        .detach()
        .requires_grad_()
        for t in exact
    ]
    x, weight, bias, *rest = exact
    expected = reference(x, weight, bias, groups, identity=rest[0] if rest else None, relu=relu, **settings)
    x, weight, bias, *rest = given
    found = spatial_group_enhance_add_relu(x, weight, bias, rest[0] if rest else None, groups, relu=relu, **settings)
    assert found.is_contiguous(memory_format=memory_format)
    gradients = torch.autograd.grad(found, given, grad.to(device, dtype))
    for name, mine, true in zip(
        ("y", "x", "weight", "bias", "identity"),
        (found, *gradients),
        (expected, *torch.autograd.grad(expected, exact, grad)),
        strict=False,
    ):
        assert mine.dtype == (number if name in ("weight", "bias") else dtype)
        assert furthest(mine, true) < limit, (name, furthest(mine, true))


def furthest(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest number."""
    assert found.shape == expected.shape
    if expected.numel() == 0:
        return 0.0
    return ((found.double().cpu() - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()
