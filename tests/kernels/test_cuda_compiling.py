"""The Triton kernels are compiled for GPUs, of which this machine needs none; nothing may spill from registers."""

import os

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sgenet.kernels import _cuda_looped, _cuda_on_chip, cuda

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}
DIVISIBLE = [["tt.divisibility", 16]]
STAGES = [(1, 256, 56, 56), (1, 512, 28, 28), (1, 1024, 14, 14), (1, 2048, 7, 7)]  # ResNet50's at 224 px
TAILS = {"plain": (False, False), "identity": (True, False), "relu": (False, True), "identity and relu": (True, True)}
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="runs outside the interpreter")


def compiled(kernel, arguments, constants, architecture):
    """Compile what a launch with these arguments would, for a GPU of sm_`architecture`."""
    constants = dict(constants)
    options = {"num_warps": constants.pop("num_warps")}
    signature, attributes = {}, {}
    for i, (parameter, value) in enumerate(zip(kernel.params, arguments, strict=False)):
        if isinstance(value, torch.Tensor):
            signature[parameter.name], attributes[(i,)] = POINTERS[value.dtype], DIVISIBLE
        elif value is None:
            constants[parameter.name] = None
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


def launches(monkeypatch, shape, dtype, last, processors, tail):
    """Kernel, arguments and constants of each launch of a forward and a backward pass."""
    identity, relu = TAILS[tail]
    found = []
    x = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last if last else torch.contiguous_format)
    with monkeypatch.context() as patch:
        for module, form in ((_cuda_on_chip, "on_chip"), (_cuda_looped, "looped")):
            for name in (f"forward_{form}", f"backward_{form}"):
                patch.setattr(module, name, Recorder(getattr(module, name), found))
        patch.setattr(cuda, "_processors", lambda x: processors)
        weight = bias = torch.empty(64)
        y, *kept = cuda.forward(x, weight, bias, x if identity else None, 64, True, 1e-5, relu)
        cuda.backward(x, x, weight, bias, *kept, y if relu else None, 64, True, 1e-5, identity and relu)
    return found


def check_compiling(monkeypatch, capfd, tmp_path, found, architecture):
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))
    monkeypatch.setattr(triton.knobs.nvidia, "dump_ptxas_log", True)
    for launch in found:
        compiled(*launch, architecture)
        log = capfd.readouterr().out
        assert log.count("spill") == 2 and " 0 bytes spill stores, 0 bytes spill loads" in log, log


@pytest.mark.parametrize(
    ("kernels", "last", "processors"),
    [
        (["forward_on_chip", "backward_on_chip"], False, 132),
        (["forward_looped", "backward_looped"], True, 1),
        (["forward_looped"] * 3 + ["backward_looped"] * 2, True, 132),
    ],
    ids=["on chip", "looped", "split"],
)
@pytest.mark.parametrize("tail", ["plain", "identity and relu"])
def test_compiling_without_a_gpu(monkeypatch, capfd, tmp_path, tail, kernels, last, processors):
    """Every kernel, for ResNet50's first stage in bf16 on sm_90; nothing spills from registers."""
    found = launches(monkeypatch, (1, 256, 56, 56), torch.bfloat16, last, processors, tail)
    assert [kernel.__name__ for kernel, *_ in found] == kernels
    check_compiling(monkeypatch, capfd, tmp_path, found, 90)


@pytest.mark.soak
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("shape", "processors"), [*((shape, 1) for shape in STAGES), (STAGES[0], 132)])
def test_compiling_for_each_stage(
    monkeypatch, capfd, tmp_path, shape, processors, tail, last, dtype, architecture
):  # fmt: skip
    """Also in fp32 and for sm_80, and with each part of the tail alone."""
    found = launches(monkeypatch, shape, dtype, last, processors, tail)
    check_compiling(monkeypatch, capfd, tmp_path, found, architecture)
