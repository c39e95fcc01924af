"""The operator in the form of each device against the definition, in double precision and differentiated by torch."""

import sys

import pytest
import torch

from sgenet.kernels import reference, spatial_group_enhance, spatial_group_enhance_add_relu, use
from support.operator import FORMATS, TAILS, compare_with_definition

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-12}
SHAPES = {  # (N, C, H, W), groups
    "quads": ((2, 32, 5, 7), 8),
    "two quads": ((3, 64, 9, 4), 8),
    "three quads": ((2, 48, 3, 5), 4),
    "four quads": ((2, 32, 4, 6), 2),
    "odd groups": ((2, 21, 6, 5), 7),
    "one group": ((2, 6, 5, 4), 1),
    "a channel a group": ((2, 5, 7, 3), 5),
    "one position": ((4, 16, 1, 1), 4),
    "one column": ((2, 16, 9, 1), 4),
    "stage 4": ((2, 2048, 7, 7), 64),
    "stage 1": ((2, 256, 56, 56), 64),
    "many samples": ((1024, 8, 2, 3), 2),
}


def inputs(shape, groups, device, dtype=torch.float64, memory_format=torch.contiguous_format):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3
    weight, bias = torch.randn(2, groups, generator=generator, dtype=torch.float64)
    x = x.to(device, dtype).to(memory_format=memory_format)
    return [t.detach().requires_grad_() for t in (x, weight.to(device), bias.to(device))]


def results(function, x, weight, bias, groups, grad, **settings):
    y = function(x, weight, bias, groups, **settings)
    return [y.detach(), *torch.autograd.grad(y, (x, weight, bias), grad.to(y.device, y.dtype))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("shape", "groups"), SHAPES.values(), ids=SHAPES)
def test_equals_the_definition(device, memory_format, dtype, tail, shape, groups):
    compare_with_definition(shape, groups, dtype, memory_format, LIMITS[dtype], tail, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("shape", [(2, 32, 5, 7), (2, 24, 4, 3), (3, 8, 1, 1)])
def test_equals_the_definition_without_normalisation(device, memory_format, shape):
    compare_with_definition(shape, 8, torch.float32, memory_format, 1e-5, "plain", device, normalize=False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_rounds_once(device, memory_format, dtype, tail):
    compare_with_definition((2, 64, 14, 15), 8, dtype, memory_format, torch.finfo(dtype).eps, tail, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_a_huge_map(device, memory_format):
    compare_with_definition((1, 32, 200, 336), 8, torch.float32, memory_format, 1e-5, "plain", device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("channels", [8, 6])
def test_gradients_are_those_of_differences(device, memory_format, normalize, channels):
    x, weight, bias = inputs((2, channels, 3, 4), 2, device, memory_format=memory_format)

    def function(x, weight, bias):
        return spatial_group_enhance(x, weight, bias, 2, normalize)

    assert torch.autograd.gradcheck(function, (x, weight, bias))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_a_constant_map_has_finite_gradients(device, memory_format):
    x, weight, bias = inputs((2, 16, 4, 4), 4, device, torch.float64, memory_format)
    x = torch.ones_like(x).requires_grad_()
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = results(spatial_group_enhance, x, weight, bias, 4, grad)
    expected = results(reference, x, weight, bias, 4, grad)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_what_rounding_leaves_of_a_constant_map_is_not_normalised(device, memory_format):
    x, weight, bias = inputs((2, 128, 4, 3), 32, device, torch.float32, memory_format)
    x = torch.full_like(x, 1000 / 3).requires_grad_()
    y = spatial_group_enhance(x, weight.float(), bias.float(), 32)
    y.sum().backward()
    gate = torch.sigmoid(bias.float()).detach().repeat_interleave(4).view(1, 128, 1, 1).expand_as(x)
    torch.testing.assert_close(y.detach(), x.detach() * gate, rtol=1e-4, atol=0)
    torch.testing.assert_close(x.grad, gate, rtol=1e-4, atol=0, check_stride=False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(0, 8, 3, 3), (2, 8, 0, 3)])
def test_an_empty_map(device, shape):
    x, weight, bias = inputs(shape, 2, device)
    y, *gradients = results(spatial_group_enhance, x, weight, bias, 2, torch.zeros(shape))
    assert y.shape == gradients[0].shape == shape
    assert not gradients[1].any() and not gradients[2].any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_not_a_number_stays_one(device, memory_format):
    x, weight, bias = inputs((2, 16, 4, 4), 4, device, torch.float32, memory_format)
    with torch.no_grad():
        x[1, 5, 2, 2] = float("nan")
    y = spatial_group_enhance(x, weight.float(), bias.float(), 4)
    assert y[1, 4:8].isnan().all()
    assert not y[0].isnan().any() and not y[1, :4].isnan().any() and not y[1, 8:].isnan().any()


@pytest.mark.parametrize("device", DEVICES)
def test_other_strides_and_gradients_without_strides(device):
    x, weight, bias = inputs((2, 16, 6, 5), 4, device)
    turned = x.detach().transpose(2, 3).requires_grad_()
    y = spatial_group_enhance(turned, weight, bias, 4)
    torch.testing.assert_close(y, reference(turned, weight, bias, 4))
    found = torch.autograd.grad(y.sum(), (turned, weight, bias))  # the gradient of a sum is one number, repeated
    expected = torch.autograd.grad(reference(turned, weight, bias, 4).sum(), (turned, weight, bias))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("tail", ["plain", "identity and relu"])
def test_the_operator_keeps_the_rules_of_torch(device, memory_format, tail):
    identity, relu = TAILS[tail]
    x, weight, bias = inputs((2, 64, 4, 3), 8, device, torch.float32, memory_format)
    settings = (8, True, 1e-5)
    given = (x, weight, bias, x.detach().clone().requires_grad_() if identity else None, *settings, relu)
    torch.library.opcheck(torch.ops.sgenet.spatial_group_enhance, given)
    with torch.no_grad():
        y, *kept = torch.ops.sgenet.spatial_group_enhance(*given)
        arguments = [t.detach() for t in (torch.ones_like(x), x, weight, bias, *kept)]
    backward = (*arguments, y if relu else None, *settings, identity)
    torch.library.opcheck(torch.ops.sgenet.spatial_group_enhance_backward, backward)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_without_a_break(device, dynamic):
    def function(x, weight, bias):
        return spatial_group_enhance_add_relu(x * 2, weight, bias, x, 8).square().sum()

    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for shape in ((2, 64, 4, 3), (3, 64, 5, 3), (2, 64, 1, 1)):
        given = inputs(shape, 8, device, torch.float32, torch.channels_last)
        given[1:] = [t.detach().float().requires_grad_() for t in given[1:]]
        found, expected = (torch.autograd.grad(f(*given), given) for f in (compiled, function))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_under_autocast(device):
    x, weight, bias = inputs((2, 16, 4, 3), 4, device, torch.bfloat16)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = spatial_group_enhance(x, weight.float(), bias.float(), 4)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, reference(x, weight, bias, 4))


def test_the_reference_can_be_asked_for(monkeypatch):
    called = []
    monkeypatch.setattr("sgenet.kernels.compute", lambda *arguments, **settings: called.append(arguments))
    given = inputs((2, 16, 4, 3), 4, "cpu")
    spatial_group_enhance(*given, 4)
    assert not called
    with use("reference"):
        spatial_group_enhance(*given, 4)
    spatial_group_enhance(*given, 4)
    assert len(called) == 1


def test_the_reference_serves_where_no_compiler_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    from sgenet.kernels import op

    op.kernels.cache_clear()
    try:
        given = inputs((2, 16, 4, 3), 4, "cpu")
        torch.testing.assert_close(spatial_group_enhance(*given, 4), reference(*given, 4), rtol=0, atol=0)
    finally:
        op.kernels.cache_clear()
