"""The Triton kernels against SGE written out in torch, in float64: in Triton's interpreter, and compiled on a GPU.

The interpreter has to be chosen before Triton is imported, so `test_in_the_interpreter` runs this file again in a
process of its own, where the kernels take tensors of the CPU. Without a GPU, compiling is tested all the same.
"""

import os
import subprocess
import sys

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import interpreter

from sgenet.kernels import _cuda_looped, _cuda_on_chip, cuda

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
EPS = 1e-5

# The interpreter computes what is masked, too: of rows and positions outside the map, and over a deviation of 0.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
runs_here = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="needs a CUDA device")
needs_gpu = pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a CUDA device")
once = pytest.mark.skipif(INTERPRETED, reason="runs outside the interpreter")


@pytest.fixture(autouse=True)
def bounds_of_loops(monkeypatch):
    """Triton 3.6's interpreter makes an int of an array of one element, which NumPy 2.4 refuses."""
    patch_tensor = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)


def plain(x, weight, bias, groups, normalize):
    """Section 3 of the paper in torch operators: unbiased deviation, epsilon added to it; z = 0 over one position."""
    planes = x.unflatten(1, (groups, -1)).flatten(3)
    likeness = (planes * planes.mean(3, keepdim=True)).sum(2)
    if normalize and likeness.shape[2] == 1:
        likeness = likeness * 0
    elif normalize:
        deviation = likeness.std(2, keepdim=True)  # of a constant map it is 0, where its root has no gradient
        deviation = deviation if deviation.all() else deviation.detach()
        likeness = (likeness - likeness.mean(2, keepdim=True)) / (deviation + EPS)
    gate = torch.sigmoid(weight[:, None] * likeness + bias[:, None])
    return (planes * gate[:, :, None]).reshape(x.shape)


def sample_of(shape, groups, dtype, last, device=DEVICE):
    """Features after a ReLU with a little noise, which have a mean and deviate from it; a gradient; gamma and beta."""
    generator = torch.Generator().manual_seed(0)
    x, noise, grad = torch.randn(3, *shape, generator=generator).unbind()
    x, grad = (x.relu() + 0.1 * noise).to(device, dtype), grad.to(device, dtype)
    real = torch.promote_types(dtype, torch.float32)
    weight, bias = torch.randn(2, groups, generator=generator).to(device, real).unbind()
    if last:
        x, grad = (tensor.to(memory_format=torch.channels_last) for tensor in (x, grad))
    return x, grad, weight, bias


def results(x, grad, weight, bias, groups, normalize=True):
    y, mean_vector, statistics = cuda.forward(x, weight, bias, groups, normalize, EPS)
    grads = cuda.backward(grad, x, weight, bias, mean_vector, statistics, groups, normalize, EPS)
    return y, *grads


def expected(x, grad, weight, bias, groups, normalize=True):
    leaves = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    y = plain(*leaves, groups, normalize)
    gradients = torch.autograd.grad(y, leaves, grad.double(), materialize_grads=True)
    return y.detach(), *gradients


TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # y, grad_x


def check(x, grad, weight, bias, groups, normalize=True):
    """Within the tolerance of the largest value; the parameters' gradients are never rounded below fp32."""
    all_found = results(x, grad, weight, bias, groups, normalize)
    wanted = expected(x, grad, weight, bias, groups, normalize)
    for i, (found, right) in enumerate(zip(all_found, wanted, strict=True)):
        tolerance = TOLERANCE[x.dtype if i < 2 else weight.dtype]
        assert found.dtype == (x.dtype if i < 2 else weight.dtype) and found.shape == right.shape
        assert (found.double() - right).abs().max() <= tolerance * right.abs().max(), ("y", "x", "weight", "bias")[i]
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
@pytest.mark.parametrize(("shape", "groups"), [((1, 16, 8, 10), 2), ((1, 15, 13, 3), 5)])
def test_forms(shape, groups, last, form):
    """Sizes that are powers of two and that are not, of channels in a group, groups and positions."""
    x, *rest = sample_of(shape, groups, torch.float32, last)
    assert planned(x, groups) == form
    y = check(x, *rest, groups)[0]
    assert y.stride() == x.stride()


@runs_here
@pytest.mark.parametrize(
    ("form", "dtype"),
    [("on chip", torch.bfloat16), ("on chip", torch.float16), ("looped", torch.float64), ("split", torch.bfloat16)],
    indirect=["form"],
)
def test_types(dtype, form):
    check(*sample_of((1, 12, 5, 9), 2, dtype, last=True), 2)


@runs_here
def test_without_normalization(form):
    check(*sample_of((1, 12, 9, 10), 3, torch.float32, last=False), 3, normalize=False)


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
    grad_weight = check(*sample_of(shape, groups, torch.float32, last=False), groups)[2]
    assert shape[2:] != (1, 1) or not grad_weight.any()


@runs_here
def test_constant_maps(form):
    """Their deviation is 0, and nothing flows back through it; values whose sums are rounded deviate no more."""
    x, grad, weight, bias = sample_of((2, 8, 4, 5), 2, torch.float32, last=False)
    check(x.fill_(0.5), grad, weight, bias, 2)
    x = torch.linspace(0.1, 30, 8, device=DEVICE)[:, None, None].expand(1, 8, 29, 31).contiguous()
    y, *_ = cuda.forward(x, weight, bias, 2, True, EPS)
    torch.testing.assert_close(y, x * torch.sigmoid(bias).repeat_interleave(4)[:, None, None])


@runs_here
def test_a_large_mean_costs_no_digits(form):
    """sum(s^2) - mean^2 would lose them: here the mean of the likeness is 200 times its deviation."""
    x, *rest = sample_of((1, 8, 9, 9), 2, torch.float32, last=False)
    x = 10 + 0.05 * x
    y, wanted = cuda.forward(x, *rest[1:], 2, True, EPS)[0], expected(x, *rest, 2)[0]
    assert (y.double() - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@runs_here
@pytest.mark.parametrize("shape", [(0, 8, 3, 3), (2, 8, 0, 3)])
def test_nothing_comes_of_nothing(shape):
    x, grad, weight, bias = sample_of(shape, 2, torch.float32, last=False)
    y, grad_x, grad_weight, grad_bias = results(x, grad, weight, bias, 2)
    assert y.shape == grad_x.shape == shape and not grad_weight.any() and not grad_bias.any()


STAGES = [(8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (8, 2048, 7, 7)]  # ResNet50's at 224 px
DETECTION = [(2, 256, 200, 336), (2, 512, 100, 168), (2, 512, 25, 21)]


@needs_gpu
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [*STAGES, *DETECTION, (2, 192, 25, 21)])
def test_real_shapes(shape, dtype, last):
    """On the device, and the same bits twice."""
    sample = sample_of(shape, 64, dtype, last)
    found = check(*sample, 64)
    assert all(torch.equal(*pair) for pair in zip(found, results(*sample, 64), strict=True))


@needs_gpu
def test_more_than_two_billion_numbers():
    """Offsets of 64 bits: the last sample comes out as it does alone. 13 GB."""
    x = torch.randn(1, 64, 56, 56, device="cuda", dtype=torch.float16).expand(10800, -1, -1, -1).contiguous()
    weight = bias = torch.ones(16, device="cuda")
    y, *saved = cuda.forward(x, weight, bias, 16, True, EPS)
    grad_x, *_ = cuda.backward(x, x, weight, bias, *saved, 16, True, EPS)
    alone = results(x[-1:], x[-1:], weight, bias, 16)
    assert x.numel() > 2**31 and torch.equal(y[-1:], alone[0]) and torch.equal(grad_x[-1:], alone[1])


POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}
DIVISIBLE = [["tt.divisibility", 16]]


def compiled(kernel, arguments, constants, architecture):
    """Compile what a launch with these arguments would, for a GPU of sm_`architecture`."""
    constants = dict(constants)
    options = {"num_warps": constants.pop("num_warps")}
    signature, attributes = {}, {}
    for i, (parameter, value) in enumerate(zip(kernel.params, arguments, strict=False)):
        if isinstance(value, torch.Tensor):
            signature[parameter.name], attributes[(i,)] = POINTERS[value.dtype], DIVISIBLE
        else:
            signature[parameter.name] = "i32"
            if value % 16 == 0 and not parameter.do_not_specialize:
                attributes[(i,)] = DIVISIBLE
    source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


class Recorder:
    """In a kernel's place: keeps what it would be launched with."""

    def __init__(self, kernel, launches):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        return lambda *arguments, **constants: self.launches.append((self.kernel, arguments, constants))


def launches(monkeypatch, shape, dtype, last, processors):
    """Kernel, arguments and constants of each launch of a forward and a backward pass."""
    found = []
    x = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last if last else torch.contiguous_format)
    with monkeypatch.context() as patch:
        for module, form in ((_cuda_on_chip, "on_chip"), (_cuda_looped, "looped")):
            for name in (f"forward_{form}", f"backward_{form}"):
                patch.setattr(module, name, Recorder(getattr(module, name), found))
        patch.setattr(cuda, "_processors", lambda x: processors)
        results(x, x, torch.empty(64), torch.empty(64), 64)
    return found


def check_compiling(monkeypatch, capfd, tmp_path, found, architecture):
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))
    monkeypatch.setattr(triton.knobs.nvidia, "dump_ptxas_log", True)
    for launch in found:
        compiled(*launch, architecture)
        log = capfd.readouterr().out
        assert log.count("spill") == 2 and " 0 bytes spill stores, 0 bytes spill loads" in log, log


@once
@pytest.mark.parametrize(
    ("kernels", "last", "processors"),
    [
        (["forward_on_chip", "backward_on_chip"], False, 132),
        (["forward_looped", "backward_looped"], True, 1),
        (["forward_looped"] * 3 + ["backward_looped"] * 2, True, 132),
    ],
    ids=["on chip", "looped", "split"],
)
def test_compiling_without_a_gpu(monkeypatch, capfd, tmp_path, kernels, last, processors):
    """Every kernel, for ResNet50's first stage in bf16 on sm_90; nothing spills from registers."""
    found = launches(monkeypatch, (1, 256, 56, 56), torch.bfloat16, last, processors)
    assert [kernel.__name__ for kernel, *_ in found] == kernels
    check_compiling(monkeypatch, capfd, tmp_path, found, 90)


@once
@pytest.mark.soak
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", STAGES)
def test_compiling_for_each_stage(monkeypatch, capfd, tmp_path, shape, last, dtype, architecture):
    found = launches(monkeypatch, (1, *shape[1:]), dtype, last, 1)
    check_compiling(monkeypatch, capfd, tmp_path, found, architecture)


@once
def test_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-4000:]
