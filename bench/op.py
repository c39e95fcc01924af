"""The SGE operation: the reference, the fused form, torch.compile of the reference, and a copy of the same bytes.

The lower bound of the forward pass is one read and one write of the feature map, that of forward and backward is three
reads and two writes. A copy is one read and one write, so the bounds are the time of 1 and of 2.5 copies between
preallocated buffers.
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench.common import Row, Seconds, device_name, report_row, row, take_turns
from bench.output import write
from sgenet import kernels
from sgenet.training import devices

GROUPS = 64
TURNS = 5
SHORTEST = 0.02  # minimum seconds of a turn
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"cpu": (torch.float32,), "cuda": (torch.float32, torch.bfloat16)}
STAGES = {  # of ResNet50, (C, H, W): 224 px in classification, 800 x 1333 px in detection
    "stage 1": (256, 56, 56), "stage 2": (512, 28, 28), "stage 3": (1024, 14, 14), "stage 4": (2048, 7, 7),
}  # fmt: skip
DETECTION_STAGES = {
    "detection stage 1": (256, 200, 336), "detection stage 2": (512, 100, 168),
    "detection stage 3": (1024, 50, 84), "detection stage 4": (2048, 25, 42),
}  # fmt: skip
BATCHES = {"cpu": (8, 1), "cuda": (256, 2)}  # classification, detection
_MISSING = "not available: torch.compile needs a C++ compiler on the CPU, Triton on a GPU"
COPIES = {"forward": 1.0, "forward + backward": 2.5}  # copies with the traffic of the lower bound


def bench() -> None:
    """Measure on the GPU, or on the CPU if there is none, and write the results."""
    device = devices.acquire("auto")
    rows = []
    for stages, batch in zip((STAGES, DETECTION_STAGES), BATCHES[device], strict=True):
        for name, (channels, height, width) in stages.items():
            for dtype in DTYPES[device]:
                for layout in FORMATS:
                    rows += measure(name, (batch, channels, height, width), dtype, layout, device)
    packages = ["torch", "triton" if device == "cuda" else "numba"]
    title = "SGE operation: seconds, ratio to the reference, bandwidth as a share of a copy's"
    write("op", rows, title, device=device_name(device), packages=packages, columns=4)


def measure(name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str, device: str) -> list[Row]:
    """Compare the forms on one feature map (N, C, H, W): forward, and forward + backward."""
    torch.manual_seed(0)
    x = torch.randn(shape, device=device, dtype=dtype).to(memory_format=FORMATS[layout]).requires_grad_()
    weight, bias = (torch.randn(GROUPS, device=device, requires_grad=True) for _ in range(2))
    compiled = _compiled(x, weight, bias)
    forms: dict[str, Callable[..., Tensor]] = {"reference": kernels.reference, "fused": kernels.spatial_group_enhance}
    if compiled is not None:
        forms["compiled reference"] = compiled
    rows: list[Row] = []
    what = f"{name}, {'x'.join(map(str, shape))}, {str(dtype).removeprefix('torch.')}, {layout}"
    target = torch.empty_like(x)
    for kind, copies in COPIES.items():
        variants = {form: _runs(function, x, weight, bias)[kind] for form, function in forms.items()}
        variants["copy"] = partial(_copy, target, x)
        seconds = take_turns(variants, TURNS, device=device, shortest=SHORTEST)
        seconds["copy"] = [copies * value for value in seconds["copy"]]
        rows += _rows(f"{what}, {kind}", seconds, 2 * copies * x.numel() * x.element_size())
        if compiled is None:
            rows.append(report_row(Row(f"{what}, {kind}", "compiled reference", note=_MISSING)))
    return rows


def _compiled(x: Tensor, weight: Tensor, bias: Tensor) -> Callable[..., Tensor] | None:
    """The reference compiled for these inputs; None if torch.compile does not work here."""
    torch.compiler.reset()
    compiled: Callable[..., Tensor] = torch.compile(kernels.reference, dynamic=False)
    try:
        for run in _runs(compiled, x, weight, bias).values():
            run()
    except Exception as error:
        if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise
        return None
    return compiled


def _runs(function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor) -> dict[str, Callable[[], object]]:
    """Functions that run the forward pass, and forward and backward, of a form; the incoming gradient is dense."""
    gradient = torch.randn_like(x)

    @torch.no_grad()
    def forward() -> object:
        return function(x, weight, bias, GROUPS)

    def both() -> object:
        return torch.autograd.grad(function(x, weight, bias, GROUPS), (x, weight, bias), gradient)

    return dict(zip(COPIES, (forward, both), strict=True))


@torch.no_grad()
def _copy(target: Tensor, source: Tensor) -> Any:
    return target.copy_(source)


def _rows(what: str, seconds: Seconds, traffic: float) -> list[Row]:
    """The rows of one comparison; `traffic` is the traffic of the lower bound in bytes."""
    found = []
    for form, own in seconds.items():
        rates = [copy / value for copy, value in zip(seconds["copy"], own, strict=True)]
        share, rate = median(rates), traffic / median(own) / 1e9
        values = {"gb_per_second": rate, "share_of_copy": share}
        found.append(row(what, form, seconds, values, f"{rate:.1f} GB/s, {share:.0%} of copy"))
    return found
