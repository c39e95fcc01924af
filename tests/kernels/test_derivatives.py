"""Derivatives of the fused operator of any order and by every transformation of torch: those of the definition."""

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vmap

from support.operator import FORMATS, SHAPE, TAILS, compare_forms, directions, operator, tensors


def gradients(function):
    """Gradients of a sum of third powers, which depend on the arguments."""
    return lambda *a: grad(lambda *a: (function(*a) ** 3).sum(), tuple(range(len(a))))(*a)


def penalty(function):
    """Gradients of the squared norm of the gradients."""
    return lambda *a: grad(lambda *a: sum(t.square().sum() for t in gradients(function)(*a)), tuple(range(len(a))))(*a)


def tangent(function, seed=0):
    return lambda *a: jvp(function, a, directions(a, seed))[1]


def stacked(arguments, dim=0):
    return [torch.stack([t, 1.1 * t, 0.9 * t]).movedim(0, dim) for t in arguments]


def mapped(function, *names):
    """`vmap` over some of the arguments, that many times: `mapped(f, "x", "weight bias")` maps two dimensions."""

    def compute(*arguments):
        arguments = list(arguments)
        for mapped_names in names:
            for i in _numbers(mapped_names, arguments):
                arguments[i] = torch.stack([arguments[i], 1.1 * arguments[i], 0.9 * arguments[i]])
        call = function
        for mapped_names in names:
            numbers = _numbers(mapped_names, arguments)
            call = vmap(call, tuple(0 if i in numbers else None for i in range(len(arguments))))
        return call(*arguments)

    return compute


def _numbers(names, arguments):
    every = ("x", "weight", "bias", "identity")[: len(arguments)]
    return [i for i, name in enumerate(every) if name in names.split()]


TRANSFORMS = {
    "tangent": tangent,
    "linearize": lambda f: lambda *a: linearize(f, *a)[1](*directions(a)),
    "gradients": gradients,
    "gradient penalty": penalty,
    "third derivative": lambda f: gradients(lambda *a: sum(t.sum() for t in penalty(f)(*a))),
    "forward over reverse": lambda f: tangent(gradients(f)),
    "reverse over forward": lambda f: gradients(tangent(f)),
    "forward over forward": lambda f: tangent(tangent(f), 1),
    "forward, three times": lambda f: tangent(tangent(tangent(f), 1), 2),
    "forward over forward over reverse": lambda f: tangent(tangent(gradients(f)), 1),
    "forward over reverse over forward": lambda f: tangent(gradients(tangent(f)), 1),
    "forward over reverse over reverse": lambda f: tangent(penalty(f)),
    "hessian": lambda f: lambda x, w, *r: hessian(lambda w: (f(x, w, *r) ** 2).sum())(w),
    "hessian, reverse": lambda f: lambda x, w, *r: jacrev(jacrev(lambda w: (f(x, w, *r) ** 2).sum()))(w),
    "hessian, forward": lambda f: lambda x, w, *r: jacfwd(jacfwd(lambda w: (f(x, w, *r) ** 2).sum()))(w),
    "jacobian, reverse": lambda f: lambda *a: jacrev(f, tuple(range(len(a))))(*a),
    "jacobian, forward": lambda f: lambda *a: jacfwd(f, tuple(range(len(a))))(*a),
    "mixed jacobian": lambda f: jacrev(jacfwd(f, 1), 2),
    "samples": lambda f: (
        lambda x, w, b, *i: vmap(lambda x, *i: gradients(f)(x[None], w, b, *(t[None] for t in i)))(x, *i)
    ),
    "maps of x": lambda f: mapped(gradients(f), "x"),
    "maps of x and identity": lambda f: mapped(gradients(f), "x identity"),
    "ensemble": lambda f: mapped(gradients(f), "weight bias"),
    "ensemble of biases": lambda f: mapped(gradients(f), "bias"),
    "all mapped": lambda f: mapped(gradients(f), "x weight bias identity"),
    "last dimension": lambda f: lambda *a: vmap(gradients(f), -1, 1)(*stacked(a, -1)),
    "other dimensions": lambda f: (
        lambda x, w, *r: vmap(gradients(f), (2, 1, *[None] * len(r)))(stacked([x], 2)[0], stacked([w], 1)[0], *r)
    ),
    "x in weights": lambda f: mapped(gradients(f), "x", "weight"),
    "weights in x": lambda f: mapped(gradients(f), "weight", "x"),
    "x in x": lambda f: mapped(gradients(f), "x", "x identity"),
    "mapped penalty": lambda f: mapped(penalty(f), "x weight"),
    "mapped tangent": lambda f: mapped(tangent(tangent(f), 1), "x"),
    "gradient of maps": lambda f: lambda *a: gradients(vmap(f))(*stacked(a)),
    "tangent of maps": lambda f: lambda *a: tangent(tangent(vmap(f)), 1)(*stacked(a)),
    "no maps": lambda f: lambda *a: vmap(gradients(f))(*(t[:0] for t in stacked(a))),
    "no maps of x": lambda f: lambda x, *r: vmap(gradients(f), (0, *[None] * len(r)))(stacked([x])[0][:0], *r),
}


def compare(transform, tail, memory_format, shape=SHAPE):
    compare_forms(transform(operator(tail)), *tensors(tail, memory_format, shape))


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms(transform, tail, memory_format):
    compare(transform, tail, memory_format)


@pytest.mark.parametrize("shape", [(0, 32, 3, 2), (2, 32, 0, 2)], ids=["no samples", "no positions"])
@pytest.mark.parametrize("tail", ["plain", "identity and relu"])
@pytest.mark.parametrize(
    "name",
    ["tangent", "gradients", "gradient penalty", "forward over reverse", "maps of x", "all mapped", "last dimension"],
)
def test_empty_maps(name, tail, shape):
    compare(TRANSFORMS[name], tail, torch.contiguous_format, shape)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [((2, 8, 2, 3), torch.contiguous_format), ((1, 32, 3, 1), torch.channels_last)],
    ids=["planes", "strips"],
)
@pytest.mark.parametrize("tail", TAILS)
def test_derivatives_are_those_of_differences(tail, shape, memory_format, normalize):
    arguments = [t.requires_grad_() for t in tensors(tail, memory_format, shape)]
    function, settings = operator(tail, normalize), {"fast_mode": True, "check_batched_grad": True}
    forward = {"check_forward_ad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(function, arguments, **settings, **forward)
    assert torch.autograd.gradgradcheck(function, arguments, **settings, check_fwd_over_rev=True)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("transform", [lambda f: f, tangent, lambda f: tangent(tangent(f)), gradients, penalty])
def test_tangents_and_gradients_are_those_of_differences(transform, tail):
    """Also where torch cannot differentiate the definition: backward, of two derivatives of which one is forward."""
    arguments = tensors(tail, torch.channels_last)
    along, step = directions(arguments, 1), 1e-6

    def function(*a):
        found = transform(operator(tail))(*a)
        return sum(t.sin().sum() for t in (found if isinstance(found, tuple) else (found,)))

    ahead, behind = (function(*(a + s * d for a, d in zip(arguments, along, strict=True))) for s in (step, -step))
    expected = (ahead - behind) / (2 * step)
    gradient = grad(function, tuple(range(len(arguments))))(*arguments)
    found = sum((g * d).sum() for g, d in zip(gradient, along, strict=True))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(jvp(function, arguments, along)[1], expected, rtol=1e-5, atol=1e-5)
