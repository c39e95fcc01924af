"""The functions that `sgenet.kernels.cpu` compiles: they take one chunk of a job's units after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from sgenet.kernels._cpu_job import CHUNK, STRIPS, UNITS, buffer_size, read_job, take, whole_vectors
from sgenet.kernels._cpu_planes import backward_plane, forward_plane
from sgenet.kernels._cpu_strips import ROOM, backward_strip, forward_strip
from sgenet.kernels._cpu_vectors import BYTES

# numba's cache of a compiled function depends on the function's own file, and on what the function holds of its scope.
SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("_cpu_*.py")))


@njit  # a loop that is given what it processes cannot be cached, hence two
def _forward(address, dtype):
    job = read_job(address)
    size = buffer_size(job, dtype)
    memory, s = whole_vectors(size + ROOM * BYTES)
    while True:
        first = take(address) * job[CHUNK]
        if first >= job[UNITS]:
            memory[0] = 0  # numba frees an array after its last use
            return
        for unit in range(first, min(first + job[CHUNK], job[UNITS])):
            if job[STRIPS]:
                forward_strip(job, unit, s, s + size, dtype)
            else:
                forward_plane(job, unit, s, dtype)


@njit
def _backward(address, dtype):
    job = read_job(address)
    size = buffer_size(job, dtype)
    memory, s = whole_vectors(3 * size + ROOM * BYTES)
    products, gates, room = s + size, s + 2 * size, s + 3 * size
    while True:
        first = take(address) * job[CHUNK]
        if first >= job[UNITS]:
            memory[0] = 0  # numba frees an array after its last use
            return
        for unit in range(first, min(first + job[CHUNK], job[UNITS])):
            if job[STRIPS]:
                backward_strip(job, unit, s, products, gates, room, dtype)
            else:
                backward_plane(job, unit, s, products, gates, dtype)


def create_loops(dtype: type) -> dict[str, Callable[[Any], None]]:
    """Functions of a job's address that run its forward, and its backward pass, in this type of numpy."""
    sources = SOURCES

    def forward(address):
        sources  # noqa: B018 (part of the cache's key)
        _forward(address, dtype)

    def backward(address):
        sources  # noqa: B018
        _backward(address, dtype)

    return {"forward": forward, "backward": backward}
