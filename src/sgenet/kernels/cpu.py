"""SGE on the CPU: native loops, compiled by numba at their first use.

A unit of work is processed in several passes. It is one group of one sample if the map is contiguous, and a strip of
neighbouring groups if it is channels_last. A group usually fits in a core's cache, so that the map is read from memory
once (forward: 1 read and 1 write; backward: 2 reads and 1 write). Strips are wider, to have long rows, and may not fit.
Each sum is computed within one unit, so results do not depend on the number of threads. The equations are in
`sgenet.kernels`.
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

_ROW = 1 << 12  # width of a strip in bytes of neighbouring channels: narrower ones read memory slowly
_SHORT = 1 << 10  # bytes of a short row: lower limit of strips; shorter rows combine several positions
_UNITS = 4  # narrower strips than _ROW are used if there would be fewer units, to occupy the threads
_FORWARD = {torch.float32: loops.forward32, torch.float64: loops.forward64}
_BACKWARD = {torch.float32: loops.backward32, torch.float64: loops.backward64}


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward pass of the operator in `sgenet.kernels`; `x` is dense in its memory format, the rest in `sum_type`."""
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
    """Backward pass of the operator in `sgenet.kernels`; `grad` and `x` are dense in the same memory format."""
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
    """Compile the float32 kernels before their first use, or load them from disk; forked processes then share them."""
    for kernels in (_FORWARD, _BACKWARD):
        _compiled(kernels[torch.float32])


def _ready(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, torch.memory_format]:
    """The map in `sum_type`, and contiguous if the channels of a group are not a multiple of four."""
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
    """Number of groups of a strip; `size` is the number of channels of a group."""
    width = max(1, min(groups, _ROW // (size * itemsize)))
    while n * -(-groups // width) < _UNITS and width * size * itemsize > _SHORT and width > 1:
        width = -(-width // 2)
    return width


@functools.cache
def _repeats(positions: int, size: int) -> int:
    """Number of positions, of `size` bytes each, in a row of a strip: loops over short rows are slow."""
    return max(count for count in range(1, max(1, _SHORT // size) + 1) if positions % count == 0)


@functools.cache
def _compiled(function: Callable[[Any], None]) -> Any:
    """Compile a function of one address to a C function, cached on disk next to the module or in the user's cache."""
    with contextlib.suppress(OSError, RuntimeError):  # full disk, or no writable folder: compile without the cache
        return cfunc(types.void(types.voidptr), cache=True)(function)
    return cfunc(types.void(types.voidptr))(function)


@functools.cache
def _parallel() -> Any:
    """libgomp's function to run code on all threads, from the library that torch loads; None if there is none.

    Separate threads would compete with torch's, which spin while waiting for work.
    """
    library = Path(torch.__file__).parent / "lib/libtorch_cpu.so"
    try:
        parallel = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel
