"""SGE against its equations, written out in loops."""

import math

import pytest
import torch

from sgenet.attention import SpatialGroupEnhance


def sge_in_loops(x, gamma, beta, groups, eps):
    """Section 3 of the paper position by position, with the authors' unbiased deviation and outer epsilon."""
    n, channels, height, width = x.shape
    size, positions = channels // groups, [(i, j) for i in range(height) for j in range(width)]
    out = torch.empty_like(x)
    for sample in range(n):
        for group in range(groups):
            block = x[sample, group * size : (group + 1) * size]
            g = [sum(float(block[k, i, j]) for i, j in positions) / len(positions) for k in range(size)]
            c = [sum(g[k] * float(block[k, i, j]) for k in range(size)) for i, j in positions]
            mean = sum(c) / len(c)
            sigma = math.sqrt(sum((value - mean) ** 2 for value in c) / (len(c) - 1))
            for (i, j), value in zip(positions, c, strict=True):
                a = float(gamma[group]) * (value - mean) / (sigma + eps) + float(beta[group])
                out[sample, group * size : (group + 1) * size, i, j] = block[:, i, j] / (1 + math.exp(-a))
    return out


@pytest.mark.parametrize(("channels", "groups", "height", "width"), [(8, 2, 3, 4), (6, 6, 2, 2), (4, 1, 5, 1)])
def test_equals_the_equations(channels, groups, height, width):
    torch.manual_seed(0)
    module = SpatialGroupEnhance(channels, groups).double()
    torch.nn.init.normal_(module.weight)
    torch.nn.init.normal_(module.bias)
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    expected = sge_in_loops(x, module.weight.detach().flatten(), module.bias.detach().flatten(), groups, module.eps)
    torch.testing.assert_close(module(x), expected, rtol=1e-12, atol=1e-12)


def test_gradients():
    torch.manual_seed(0)
    module = SpatialGroupEnhance(6, 3).double()
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    gamma = torch.randn(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    beta = torch.randn(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)

    def function(x, gamma, beta):
        return torch.func.functional_call(module, {"weight": gamma, "bias": beta}, (x,))

    assert torch.autograd.gradcheck(function, (x, gamma, beta))


def test_starts_as_a_scaling_by_sigmoid_of_one():
    x = torch.randn(2, 64, 5, 5)
    module = SpatialGroupEnhance(64)
    torch.testing.assert_close(module(x), x / (1 + math.exp(-1)))
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        "weight": (1, 64, 1, 1),
        "bias": (1, 64, 1, 1),
    }


@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 8, 3, 3)])
def test_one_position_and_constant_maps_stay_finite(shape):
    module = SpatialGroupEnhance(8, 4)
    torch.nn.init.ones_(module.weight)
    x = torch.ones(shape, requires_grad=True)
    module(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full(shape, 1 / (1 + math.exp(-1))), rtol=1e-4, atol=1e-4)


def test_channels_that_do_not_fall_into_groups_are_refused():
    with pytest.raises(ValueError, match="10 channels do not fall into 4 equal groups"):
        SpatialGroupEnhance(10, 4)


def test_start_of_gamma_and_beta():
    module = SpatialGroupEnhance(8, 4, gamma=1, beta=0.5)
    assert module.weight.flatten().tolist() == [1.0] * 4 and module.bias.flatten().tolist() == [0.5] * 4


def test_without_normalisation_the_likeness_itself_is_scaled_and_shifted():
    torch.manual_seed(0)
    module = SpatialGroupEnhance(6, 2, gamma=0.3, beta=-0.2, normalize=False)
    x = torch.randn(2, 6, 3, 4)
    expected = torch.empty_like(x)
    for sample in range(2):
        for group in range(2):
            block = x[sample, 3 * group : 3 * group + 3].flatten(1)  # 3 channels of 12 positions
            likeness = block.mean(dim=1) @ block
            gated = block / (1 + torch.exp(-(0.3 * likeness - 0.2)))
            expected[sample, 3 * group : 3 * group + 3] = gated.view(3, 3, 4)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("height", [1, 3])
def test_keeps_channels_last(height):
    x = torch.randn(2, 8, height, 4).to(memory_format=torch.channels_last)
    module = SpatialGroupEnhance(8, 4, gamma=1)
    assert module(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(module(x), module(x.contiguous()))
