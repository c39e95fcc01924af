"""What is particular to the kernels on the CPU."""

import subprocess
import sys

import pytest
import torch

from sgenet.kernels import spatial_group_enhance


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_threads_change_no_bit(threads, memory_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 64, 9, 11, generator=generator).to(memory_format=memory_format).requires_grad_()
    weight, bias = (torch.randn(8, generator=generator).requires_grad_() for _ in range(2))
    found = []
    for count in (1, 2, 3):
        threads(count)
        y = spatial_group_enhance(x, weight, bias, 8)
        found.append((y, *torch.autograd.grad(y.square().sum(), (x, weight, bias))))
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@pytest.mark.parametrize("value", [-100.0, -87.0, -20.0, -1.5, 0.0, 1e-4, 3.0, 17.0, 88.0, 1000.0])
def test_sigmoid(value):
    """With gamma 0 the gate is sigmoid(beta), and a map of ones shows it."""
    y = spatial_group_enhance(torch.ones(1, 1, 4, 4), torch.zeros(1), torch.tensor([value]), 1)
    torch.testing.assert_close(y.double(), torch.tensor(value).double().sigmoid().expand_as(y), rtol=3e-7, atol=2e-38)


def test_who_makes_no_map_pays_nothing():
    code = "import sys, sgenet.attention as a; a.create('sge', 64); print({'numba', 'triton'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
