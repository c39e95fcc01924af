"""What compiled kernels need beside plain Python: addresses, a counter for all threads, a sigmoid, torch's threads."""

import contextlib
import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import cfunc, int64, types
from numba.extending import intrinsic, overload

# Sums may be reordered, so that they become vector instructions; NaN and infinity keep their meaning.
FAST = {"reassoc", "nsz", "contract", "arcp", "afn"}


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """A number as the address that it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(int64), generate


@intrinsic
def take(context: Any, job: Any) -> Any:
    """Count the first number at an address up by one, against all other threads; returns what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", number, ir.Constant(ir.IntType(64), 1), "monotonic")

    return int64(types.voidptr), generate


@intrinsic
def _float_of_bits(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def sigmoid(value: Any) -> Any:
    """1 / (1 + exp(-value)); in compiled code alone. In float32 within 2e-7 of it, relatively, for |value| < 87."""
    raise NotImplementedError


@overload(sigmoid, jit_options={"fastmath": FAST}, inline="always")
def _(value: Any) -> Callable[[Any], Any]:
    return _sigmoid32 if value == types.float32 else _sigmoid64


def _sigmoid64(value: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-value))


def _sigmoid32(value: Any) -> Any:
    """Plain arithmetic, so that a loop over it becomes vector instructions.

    exp(e) = 2^n exp(f) with |f| <= ln(2) / 2, where the Taylor polynomial of degree 7 is exact to 6e-9.
    """
    e = -value
    e = np.float32(-87.0) if e < np.float32(-87.0) else e  # so written, NaN stays NaN
    e = np.float32(87.0) if e > np.float32(87.0) else e
    n = np.floor(e * np.float32(1.4426950408889634) + np.float32(0.5))
    f = e - n * np.float32(0.693359375)  # ln 2 in two parts, the first short, so that its product with n is exact
    f = f + n * np.float32(2.12194440054690583e-4)
    p = np.float32(1 / 5040)
    p = p * f + np.float32(1 / 720)
    p = p * f + np.float32(1 / 120)
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(0.5)
    p = p * f + np.float32(1.0)
    p = p * f + np.float32(1.0)
    return np.float32(1.0) / (np.float32(1.0) + p * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23)))


@functools.cache
def compiled(function: Callable[[Any], None]) -> Any:
    """Compile a function of one address for C to call; kept on disk beside the module, or in the user's cache folder."""
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


def run(function: Callable[[Any], None], job: "np.ndarray[Any, Any]", threads: int) -> None:
    """Run a compiled function with the address of `job`, on so many threads at once where torch's can be had."""
    kernel = compiled(function)
    parallel = _parallel()
    if parallel is None or threads == 1:
        kernel.ctypes(job.ctypes.data)
    else:
        parallel(kernel.address, job.ctypes.data, threads, 0)
