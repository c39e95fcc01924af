"""A job of the loops on the CPU: an array of 64-bit numbers, the sizes of the work and the addresses of tensors.

`_run` in `cpu` passes its address. Each thread processes one chunk of units after another. A unit is one group of one
sample in a contiguous map, and a strip of groups of one sample in a channels_last map. The address of an absent tensor
is 0.
"""

import numpy as np
from llvmlite import ir
from numba import carray, int64, njit, types
from numba.extending import intrinsic

from sgenet.kernels._cpu_vectors import BYTES, size_of

FIELDS = 39
# All threads write the first field, which therefore has a cache line, and its neighbour, of its own.
NEXT = 0
(UNITS, CHUNK, CHANNELS, POSITIONS, GROUPS, STRIPS, NORMALIZE, RELU, EPS, X, WEIGHT, BIAS, IDENTITY, MEAN_VECTOR,
 STATISTICS, Y, GRAD, GRAD_X, GRAD_WEIGHT, GRAD_BIAS, GRAD_IDENTITY, STREAM) = range(17, FIELDS)  # fmt: skip
VECTORS = 4  # width of a strip


@intrinsic
def take(context, job):
    """Increment the first number of a job, atomically, and return its previous value: the number of the next chunk."""

    def generate(context, builder, signature, arguments):
        number = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw(
            "add", number, ir.Constant(ir.IntType(64), 1), "acq_rel"
        )  # orders what was written past the caches, too

    return int64(types.voidptr), generate


@njit
def epsilon(job, dtype):
    """The number that is added to the deviation."""
    return dtype(job.view(np.float64)[EPS])


@njit
def lanes(dtype):
    """Numbers in a vector."""
    return BYTES // size_of(dtype)


@njit
def buffer_size(job, dtype):
    """Bytes of a buffer of a number, or of a vector of quads in a strip, for each position, in whole vectors."""
    vectors = job[POSITIONS] if job[STRIPS] else (job[POSITIONS] + lanes(dtype) - 1) // lanes(dtype)
    return vectors * BYTES


@njit
def whole_vectors(bytes):
    """Memory, and its address, which is a multiple of a vector's size."""
    memory = np.empty(bytes + BYTES, np.uint8)
    return memory, (memory.ctypes.data + BYTES - 1) // BYTES * BYTES


@njit
def at(job, field, offset):
    """Address of a tensor's number that is `offset` bytes after its first; 0 if the tensor is absent."""
    return job[field] + offset if job[field] else 0


@njit
def read_job(address):
    """The job at an address."""
    return carray(address, FIELDS, np.int64)
