"""The Triton kernels against SGE written out in torch, in float64: in Triton's interpreter, and compiled on a GPU.

The interpreter has to be chosen before Triton is imported, so `test_in_the_interpreter` runs this file again in a
process of its own, where the kernels take tensors of the CPU.
"""

import os
import subprocess
import sys

import pytest
import torch
from triton.runtime import interpreter

from sgenet.kernels import cuda
from sgenet.kernels.reference import sum_type

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
EPS = 1e-5

# The interpreter computes what is masked, too: of rows and positions outside the map, and over a deviation of 0.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
runs_here = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="needs a CUDA device")
needs_gpu = pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def bounds_of_loops(monkeypatch):
    """Triton 3.6's interpreter makes an int of an array of one element, which NumPy 2.4 refuses."""
    patch_tensor = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)


def plain(x, weight, bias, groups, normalize):
    """Section 3 of the paper in torch operators: unbiased deviation, epsilon added to it; z = 0 over one position.

    weight and bias are (N, groups), so that their gradients are those of each sample.
    """
    planes = x.unflatten(1, (groups, -1)).flatten(3)
    likeness = (planes * planes.mean(3, keepdim=True)).sum(2)
    if normalize and likeness.shape[2] == 1:
        likeness = likeness * 0
    elif normalize:
        deviation = likeness.std(2, keepdim=True)  # of a constant map it is 0, where its root has no gradient
        deviation = deviation if deviation.all() else deviation.detach()
        likeness = (likeness - likeness.mean(2, keepdim=True)) / (deviation + EPS)
    gate = torch.sigmoid(weight[:, :, None] * likeness + bias[:, :, None])
    return (planes * gate[:, :, None]).reshape(x.shape)


def sample_of(shape, groups, dtype, last, device=DEVICE):
    """Features after a ReLU with a little noise, which have a mean and deviate from it, and the other inputs."""
    generator = torch.Generator().manual_seed(0)
    x, noise, grad, identity = torch.randn(4, *shape, generator=generator).unbind()
    maps = [tensor.to(device, dtype) for tensor in (x.relu() + 0.1 * noise, grad, identity)]
    weight, bias = torch.randn(2, groups, generator=generator).to(device, sum_type(maps[0])).unbind()
    x, grad, identity = (tensor.to(memory_format=torch.channels_last) if last else tensor for tensor in maps)
    return x, weight, bias, grad, identity


def results(x, weight, bias, grad, identity, groups, normalize=True, tail=""):
    """y; the gradients of x, weight and bias; the gradient of the identity if it is added before a ReLU.

    `tail` states what follows SGE: the addition of the identity (+), a ReLU (r), both, or neither.
    """
    added, relu = identity if "+" in tail else None, "r" in tail
    y, *kept = cuda.forward(x, weight, bias, added, groups, normalize, EPS, relu)
    output = y if relu else None
    return y, *cuda.backward(grad, x, weight, bias, *kept, output, groups, normalize, EPS, tail == "+r")


def expected(x, weight, bias, grad, identity, groups, normalize=True, tail=""):
    leaves = [tensor.double().requires_grad_() for tensor in (x, weight.expand(len(x), -1), bias.expand(len(x), -1))]
    y = plain(*leaves, groups, normalize)
    if "+" in tail:
        y = y + identity.double()
    gradients = torch.autograd.grad(y, leaves, grad.double(), materialize_grads=True)
    return (y.relu() if "r" in tail else y).detach(), *gradients


TAILS = ["", "+", "r", "+r"]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # y, grad_x


def check(x, weight, bias, grad, identity, groups, normalize=True, tail=""):
    """Within the tolerance of the largest value; the parameters' gradients are never rounded below fp32.

    Rounding decides whether a value close to 0 passes the ReLU. The gradient is therefore masked by the y found.
    """
    all_found = results(x, weight, bias, grad, identity, groups, normalize, tail)
    masked = torch.where(all_found[0] <= 0, 0, grad) if "r" in tail else grad
    wanted = expected(x, weight, bias, masked, identity, groups, normalize, tail)
    for i, (found, right) in enumerate(zip(all_found[:4], wanted, strict=True)):
        tolerance = TOLERANCE[x.dtype if i < 2 else weight.dtype]
        assert found.dtype == (x.dtype if i < 2 else weight.dtype) and found.shape == right.shape
        assert (found.double() - right).abs().max() <= tolerance * right.abs().max(), ("y", "x", "weight", "bias")[i]
    assert torch.equal(all_found[4], masked) if tail == "+r" else all_found[4] is None
    return all_found


@pytest.fixture(params=["on chip", "looped", "split"])
def form(request, monkeypatch):
    """Each form, whatever the size of the map."""
    if request.param != "on chip":
        monkeypatch.setattr(cuda, "_ON_CHIP", 0)
        monkeypatch.setattr(cuda, "_LOOPED", 512)
        monkeypatch.setattr(cuda, "_CHUNKS", 2)
        monkeypatch.setattr(cuda, "_LONG", 0 if request.param == "split" else 2**31)
        monkeypatch.setattr(cuda, "_processors", lambda x: 1 if request.param == "looped" else 100)
    return request.param


def planned(x, groups):
    plan = cuda._plan(x, 1, groups, True, EPS)
    return "on chip" if not plan.looped else "looped" if plan.grid[1] == 1 else "split"


@runs_here
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize(("shape", "groups", "tails"), [((2, 16, 8, 10), 2, ["+r"]), ((1, 15, 13, 3), 5, TAILS)])
def test_forms(shape, groups, tails, last, form):
    """Sizes that are powers of two and that are not, of channels in a group, groups and positions."""
    sample = sample_of(shape, groups, torch.float32, last)
    assert planned(sample[0], groups) == form
    for tail in tails:
        y, grad_x, *_, grad_identity = check(*sample, groups, tail=tail)
        assert y.stride() == grad_x.stride() == sample[0].stride()
        assert grad_identity is None or grad_identity.stride() == y.stride()


@runs_here
@pytest.mark.parametrize(
    ("form", "dtype"),
    [("on chip", torch.bfloat16), ("on chip", torch.float16), ("looped", torch.float64), ("split", torch.bfloat16)],
    indirect=["form"],
)
def test_types(dtype, form):
    check(*sample_of((1, 12, 5, 9), 2, dtype, last=True), 2, tail="+r")


@runs_here
def test_without_normalization(form):
    check(*sample_of((1, 12, 9, 10), 3, torch.float32, last=False), 3, normalize=False, tail="r")


@runs_here
def test_a_relu_keeps_what_is_not_a_number(form):
    """As that of torch, which also lets the gradient pass there."""
    x, weight, bias, grad, identity = sample_of((1, 8, 5, 9), 2, torch.float32, last=False)
    x[0, 1, 2, 3] = identity[0, 6, 1, 1] = float("nan")  # all of a group of x, and a single number
    y, *_, grad_identity = results(x, weight, bias, grad, identity, 2, tail="+r")
    leaf = identity.double().requires_grad_()
    wanted = (plain(x.double(), weight.double()[None], bias.double()[None], 2, True) + leaf).relu()
    assert torch.equal(y.isnan(), wanted.isnan()) and y.isnan().sum() == 4 * 45 + 1
    assert torch.equal(grad_identity.double(), torch.autograd.grad(wanted, leaf, grad.double())[0])


@runs_here
@pytest.mark.parametrize(
    ("form", "shape", "groups"),
    [
        ("on chip", (3, 8, 1, 1), 4),
        ("looped", (2, 8, 1, 1), 4),
        ("on chip", (2, 4, 5, 5), 4),
        ("looped", (2, 4, 5, 5), 4),
        ("split", (1, 4, 5, 5), 1),
    ],
    indirect=["form"],
)
def test_one_position_one_channel_one_group(shape, groups, form):
    grad_weight = check(*sample_of(shape, groups, torch.float32, last=False), groups, tail="+r")[2]
    assert shape[2:] != (1, 1) or not grad_weight.any()


@runs_here
def test_constant_maps(form):
    """Their deviation is 0, and nothing flows back through it; values whose sums are rounded deviate no more."""
    x, weight, bias, *rest = sample_of((2, 8, 4, 5), 2, torch.float32, last=False)
    check(x.fill_(0.5), weight, bias, *rest, 2)
    x = torch.linspace(0.1, 30, 8, device=DEVICE)[:, None, None].expand(1, 8, 29, 31).contiguous()
    y, *_ = cuda.forward(x, weight, bias, None, 2, True, EPS, False)
    torch.testing.assert_close(y, x * torch.sigmoid(bias).repeat_interleave(4)[:, None, None])


@runs_here
def test_a_large_mean_costs_no_digits(form):
    """sum(s^2) - mean^2 would lose them: here the mean of the likeness is 200 times its deviation."""
    x, *rest = sample_of((1, 8, 9, 9), 2, torch.float32, last=False)
    x = 10 + 0.05 * x
    y, wanted = results(x, *rest, 2)[0], expected(x, *rest, 2)[0]
    assert (y.double() - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@runs_here
@pytest.mark.parametrize("shape", [(0, 8, 3, 3), (2, 8, 0, 3)])
def test_nothing_comes_of_nothing(shape):
    y, grad_x, grad_weight, grad_bias, grad_identity = results(*sample_of(shape, 2, torch.float32, False), 2, tail="+r")
    assert y.shape == grad_x.shape == grad_identity.shape == shape
    assert grad_weight.shape == grad_bias.shape == (shape[0], 2) and not grad_weight.any() and not grad_bias.any()


STAGES = [(8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (8, 2048, 7, 7)]  # ResNet50's at 224 px
DETECTION = [(2, 256, 200, 336), (2, 512, 100, 168), (2, 512, 25, 21)]


@needs_gpu
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize(
    ("dtype", "tail"),
    [(torch.float32, ""), *((dtype, "+r") for dtype in (torch.float32, torch.bfloat16, torch.float16))],
)
@pytest.mark.parametrize("shape", [*STAGES, *DETECTION, (2, 192, 25, 21)])
def test_real_shapes(shape, dtype, tail, last):
    """On the device, and the same bits twice."""
    sample = sample_of(shape, 64, dtype, last)
    found, again = check(*sample, 64, tail=tail), results(*sample, 64, tail=tail)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(found, again, strict=True))


@needs_gpu
def test_more_than_two_billion_numbers():
    """Offsets of 64 bits: the last sample comes out as it does alone. 18 GB."""
    x = torch.randn(1, 64, 56, 56, device="cuda", dtype=torch.float16).expand(10800, -1, -1, -1).contiguous()
    weight = bias = torch.ones(16, device="cuda")
    found = results(x, weight, bias, x, x, 16, tail="+r")
    alone = results(*(tensor[-1:] if tensor is x else tensor for tensor in (x, weight, bias, x, x)), 16, tail="+r")
    assert x.numel() > 2**31 and all(torch.equal(a[-1:], b) for a, b in zip(found, alone, strict=True))


@pytest.mark.skipif(INTERPRETED, reason="runs outside the interpreter")
def test_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-4000:]
