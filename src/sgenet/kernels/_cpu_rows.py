"""Rows of strips in code that numba compiles: see `_cpu_strips`."""

from numba import njit

from sgenet.kernels import _cpu_job as fields
from sgenet.kernels._cpu_functions import swapped
from sgenet.kernels._cpu_job import lanes
from sgenet.kernels._cpu_vectors import BYTES, load, prefetch, read, size_of, store, stream, write


@njit
def over_group(quads, size, dtype):
    """Sum over the quads of each group of `size` channels, in each of its quads."""
    if lanes(dtype) == 16:  # of one vector's quads, then of the vectors
        if size >= 8:
            quads = quads + swapped(quads, 4)
        if size >= 16:
            quads = quads + swapped(quads, 8)
        if size >= 32:
            quads = quads + swapped(quads, 1)
        if size >= 64:
            quads = quads + swapped(quads, 2)
    else:
        if size >= 8:
            quads = quads + swapped(quads, 4)
        if size >= 16:
            quads = quads + swapped(quads, 1)
        if size >= 32:
            quads = quads + swapped(quads, 2)
    return quads


@njit
def over_halves(quads, twice):
    """Sum over both halves of the vectors, if a row has two positions."""
    return quads + swapped(quads, 2) if twice else quads


@njit
def by_quad(values, channels, size, stride, room, dtype):
    """Vector of the values of each quad's group; a value for each group, `stride` bytes apart."""
    step, own = size_of(dtype), lanes(dtype) // 4
    for v in range(fields.VECTORS):
        for k in range(own):
            write(room + (4 * k + v) * step, read(values + (v * own + k) * 4 % channels // size * stride, dtype))
    return load(room, dtype)


@njit
def by_group(quads, channels, size, values, stride, room, dtype):
    """Write each group's value: the inverse of `by_quad`."""
    step, own = size_of(dtype), lanes(dtype) // 4
    store(room, quads)
    for v in range(fields.VECTORS):
        for k in range(own):
            write(values + (v * own + k) * 4 % channels // size * stride, read(room + (4 * k + v) * step, dtype))


@njit
def load_strip(row, dtype):
    """The four vectors of a row."""
    a, b = load(row, dtype), load(row + BYTES, dtype)
    return a, b, load(row + 2 * BYTES, dtype), load(row + 3 * BYTES, dtype)


@njit
def prefetch_strip(row):
    """Bring a row into the cache."""
    prefetch(row)
    prefetch(row + BYTES)
    prefetch(row + 2 * BYTES)
    prefetch(row + 3 * BYTES)


@njit
def store_strip(row, a, b, c, d, streamed=False):
    """Write a row; past the caches, if `streamed`."""
    if streamed:
        stream(row, a)
        stream(row + BYTES, b)
        stream(row + 2 * BYTES, c)
        stream(row + 3 * BYTES, d)
    else:
        store(row, a)
        store(row + BYTES, b)
        store(row + 2 * BYTES, c)
        store(row + 3 * BYTES, d)
