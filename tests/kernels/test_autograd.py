"""The fused operator in eager mode's autograd: partial gradients, masks, changes in place, checkpoints."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from support.operator import FORMATS, TAILS, compare_forms, directions, operator, tensors


def leaves(tail, memory_format=torch.channels_last):
    return [t.requires_grad_() for t in tensors(tail, memory_format)]


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("number", range(4), ids=["x", "weight", "bias", "identity"])
@pytest.mark.parametrize("relu", [False, True])
def test_a_gradient_of_one_argument(number, relu, memory_format):
    arguments = list(tensors("identity", memory_format))
    arguments[number].requires_grad_()

    def compute(*a):
        y = operator("identity and relu" if relu else "identity")(*a)
        first = torch.autograd.grad(y.square().sum(), a[number], create_graph=True)[0]
        return y, first, *torch.autograd.grad(first.square().sum(), a[number])

    compare_forms(compute, *arguments)


@pytest.mark.parametrize("tail", TAILS)
def test_dual_tensors(tail):
    arguments = leaves(tail)

    def compute(*a):
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(t, d) for t, d in zip(a, directions(a), strict=True)]
            y = operator(tail)(*duals)
            over = torch.autograd.grad(y.square().sum(), duals)
            partly = operator(tail)(duals[0], *a[1:])
            return [tuple(forward_ad.unpack_dual(t)) for t in (y, partly, *over)]

    compare_forms(compute, *arguments)
    with torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(arguments[0], directions(arguments)[0])
        assert not forward_ad.unpack_dual(operator(tail)(dual, *arguments[1:])).tangent.requires_grad


@pytest.mark.parametrize("tail", TAILS)
def test_many_gradients_at_once(tail):
    def compute(*a):
        y = operator(tail)(*a)
        grads = torch.stack([torch.ones_like(y), y.detach(), -torch.ones_like(y)])
        return torch.autograd.grad(y, a, grads, is_grads_batched=True)

    compare_forms(compute, *leaves(tail))


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("tail", TAILS)
def test_backward_again_and_again(tail, memory_format):
    """With a gradient that is one number expanded, which the shortcut's gradient must not stay."""

    def compute(*a):
        copies = [t.detach().requires_grad_() for t in a]
        y = operator(tail)(*copies).sum()
        y.backward(retain_graph=True)
        first = [t.grad.clone() for t in copies]
        y.backward()
        for t, once in zip(copies, first, strict=True):
            torch.testing.assert_close(t.grad, 2 * once)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.backward()
        return first

    compare_forms(compute, *tensors(tail, memory_format))


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_the_mask_of_the_gradient_is_that_of_torch(memory_format):
    """Where the result is 0 the gradient is 0, and where it is no number the gradient passes."""
    x, weight, bias, identity = tensors("identity and relu", memory_format)
    x[0, :, 0] = 0.0
    identity[0, :, 0] = 0.0
    identity[1, :, 1, 1] = float("nan")
    identity[1, :, 1, 0], identity[1, :, 2, 0] = float("inf"), -float("inf")
    arguments = [t.requires_grad_() for t in (x, weight, bias, identity)]
    found = operator("identity and relu")(*arguments)
    expected = torch.relu(operator("identity")(*arguments))
    assert (found == 0).any() and found.isnan().any()
    torch.testing.assert_close(found, expected, equal_nan=True)
    found, expected = (torch.autograd.grad(y, arguments, torch.ones_like(y)) for y in (found, expected))
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("tail", "changed"),
    [(t, n) for t in TAILS for n in ("x", "weight", "bias", "identity", "y") if n != "identity" or TAILS[t][0]],
)
def test_changes_in_place_after_the_forward_pass(tail, changed):
    """What the backward pass needs must not change; x, weight, bias, and after a ReLU the result."""
    arguments = leaves(tail)
    names = ["x", "weight", "bias", "identity"][: len(arguments)]
    copies = dict(zip(names, (t * 1 for t in arguments), strict=True))
    y = operator(tail)(**copies)
    expected = torch.autograd.grad(y.sum(), arguments, retain_graph=True)
    copies["y"] = y
    copies[changed].add_(1)
    if changed == "identity" or (changed == "y" and not TAILS[tail][1]):
        torch.testing.assert_close(torch.autograd.grad(y.sum(), arguments), expected)
    else:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(y.sum(), arguments)


@pytest.mark.parametrize("tail", ["plain", "identity and relu"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_and_hooks_of_what_is_kept(tail, reentrant):
    def compute(*a):
        y = checkpoint(operator(tail), *a, use_reentrant=reentrant)
        y.sum().backward()
        found = [t.grad for t in a]
        for t in a:
            t.grad = None
        with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
            y = operator(tail)(*a)
        return [*found, *torch.autograd.grad(y.sum(), a)]

    compare_forms(compute, *leaves(tail))


@pytest.mark.parametrize("tail", TAILS)
def test_without_gradients(tail):
    arguments = leaves(tail)
    expected = operator(tail)(*arguments).detach()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            y = operator(tail)(*arguments)
        assert not y.requires_grad and y.grad_fn is None
        torch.testing.assert_close(y, expected, rtol=0, atol=0)
    with torch.inference_mode():
        made = [t.clone() for t in arguments]
    torch.testing.assert_close(operator(tail)(*made), expected, rtol=0, atol=0)
