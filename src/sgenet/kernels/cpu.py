"""SGE on the CPU: native loops, compiled by numba at their first use.

A contiguous map is computed in planes, and a channels_last map in strips (`_cpu_planes`, `_cpu_strips`). The map is
read from memory once or twice and written once, together with the shortcut and the ReLU that follow. Each sum is
computed within one unit, so results do not depend on the number of threads. The equations are in `sgenet.kernels`.
"""

import contextlib
import ctypes
import functools
import logging
import math
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import cfunc, types
from numba.core import event
from torch import Tensor

from sgenet.kernels import _cpu_job as fields
from sgenet.kernels._cpu_loops import create_loops

_CHUNKS, _CHUNK = 8, 32  # chunks for each thread, so that all end at about the same time; units of the largest
_STREAMED = 8 << 20  # bytes of a map that is too large to stay in a cache until it is read again
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward pass of the operator in `sgenet.kernels`.

    Args:
        x: (N, C, H, W), dense in its memory format.
        weight: (groups), contiguous, in `sum_type(x)`.
        bias: like `weight`.
        identity: like `x`, or None.
        groups: a divisor of C.
        normalize: whether the similarity is normalised.
        eps: added to its deviation.
        relu: whether a ReLU follows.

    Returns:
        y, like `x`; mean vectors (N, C); and (N, groups, 2), mean of the similarity minus the mean vector's square, and
        deviation of the similarity; these in `sum_type(x)`.
    """
    wide, memory_format = _ready(x, groups, weight.dtype)
    y = torch.empty_like(wide)
    mean_vector, statistics = wide.new_empty(x.shape[:2]), wide.new_empty(len(x), groups, 2)
    tensors = {fields.X: wide, fields.WEIGHT: weight, fields.BIAS: bias, fields.Y: y}
    tensors |= {fields.MEAN_VECTOR: mean_vector, fields.STATISTICS: statistics}
    if identity is not None:
        tensors[fields.IDENTITY] = _ready(identity, groups, weight.dtype)[0]
    _run("forward", wide, groups, normalize, eps, relu, tensors)
    return _like(y, x, memory_format), mean_vector, statistics


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    y: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Backward pass of the operator in `sgenet.kernels`.

    Args:
        grad: gradient of y, like `x`.
        x: see `forward`, as the following.
        weight: see `forward`.
        bias: see `forward`.
        mean_vector: result of `forward`.
        statistics: result of `forward`.
        y: result of `forward` if a ReLU followed, otherwise None.
        groups: see `forward`.
        normalize: see `forward`.
        eps: see `forward`.
        identity: whether to return the gradient of the shortcut, which without a ReLU is `grad`.

    Returns:
        the gradients of x, like `x`; of weight and of bias for each sample, (N, groups), in `sum_type(x)`; and of the
        shortcut, if asked for and a ReLU followed.
    """
    wide, memory_format = _ready(x, groups, weight.dtype)
    grad_x = torch.empty_like(wide)
    grad_weight, grad_bias = wide.new_empty(len(x), groups), wide.new_empty(len(x), groups)
    tensors = {fields.X: wide, fields.WEIGHT: weight, fields.BIAS: bias, fields.MEAN_VECTOR: mean_vector}
    tensors |= {fields.STATISTICS: statistics, fields.GRAD: _ready(grad, groups, weight.dtype)[0]}
    tensors |= {fields.GRAD_X: grad_x, fields.GRAD_WEIGHT: grad_weight, fields.GRAD_BIAS: grad_bias}
    if y is not None:
        tensors[fields.Y], tensors[fields.GRAD_IDENTITY] = _ready(y, groups, weight.dtype)[0], torch.empty_like(wide)
    _run("backward", wide, groups, normalize, eps, False, tensors)
    masked = tensors.get(fields.GRAD_IDENTITY) if identity else None
    grad_identity = masked if masked is None else _like(masked, x, memory_format)
    return _like(grad_x, x, memory_format), grad_weight, grad_bias, grad_identity


def load() -> None:
    """Compile the float32 loops before their first use, or load them from disk; forked processes then share them."""
    for name in ("forward", "backward"):
        _compiled(torch.float32, name)


def _ready(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, torch.memory_format]:
    """The map in `sum_type`, and contiguous unless it can be computed in strips; the memory format that it had."""
    if x.is_contiguous():
        return x.to(dtype), torch.contiguous_format
    wide = x.to(dtype)
    return wide if _strips(wide, groups) else wide.contiguous(), torch.channels_last


def _like(wide: Tensor, x: Tensor, memory_format: torch.memory_format) -> Tensor:
    return wide.to(x.dtype).contiguous(memory_format=memory_format)


def _strips(x: Tensor, groups: int) -> int:
    """Number of strips of a sample of a channels_last map; 0 if the map does not fall into strips of whole groups."""
    _, channels, *positions = x.shape
    width, size = fields.VECTORS * 64 // x.itemsize, channels // groups
    if 2 * channels == width and math.prod(positions) % 2 == 0:
        channels = width  # a strip is two positions wide
    return channels // width if channels % width == 0 and 4 <= size <= width and size & (size - 1) == 0 else 0


def _run(
    name: str, x: Tensor, groups: int, normalize: bool, eps: float, relu: bool, tensors: dict[int, Tensor]
) -> None:
    """Run the loops of the forward or backward pass for all units of a map, on torch's number of threads."""
    n, channels, height, width = x.shape
    if x.numel() == 0:
        for field in (fields.MEAN_VECTOR, fields.STATISTICS, fields.GRAD_WEIGHT, fields.GRAD_BIAS):
            if field in tensors:
                tensors[field].zero_()
        return
    strips = 0 if x.is_contiguous() else _strips(x, groups)
    job = array("q", bytes(8 * fields.FIELDS))
    threads, units = torch.get_num_threads(), n * (strips or groups)
    chunk = min(_CHUNK, max(1, units // (_CHUNKS * threads)))
    job[fields.UNITS : fields.EPS] = array(
        "q", (units, chunk, channels, height * width, groups, strips, normalize, relu)
    )
    job[fields.EPS], job[fields.STREAM] = _bits(eps), x.nbytes >= _STREAMED
    for field, tensor in tensors.items():
        job[field] = tensor.data_ptr()
    address, _ = job.buffer_info()
    kernel, parallel = _compiled(x.dtype, name), _parallel()
    if parallel is None or threads == 1:
        kernel.ctypes(address)
    else:
        parallel(kernel.address, address, threads, 0)
    if job[fields.NEXT] * chunk < units:  # no thread had a buffer; numba prints the exception, and goes on
        raise MemoryError("SGE: no memory is left for the buffers of the threads")


@functools.cache
def _bits(number: float) -> int:
    """The bits of a float64 as a whole number."""
    return array("q", array("d", [number]).tobytes())[0]


@functools.cache
def _compiled(dtype: torch.dtype, name: str) -> Any:
    """The loops as a C function of a job's address, cached on disk next to the module or in the user's cache."""
    with event.install_listener("numba:compile", _Announcer(dtype)):
        return _compile(create_loops(_NUMPY[dtype])[name])


class _Announcer(event.Listener):
    """Logs that the loops of a type are being compiled. numba sends no event where it loads them from disk."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def on_start(self, event: Any) -> None:
        """Log at the first event."""
        _announce(self._dtype)

    def on_end(self, event: Any) -> None:
        """Ignore the end."""


@functools.cache
def _announce(dtype: torch.dtype) -> None:
    text = "compiling SGE for this processor (%s), once on a machine, takes up to half a minute"
    logging.getLogger("sgenet").warning(text, str(dtype).removeprefix("torch."))


def _compile(function: Callable[[Any], None]) -> Any:
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
