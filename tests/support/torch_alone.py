"""What works with torch alone; CI runs `python -P tests/support/torch_alone.py` where nothing else is installed."""

import sys

import torch

from sgenet import attention
from sgenet.attention import SpatialGroupEnhance
from sgenet.kernels import spatial_group_enhance
from sgenet.kernels.reference import reference


def check_modules() -> None:
    """Every attention module runs forward and backward, and its output has the shape of its input."""
    for name in attention.names():
        x = torch.randn(2, 128, 9, 7, requires_grad=True)
        module = attention.create(name, 128)
        y = module(x)
        y.square().sum().backward()
        assert y.shape == x.shape, name
        assert all(part.grad is not None and part.grad.isfinite().all() for part in (x, *module.parameters())), name


def check_sge() -> None:
    """SGE is the paper's equations; the plain form has the gradients of finite differences, the module the same."""
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gated = torch.empty_like(x)
    with torch.no_grad():
        for sample, group in ((sample, group) for sample in range(2) for group in range(2)):
            part = x[sample, 4 * group : 4 * group + 4].flatten(1)  # (4, 12)
            likeness = part.mean(1) @ part
            normal = (likeness - likeness.mean()) / (likeness.std() + 1e-5)
            gate = torch.sigmoid(weight[group] * normal + bias[group])
            gated[sample, 4 * group : 4 * group + 4] = (part * gate).view(4, 3, 4)
    assert torch.allclose(reference(x, weight, bias, 2), gated)
    assert torch.autograd.gradcheck(lambda x, weight, bias: reference(x, weight, bias, 2), (x, weight, bias))
    reference(x, weight, bias, 2).square().sum().backward()
    module, single = SpatialGroupEnhance(8, groups=2), x.detach().float().requires_grad_()
    with torch.no_grad():
        module.weight.copy_(weight.view(1, 2, 1, 1))
        module.bias.copy_(bias.view(1, 2, 1, 1))
    y = module(single)
    y.square().sum().backward()
    assert torch.equal(spatial_group_enhance(single, module.weight.flatten(), module.bias.flatten(), 2), y)
    pairs = (y, gated), (single.grad, x.grad), (module.weight.grad, weight.grad), (module.bias.grad, bias.grad)
    for found, expected in pairs:
        assert found is not None and expected is not None
        assert torch.allclose(found.flatten(), expected.float().flatten(), rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    torch.manual_seed(0)
    check_modules()
    check_sge()
    others = [name for name in ("numpy", "numba", "torchvision", "pydantic") if name in sys.modules]
    versions = f"torch {torch.__version__}, Python {sys.version.partition(' ')[0]}"
    print(f"{versions}; also imported: {', '.join(others) or 'none'}")
