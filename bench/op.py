"""The SGE operation: the reference, the fused form, torch.compile of the reference, and a copy of the same bytes.

It is measured alone, and with the shortcut's addition and the ReLU that follow in a residual block, whose time without
SGE is a row of its own. The lower bounds are moves of the feature map: alone 2 forward, and 5 with the backward pass;
in the block 3, and 8. A copy between preallocated buffers has 2.
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
Form = Callable[..., Tensor]
_MISSING = "not available: torch.compile needs a C++ compiler on the CPU, Triton on a GPU"
KINDS = ("forward", "forward + backward")
COPIES = {"SGE": (1.0, 2.5), "SGE, addition, ReLU": (1.5, 4.0)}  # copies with the traffic of the lower bound, by kind


def bench() -> None:
    """Measure on the GPU, or on the CPU if there is none, and write the results."""
    device = devices.acquire("auto")
    packages = ["torch", "triton" if device == "cuda" else "numba"]
    title = "SGE operation: seconds, ratio to the reference, bandwidth as a share of a copy's"
    write_rows = partial(write, "op", title=title, device=device_name(device), packages=packages, columns=4)
    rows = []
    for stages, batch in zip((STAGES, DETECTION_STAGES), BATCHES[device], strict=True):
        for name, (channels, height, width) in stages.items():
            for dtype in DTYPES[device]:
                for layout in FORMATS:
                    for what in COPIES:
                        rows += measure(what, name, (batch, channels, height, width), dtype, layout, device)
                        write_rows(rows, finished=False)  # what is measured stays if this is interrupted
    write_rows(rows)


def measure(
    what: str, name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str, device: str
) -> list[Row]:
    """Compare the forms of `what`, a key of COPIES, on one map (N, C, H, W): forward, and forward + backward."""
    torch.manual_seed(0)
    in_block = what != "SGE"
    x, identity = (
        torch.randn(shape, device=device, dtype=dtype).to(memory_format=FORMATS[layout]).requires_grad_()
        for _ in range(2)
    )
    weight, bias = (torch.randn(GROUPS, device=device, requires_grad=True) for _ in range(2))
    inputs = (x, weight, bias, identity) if in_block else (x, weight, bias)
    forms: dict[str, Form] = {"reference": _reference_of_block if in_block else _reference}
    forms["fused"] = _fused_of_block if in_block else _fused
    compiled = _compiled(forms["reference"], inputs)
    if compiled is not None:
        forms["compiled reference"] = compiled
    if in_block:
        forms["without SGE"] = _plain
    rows: list[Row] = []
    title = f"{what}, {name}, {'x'.join(map(str, shape))}, {str(dtype).removeprefix('torch.')}, {layout}"
    target = torch.empty_like(x)
    for number, (kind, copies) in enumerate(zip(KINDS, COPIES[what], strict=True)):
        variants = {form: _runs(function, inputs)[number] for form, function in forms.items()}
        variants["copy"] = partial(_copy, target, x)
        busy: Seconds = {}
        seconds = take_turns(variants, TURNS, device=device, shortest=SHORTEST, processor=busy)
        for times in (seconds, busy):
            times["copy"] = [copies * value for value in times["copy"]]
        rows += _rows(f"{title}, {kind}", seconds, busy, 2 * copies * x.numel() * x.element_size())
        if compiled is None:
            rows.append(report_row(Row(f"{title}, {kind}", "compiled reference", note=_MISSING)))
    return rows


def _reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return kernels.reference(x, weight, bias, GROUPS)


def _reference_of_block(x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor) -> Tensor:
    return kernels.reference(x, weight, bias, GROUPS, identity=identity, relu=True)


def _fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return kernels.spatial_group_enhance(x, weight, bias, GROUPS)


def _fused_of_block(x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor) -> Tensor:
    return kernels.spatial_group_enhance_add_relu(x, weight, bias, identity, GROUPS)


def _plain(x: Tensor, weight: Tensor, bias: Tensor, identity: Tensor) -> Tensor:
    return torch.relu_(x + identity)


def _compiled(function: Form, inputs: tuple[Tensor, ...]) -> Form | None:
    """A form compiled for these inputs; None if torch.compile does not work here."""
    torch.compiler.reset()
    compiled: Form = torch.compile(function, dynamic=False)
    try:
        for run in _runs(compiled, inputs):
            run()
    except Exception as error:
        if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise
        return None
    return compiled


def _runs(function: Form, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], object], Callable[[], object]]:
    """Functions that run the forward pass, and forward and backward, of a form; the incoming gradient is dense."""
    gradient = torch.randn_like(inputs[0])

    @torch.no_grad()
    def forward() -> object:
        return function(*inputs)

    def both() -> object:
        return torch.autograd.grad(function(*inputs), inputs, gradient, allow_unused=True)

    return forward, both


@torch.no_grad()
def _copy(target: Tensor, source: Tensor) -> Any:
    return target.copy_(source)


def _rows(what: str, seconds: Seconds, processor: Seconds, traffic: float) -> list[Row]:
    """The rows of one comparison; `traffic` is the traffic of the lower bound in bytes."""
    found = []
    for form, own in seconds.items():
        rates = [copy / value for copy, value in zip(seconds["copy"], own, strict=True)]
        share, rate = median(rates), traffic / median(own) / 1e9
        values = {"gb_per_second": rate, "share_of_copy": share}
        found.append(row(what, form, seconds, values, f"{rate:.1f} GB/s, {share:.0%} of copy", processor))
    return found
