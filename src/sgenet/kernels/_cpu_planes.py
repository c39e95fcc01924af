"""SGE of one group of one sample in a contiguous map, a plane: m rows of all positions. Equations: `sgenet.kernels`.

A plane usually fits in a core's cache, so that it is read from memory once. A row is a number of whole vectors and a
rest, which is a vector with a mask; calls for whole ones give the number of lanes as a constant, without a mask. All
positions are computed by the same operations in the same order: where the map is constant, so is the similarity, and
its deviation is 0.
"""

import functools
import math

import numba

from sgenet.kernels import _cpu_job as fields
from sgenet.kernels._cpu_functions import keep_positive, relu, sigmoid, total
from sgenet.kernels._cpu_job import at, epsilon, lanes
from sgenet.kernels._cpu_vectors import (
    BYTES,
    first,
    fma,
    load,
    load_first,
    prefetch,
    read,
    size_of,
    splat,
    store,
    store_first,
    stream,
    write,
)

njit = functools.partial(numba.njit, error_model="numpy")  # a number over 0 is no error, as in torch

_AHEAD = 1 << 16  # bytes of a unit, up to which the next one is brought into the cache in advance


@njit
def _load(address, count, dtype):
    """Load a vector of which `count` numbers are in the map."""
    return load(address, dtype) if count == lanes(dtype) else load_first(address, count, dtype)


@njit
def _store(address, count, value, streamed, dtype):
    if count == lanes(dtype):
        if streamed and address % BYTES == 0:
            stream(address, value)
        else:
            store(address, value)
    else:
        store_first(address, count, value)


@njit
def _place(job, unit, dtype):
    """Channels m and positions of a unit, bytes of a row, offset in the map, mean vector, statistics, gamma, beta."""
    step, positions, groups = size_of(dtype), job[fields.POSITIONS], job[fields.GROUPS]
    size, group = job[fields.CHANNELS] // groups, unit % groups
    mean, statistics = job[fields.MEAN_VECTOR] + unit * size * step, job[fields.STATISTICS] + 2 * unit * step
    gamma, beta = read(job[fields.WEIGHT] + group * step, dtype), read(job[fields.BIAS] + group * step, dtype)
    return size, positions, positions * step, unit * size * positions * step, mean, statistics, gamma, beta


@njit
def _mean_of_row(row, positions, dtype):
    whole, rest = positions // lanes(dtype), positions % lanes(dtype)
    a = b = c = d = splat(dtype(0))
    fours = whole - whole % 4
    for i in range(0, fours, 4):
        here = row + i * BYTES
        a, b = a + load(here, dtype), b + load(here + BYTES, dtype)
        c, d = c + load(here + 2 * BYTES, dtype), d + load(here + 3 * BYTES, dtype)
    for i in range(fours, whole):
        a = a + load(row + i * BYTES, dtype)
    if rest:
        b = b + load_first(row + whole * BYTES, rest, dtype)
    return total((a + b) + (c + d)) / dtype(positions)


@njit
def _square(mean, size, dtype):
    """Square of the mean vector: the mean of the similarity, up to rounding."""
    value = dtype(0)
    for c in range(size):
        entry = read(mean + c * size_of(dtype), dtype)
        value += entry * entry
    return value


@njit
def _likeness(x, identity, width, size, mean, about, s, count, dtype):
    """Write the similarity, minus `about`, at the positions of one vector, and return it."""
    value = first(splat(-about), count)
    for c in range(size):
        if identity:
            prefetch(identity + c * width)
        value = fma(splat(read(mean + c * size_of(dtype), dtype)), _load(x + c * width, count, dtype), value)
    store(s, value)
    return value


@njit
def _likeness_of_four(x, identity, width, size, mean, about, s, dtype):
    """Write the similarity, minus `about`, at the positions of four vectors; return its sum and that of its square."""
    a = b = c = d = splat(-about)
    for k in range(size):
        here, factor = x + k * width, splat(read(mean + k * size_of(dtype), dtype))
        if identity:
            prefetch(identity + k * width)
            prefetch(identity + k * width + BYTES)
            prefetch(identity + k * width + 2 * BYTES)
            prefetch(identity + k * width + 3 * BYTES)
        a, b = fma(factor, load(here, dtype), a), fma(factor, load(here + BYTES, dtype), b)
        c, d = fma(factor, load(here + 2 * BYTES, dtype), c), fma(factor, load(here + 3 * BYTES, dtype), d)
    store(s, a)
    store(s + BYTES, b)
    store(s + 2 * BYTES, c)
    store(s + 3 * BYTES, d)
    return (a + b) + (c + d), fma(a, a, b * b) + fma(c, c, d * d)


@njit
def _write(x, identity, y, width, size, gate, count, positive, streamed, dtype):
    """Write the result at the positions of one vector."""
    for c in range(size):
        here = c * width
        value = _load(x + here, count, dtype)
        value = fma(value, gate, _load(identity + here, count, dtype)) if identity else value * gate
        _store(y + here, count, relu(value) if positive else value, streamed, dtype)


@njit
def forward_plane(job, unit, s, dtype):
    """Forward pass of one unit; `s` is a buffer."""
    size, positions, width, offset, mean, statistics, gamma, beta = _place(job, unit, dtype)
    step, normalize, positive = size_of(dtype), job[fields.NORMALIZE] != 0, job[fields.RELU] != 0
    streamed = job[fields.STREAM] != 0
    x, y, identity = job[fields.X] + offset, job[fields.Y] + offset, at(job, fields.IDENTITY, offset)
    whole, left = positions // lanes(dtype), positions % lanes(dtype)
    for c in range(size):
        write(mean + c * step, _mean_of_row(x + c * width, positions, dtype))
    about = _square(mean, size, dtype) if normalize else dtype(0)
    sums = squares = splat(dtype(0))
    fours = whole - whole % 4
    for i in range(0, fours, 4):
        part, square = _likeness_of_four(
            x + i * BYTES, identity + i * BYTES if identity else 0, width, size, mean, about, s + i * BYTES, dtype
        )
        sums, squares = sums + part, squares + square
    for i in range(fours, whole + (left > 0)):
        count = lanes(dtype) if i < whole else left
        value = _likeness(
            x + i * BYTES,
            identity + i * BYTES if identity else 0,
            width,
            size,
            mean,
            about,
            s + i * BYTES,
            count,
            dtype,
        )
        sums, squares = sums + value, fma(value, value, squares)
    rest = total(sums) / dtype(positions) if normalize else dtype(0)
    variance = max(total(squares) - rest * total(sums), dtype(0)) / dtype(max(positions - 1, 1))
    deviation = math.sqrt(variance)
    write(statistics, rest)
    write(statistics + step, deviation)
    slope = gamma / (deviation + epsilon(job, dtype)) if normalize else gamma
    ahead = size * width if size * width < _AHEAD else 0
    for i in range(whole + (left > 0)):
        here, count = i * BYTES, lanes(dtype) if i < whole else left
        gate = sigmoid(fma(load(s + here, dtype) - splat(rest), splat(slope), splat(beta)))
        if ahead:
            for c in range(size):
                prefetch(x + ahead + here + c * width)
        shortcut = identity + here if identity else 0
        if count == lanes(dtype):
            _write(x + here, shortcut, y + here, width, size, gate, lanes(dtype), positive, streamed, dtype)
        else:
            _write(x + here, shortcut, y + here, width, size, gate, count, positive, streamed, dtype)


@njit
def _products(x, grad, y, masked, width, size, mean, about, s, products, count, dtype):
    """Write the similarity, and the sum of gradient times map, at the positions of one vector; mask the gradient."""
    likeness, product = splat(-about), splat(dtype(0))
    for c in range(size):
        here = c * width
        value, slope = _load(x + here, count, dtype), _load(grad + here, count, dtype)
        if y:
            slope = keep_positive(slope, _load(y + here, count, dtype))
            _store(masked + here, count, slope, False, dtype)
        likeness = fma(splat(read(mean + c * size_of(dtype), dtype)), value, likeness)
        product = fma(slope, value, product)
    store(s, likeness)
    store(products, product)


@njit
def _mean_of_product(row, q, positions, dtype):
    whole, rest = positions // lanes(dtype), positions % lanes(dtype)
    a = b = splat(dtype(0))
    pairs = whole - whole % 2
    for i in range(0, pairs, 2):
        here = i * BYTES
        a = fma(load(row + here, dtype), load(q + here, dtype), a)
        b = fma(load(row + here + BYTES, dtype), load(q + here + BYTES, dtype), b)
    if whole % 2:
        a = fma(load(row + pairs * BYTES, dtype), load(q + pairs * BYTES, dtype), a)
    if rest:
        b = fma(load_first(row + whole * BYTES, rest, dtype), load(q + whole * BYTES, dtype), b)
    return total(a + b) / dtype(positions)


@njit
def _write_gradient(grad, grad_x, gates, q, mean, own, count, streamed, dtype):
    value = fma(_load(grad, count, dtype), load(gates, dtype), fma(mean, load(q, dtype), own))
    _store(grad_x, count, value, streamed, dtype)


@njit
def backward_plane(job, unit, s, products, gates, dtype):
    """Backward pass of one unit; `s`, `products` and `gates` are buffers.

    Where the forward pass had a ReLU, its result y masks the gradient, which is then also the shortcut's.
    """
    size, positions, width, offset, mean, statistics, gamma, beta = _place(job, unit, dtype)
    step, normalize, streamed = size_of(dtype), job[fields.NORMALIZE] != 0, job[fields.STREAM] != 0
    x, grad, grad_x = job[fields.X] + offset, job[fields.GRAD] + offset, job[fields.GRAD_X] + offset
    y, masked = at(job, fields.Y, offset), at(job, fields.GRAD_IDENTITY, offset)
    whole, left = positions // lanes(dtype), positions % lanes(dtype)
    about = _square(mean, size, dtype) if normalize else dtype(0)
    for i in range(whole + (left > 0)):
        here, own = i * BYTES, y + i * BYTES if y else 0
        found = s + here, products + here
        if i < whole:
            _products(x + here, grad + here, own, masked + here, width, size, mean, about, *found, lanes(dtype), dtype)
        else:
            _products(x + here, grad + here, own, masked + here, width, size, mean, about, *found, left, dtype)
    first_grad, ahead = grad, size * width if size * width < _AHEAD else 0
    grad = masked if y else grad

    rest, deviation = read(statistics, dtype), read(statistics + step, dtype)
    inverse = dtype(1) / (deviation + epsilon(job, dtype)) if normalize else dtype(1)
    one = splat(dtype(1))
    by_gamma = by_beta = shifted = splat(dtype(0))
    pivot = dtype(0)  # one of the numbers t: a sum of t - pivot is exact where they are equal
    for i in range(whole + (left > 0)):
        here, count = i * BYTES, lanes(dtype) if i < whole else left
        off = (load(s + here, dtype) - splat(rest)) * splat(inverse)
        gate = sigmoid(fma(splat(gamma), off, splat(beta)))
        t = first(load(products + here, dtype) * gate * (one - gate), count)
        store(products + here, t)
        if i == 0:
            pivot = read(products, dtype)
        by_gamma, by_beta = fma(t, off, by_gamma), by_beta + t
        t = t - splat(pivot)
        shifted = shifted + first(t, count)
        store(s + here, off)
        store(products + here, t)
        store(gates + here, gate)
    grad_gamma = total(by_gamma)
    write(job[fields.GRAD_WEIGHT] + unit * step, grad_gamma)
    write(job[fields.GRAD_BIAS] + unit * step, total(by_beta))

    slope, spread, middle = gamma * inverse, dtype(0), -pivot
    if normalize:
        middle = total(shifted) / dtype(positions)
        if deviation > dtype(0):
            spread = slope * grad_gamma / (dtype(positions - 1) * deviation * inverse)
    for i in range(whole + (left > 0)):
        here = i * BYTES
        q = (load(products + here, dtype) - splat(middle)) * splat(slope) - splat(spread) * load(s + here, dtype)
        store(s + here, q)
    for c in range(size):
        row = c * width
        own, entry = splat(_mean_of_product(x + row, s, positions, dtype)), splat(read(mean + c * step, dtype))
        for i in range(whole):
            here = i * BYTES
            if ahead:
                prefetch(x + row + here + ahead)
                prefetch(first_grad + row + here + ahead)
                if y:
                    prefetch(y + row + here + ahead)
            _write_gradient(
                grad + row + here,
                grad_x + row + here,
                gates + here,
                s + here,
                entry,
                own,
                lanes(dtype),
                streamed,
                dtype,
            )
        if left:
            here = whole * BYTES
            _write_gradient(
                grad + row + here, grad_x + row + here, gates + here, s + here, entry, own, left, streamed, dtype
            )
