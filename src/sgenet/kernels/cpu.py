"""SGE on the CPU: native loops, compiled by numba when they are first needed.

A unit of work is walked through several times: one group of one sample where the map is contiguous, a strip of
neighbouring groups where it is channels_last. A group mostly stays in a core's cache, so that the map comes from memory
once (forward: 1 read and 1 write; backward: 2 reads and 1 write); strips are wide, for long rows, and may not. Every
sum belongs to one unit: results do not depend on the number of threads. The equations stand in `sgenet.kernels`.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import cfunc, types
from torch import Tensor

from sgenet.kernels import _cpu_loops as loops

_ROW = 1 << 12  # bytes of neighbouring channels that a strip is wide: less comes slowly from memory
_SHORT = 1 << 10  # bytes of a short row: strips get no narrower, and rows of fewer channels hold several positions
_UNITS = 4  # strips are narrower than _ROW where there are so few samples that threads would have nothing to do
_FORWARD = {torch.float32: loops.forward32, torch.float64: loops.forward64}
_BACKWARD = {torch.float32: loops.backward32, torch.float64: loops.backward64}


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As the operator in `sgenet.kernels`; `x` is dense in its memory format, the others of the type of sums."""
    n, channels = x.shape[:2]
    wide, memory_format = _ready(x, groups, weight.dtype)
    y = torch.empty_like(wide)
    mean_vector, statistics = wide.new_empty(n, channels), wide.new_empty(n, groups, 2)
    tensors = {
        loops.X: wide,
        loops.WEIGHT: weight,
        loops.BIAS: bias,
        loops.MEAN_VECTOR: mean_vector,
        loops.STATISTICS: statistics,
        loops.Y: y,
    }
    _run(_FORWARD, wide, groups, normalize, eps, tensors)
    return y.to(x.dtype).contiguous(memory_format=memory_format), mean_vector, statistics


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the operator in `sgenet.kernels`; `grad` and `x` are dense in the same memory format."""
    wide, memory_format = _ready(x, groups, weight.dtype)
    wide_grad, _ = _ready(grad, groups, weight.dtype)
    grad_x = torch.empty_like(wide)
    grad_weight, grad_bias = wide.new_zeros(len(x), groups), wide.new_zeros(len(x), groups)
    tensors = {
        loops.X: wide,
        loops.WEIGHT: weight,
        loops.BIAS: bias,
        loops.MEAN_VECTOR: mean_vector,
        loops.STATISTICS: statistics,
    }
    tensors |= {loops.GRAD: wide_grad, loops.GRAD_X: grad_x, loops.GRAD_WEIGHT: grad_weight, loops.GRAD_BIAS: grad_bias}
    _run(_BACKWARD, wide, groups, normalize, eps, tensors)
    return grad_x.to(x.dtype).contiguous(memory_format=memory_format), grad_weight.sum(0), grad_bias.sum(0)


def load() -> None:
    """Compile the kernels of float32 ahead of their first use, or take them from disk; forks then have them."""
    for kernels in (_FORWARD, _BACKWARD):
        _compiled(kernels[torch.float32])


def _ready(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, torch.memory_format]:
    """The map in the sums' type, and contiguous where a strip's groups do not divide into quads of channels."""
    memory_format = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    if x.shape[1] // groups % 4:
        x = x.contiguous()
    return x.to(dtype), memory_format


def _run(
    kernels: Mapping[torch.dtype, Callable[[Any], None]],
    x: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
    tensors: dict[int, Tensor],
) -> None:
    """Run a kernel for all units of a map, on torch's number of threads."""
    n, channels, height, width = x.shape
    if x.numel() == 0:
        return
    size, positions, unit_groups, repeats = channels // groups, height * width, 1, 0  # 0: planes, not strips
    if not x.is_contiguous():
        unit_groups = _strip_groups(n, groups, size, x.itemsize)
        repeats = _repeats(positions, channels * x.itemsize) if unit_groups == groups else 1
    job = np.zeros(loops.FIELDS, np.int64)
    job[loops.UNITS : loops.EPS] = (
        n * -(-groups // unit_groups), channels, positions, groups, repeats, unit_groups, normalize,
    )  # fmt: skip
    job.view(np.float64)[loops.EPS] = eps
    job[loops.ITEMSIZE] = x.itemsize
    for field, tensor in tensors.items():
        job[field] = tensor.data_ptr()
    kernel, parallel, threads = _compiled(kernels[x.dtype]), _parallel(), torch.get_num_threads()
    if parallel is None or threads == 1:
        kernel.ctypes(job.ctypes.data)
    else:
        parallel(kernel.address, job.ctypes.data, threads, 0)


def _strip_groups(n: int, groups: int, size: int, itemsize: int) -> int:
    """Groups of a strip, of `size` channels each."""
    width = max(1, min(groups, _ROW // (size * itemsize)))
    while n * -(-groups // width) < _UNITS and width * size * itemsize > _SHORT and width > 1:
        width = -(-width // 2)
    return width


@functools.cache
def _repeats(positions: int, size: int) -> int:
    """Positions of `size` bytes that make up a row of a strip: loops over short rows are slow."""
    return max(count for count in range(1, max(1, _SHORT // size) + 1) if positions % count == 0)


@functools.cache
def _compiled(function: Callable[[Any], None]) -> Any:
    """Compile a function of one address for C to call; kept on disk beside the module or in the user's cache."""
    with contextlib.suppress(OSError, RuntimeError):  # no room, or no folder that may be written: compiled each time
        return cfunc(types.void(types.voidptr), cache=True)(function)
    return cfunc(types.void(types.voidptr))(function)


@functools.cache
def _parallel() -> Any:
    """libgomp's way to run a function on all threads, of the very library that torch brought; None elsewhere.

    Other threads than torch's would compete with them: those wait for work spinning.
    """
    library = Path(torch.__file__).parent / "lib/libtorch_cpu.so"
    try:
        parallel = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel
