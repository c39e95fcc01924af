"""SGE of a strip of a channels_last map: neighbouring groups of one sample that fill four vectors of each position.

Equations: `sgenet.kernels`. Channels are summed in fours, quads. The quads of a strip's four vectors fill one vector,
in the order of `sum_quads`; all quads of a larger group have the sum of their group. The number of channels of a group
is a power of two, from 4 to those of a strip. Buffers have a vector of quads for each position.

A map of half a strip's channels has two positions in a row of four vectors, `twice`: its sums are computed over each
half of the vectors, and then added.
"""

from numba import njit

from sgenet.kernels import _cpu_job as fields
from sgenet.kernels._cpu_functions import divided, keep_positive, quad, relu, root, sigmoid, sum_quads
from sgenet.kernels._cpu_job import at, epsilon, lanes
from sgenet.kernels._cpu_rows import by_group, by_quad, load_strip, over_group, over_halves, prefetch_strip, store_strip
from sgenet.kernels._cpu_vectors import BYTES, fma, load, size_of, splat, store

_AHEAD = 16  # rows that are brought into the cache in advance: processors do not foresee steps as wide as a row
_SPAN = 512  # rows of a partial sum
ROOM = 9  # vectors of working memory


@njit
def _place(job, unit, dtype):
    """Channels of the map and of a group, offset in the map, mean vector, statistics, gamma, beta, first group."""
    step, strips = size_of(dtype), job[fields.STRIPS]
    channels, size = job[fields.CHANNELS], job[fields.CHANNELS] // job[fields.GROUPS]
    sample, channel = unit // strips, unit % strips * fields.VECTORS * lanes(dtype)
    group = sample * job[fields.GROUPS] + channel // size
    mean, statistics = (
        job[fields.MEAN_VECTOR] + (sample * channels + channel) * step,
        job[fields.STATISTICS] + 2 * group * step,
    )
    gamma, beta = job[fields.WEIGHT] + channel // size * step, job[fields.BIAS] + channel // size * step
    offset = (sample * channels * job[fields.POSITIONS] + channel) * step
    return channels, size, offset, mean, statistics, gamma, beta, group


@njit
def _rows(job, dtype):
    """Positions, rows, bytes from a row to the next, and whether a row has two positions."""
    positions, channels = job[fields.POSITIONS], job[fields.CHANNELS]
    twice = channels < fields.VECTORS * lanes(dtype)
    share = 2 if twice else 1
    return positions, positions // share, share * channels * size_of(dtype), twice


@njit
def _write_mean(x, width, rows, twice, positions, mean, dtype):
    zero = splat(dtype(0))
    a = b = c = d = zero
    for begin in range(0, rows, _SPAN):
        e = f = g = h = zero
        for i in range(begin, min(begin + _SPAN, rows)):
            prefetch_strip(x + (i + _AHEAD) * width)
            p, q, r, s = load_strip(x + i * width, dtype)
            e, f, g, h = e + p, f + q, g + r, h + s
        a, b, c, d = a + e, b + f, c + g, d + h
    count = splat(dtype(positions))
    if twice:
        store(mean, (a + c) / count)
        store(mean + BYTES, (b + d) / count)
    else:
        store_strip(mean, a / count, b / count, c / count, d / count)


@njit
def _load_mean(mean, twice, dtype):
    a, b = load(mean, dtype), load(mean + BYTES, dtype)
    return (a, b, a, b) if twice else (a, b, load(mean + 2 * BYTES, dtype), load(mean + 3 * BYTES, dtype))


@njit
def _square(a, b, c, d, size, dtype):
    """Square of each group's mean vector: the mean of the similarity, up to rounding."""
    return over_group(sum_quads(a * a, b * b, c * c, d * d), size, dtype)


@njit
def _result(x, identity, gate, positive, dtype):
    value = load(x, dtype)
    value = fma(value, gate, load(identity, dtype)) if identity else value * gate
    return relu(value) if positive else value


@njit
def forward_strip(job, unit, s, room, dtype):
    """Forward pass of one unit; `s` is a buffer, and `room` is the address of `ROOM` vectors."""
    channels, size, offset, mean, statistics, gamma, beta, _ = _place(job, unit, dtype)
    positions, rows, width, twice = _rows(job, dtype)
    step, normalize, positive = size_of(dtype), job[fields.NORMALIZE] != 0, job[fields.RELU] != 0
    x, y, identity = job[fields.X] + offset, job[fields.Y] + offset, at(job, fields.IDENTITY, offset)
    zero = splat(dtype(0))
    _write_mean(x, width, rows, twice, positions, mean, dtype)
    a, b, c, d = _load_mean(mean, twice, dtype)
    about = _square(a, b, c, d, size, dtype) if normalize else zero
    sums = squares = zero
    for begin in range(0, rows, _SPAN):
        part = square = zero
        for i in range(begin, min(begin + _SPAN, rows)):
            e, f, g, h = load_strip(x + i * width, dtype)
            value = over_group(sum_quads(a * e, b * f, c * g, d * h), size, dtype) - about
            part, square = part + value, fma(value, value, square)
            store(s + i * BYTES, value)
        sums, squares = sums + part, squares + square
    sums, squares = over_halves(sums, twice), over_halves(squares, twice)
    rest = sums / splat(dtype(positions)) if normalize else zero
    deviation = root(relu(squares - rest * sums) / splat(dtype(max(positions - 1, 1))))
    by_group(rest, channels, size, statistics, 2 * step, room, dtype)
    by_group(deviation, channels, size, statistics + step, 2 * step, room, dtype)
    slope, shift = by_quad(gamma, channels, size, step, room, dtype), by_quad(beta, channels, size, step, room, dtype)
    if normalize:
        slope = slope / (deviation + splat(epsilon(job, dtype)))
    streamed = job[fields.STREAM] != 0 and y % BYTES == 0 and width % BYTES == 0
    for i in range(rows):
        gate = sigmoid(fma(load(s + i * BYTES, dtype) - rest, slope, shift))
        row, out, shortcut = x + i * width, y + i * width, identity + i * width if identity else 0
        if identity:
            prefetch_strip(shortcut + _AHEAD * width)
        a = _result(row, shortcut, quad(gate, 0), positive, dtype)
        b = _result(row + BYTES, shortcut + BYTES if identity else 0, quad(gate, 1), positive, dtype)
        c = _result(row + 2 * BYTES, shortcut + 2 * BYTES if identity else 0, quad(gate, 2), positive, dtype)
        d = _result(row + 3 * BYTES, shortcut + 3 * BYTES if identity else 0, quad(gate, 3), positive, dtype)
        store_strip(out, a, b, c, d, streamed)


@njit
def _gradient(grad, y, masked, dtype):
    """Gradient, masked where y is not positive, and then written to `masked`."""
    value = load(grad, dtype)
    if y:
        value = keep_positive(value, load(y, dtype))
        store(masked, value)
    return value


@njit
def _gradients(grad, y, masked, dtype):
    a, b = _gradient(grad, y, masked, dtype), _gradient(grad + BYTES, y + BYTES if y else 0, masked + BYTES, dtype)
    c = _gradient(grad + 2 * BYTES, y + 2 * BYTES if y else 0, masked + 2 * BYTES, dtype)
    return a, b, c, _gradient(grad + 3 * BYTES, y + 3 * BYTES if y else 0, masked + 3 * BYTES, dtype)


@njit
def _add(sums, a, b, c, d, dtype):
    e, f, g, h = load_strip(sums, dtype)
    store_strip(sums, a + e, b + f, c + g, d + h)


@njit
def _add_halves(sums, dtype):
    a, b, c, d = load_strip(sums, dtype)
    store_strip(sums, a + c, b + d, a + c, b + d)


@njit
def _own(sums, mean, slope, middle, spread, count, dtype):
    """Mean over the positions of q x, from the sums of t x and of off x."""
    by_t, by_off = load(sums, dtype) / count, load(sums + fields.VECTORS * BYTES, dtype) / count
    return slope * (by_t - middle * mean) - spread * by_off


@njit
def backward_strip(job, unit, s, products, gates, room, dtype):
    """Backward pass of one unit; `s`, `products`, `gates` are buffers, `room` is the address of `ROOM` vectors.

    The map is read once: in one pass, the sums of t x and of the normalised similarity times x over the positions give
    the mean of q x. Where the forward pass had a ReLU, its result y masks the gradient, which is then also the
    shortcut's.
    """
    channels, size, offset, mean, statistics, weight, bias, group = _place(job, unit, dtype)
    positions, rows, width, twice = _rows(job, dtype)
    step, normalize = size_of(dtype), job[fields.NORMALIZE] != 0
    x, grad, grad_x = job[fields.X] + offset, job[fields.GRAD] + offset, job[fields.GRAD_X] + offset
    y, masked = at(job, fields.Y, offset), at(job, fields.GRAD_IDENTITY, offset)
    zero, one = splat(dtype(0)), splat(dtype(1))
    a, b, c, d = _load_mean(mean, twice, dtype)
    about = _square(a, b, c, d, size, dtype) if normalize else zero
    gamma, beta = by_quad(weight, channels, size, step, room, dtype), by_quad(bias, channels, size, step, room, dtype)
    rest = by_quad(statistics, channels, size, 2 * step, room, dtype)
    deviation = by_quad(statistics + step, channels, size, 2 * step, room, dtype)
    inverse = one / (deviation + splat(epsilon(job, dtype))) if normalize else one
    sums = room + BYTES
    store_strip(sums, zero, zero, zero, zero)
    store_strip(sums + fields.VECTORS * BYTES, zero, zero, zero, zero)
    by_weight = by_bias = shifted = zero
    pivot = zero  # one of the numbers t of each group: a sum of t - pivot is exact where they are equal
    for begin in range(0, rows, _SPAN):
        by_weight_part = by_bias_part = shifted_part = zero
        t0 = t1 = t2 = t3 = o0 = o1 = o2 = o3 = zero
        for i in range(begin, min(begin + _SPAN, rows)):
            row, here = i * width, i * BYTES
            ahead = row + _AHEAD * width
            prefetch_strip(x + ahead)
            prefetch_strip(grad + ahead)
            if y:
                prefetch_strip(y + ahead)
            e, f, g, h = load_strip(x + row, dtype)
            p, q, r, u = _gradients(grad + row, y + row if y else 0, masked + row, dtype)
            likeness = over_group(sum_quads(a * e, b * f, c * g, d * h), size, dtype) - about
            off = (likeness - rest) * inverse
            gate = sigmoid(fma(gamma, off, beta))
            t = over_group(sum_quads(e * p, f * q, g * r, h * u), size, dtype) * gate * (one - gate)
            if i == 0:
                pivot = over_halves(t, twice) * splat(dtype(0.5)) if twice else t
            by_weight_part, by_bias_part = fma(t, off, by_weight_part), by_bias_part + t
            t = t - pivot
            shifted_part = shifted_part + t
            store(s + here, off)
            store(products + here, t)
            store(gates + here, gate)
            t0, t1, t2, t3 = (
                fma(e, quad(t, 0), t0),
                fma(f, quad(t, 1), t1),
                fma(g, quad(t, 2), t2),
                fma(h, quad(t, 3), t3),
            )
            o0, o1 = fma(e, quad(off, 0), o0), fma(f, quad(off, 1), o1)
            o2, o3 = fma(g, quad(off, 2), o2), fma(h, quad(off, 3), o3)
        by_weight, by_bias = by_weight + by_weight_part, by_bias + by_bias_part
        shifted = shifted + shifted_part
        _add(sums, t0, t1, t2, t3, dtype)
        _add(sums + fields.VECTORS * BYTES, o0, o1, o2, o3, dtype)
    if twice:
        _add_halves(sums, dtype)
        _add_halves(sums + fields.VECTORS * BYTES, dtype)
    by_weight, by_bias = over_halves(by_weight, twice), over_halves(by_bias, twice)
    shifted = over_halves(shifted, twice)
    by_group(by_weight, channels, size, job[fields.GRAD_WEIGHT] + group * step, step, room, dtype)
    by_group(by_bias, channels, size, job[fields.GRAD_BIAS] + group * step, step, room, dtype)

    count, slope, middle, spread = splat(dtype(positions)), gamma * inverse, zero - pivot, zero
    if normalize:
        middle = shifted / count
        spread = divided(slope * by_weight, splat(dtype(positions - 1)) * deviation * inverse)
    e = _own(sums, a, quad(slope, 0), quad(middle, 0), quad(spread, 0), count, dtype)
    f = _own(sums + BYTES, b, quad(slope, 1), quad(middle, 1), quad(spread, 1), count, dtype)
    g = _own(sums + 2 * BYTES, c, quad(slope, 2), quad(middle, 2), quad(spread, 2), count, dtype)
    h = _own(sums + 3 * BYTES, d, quad(slope, 3), quad(middle, 3), quad(spread, 3), count, dtype)
    streamed = job[fields.STREAM] != 0 and grad_x % BYTES == 0 and width % BYTES == 0
    grad = masked if y else grad
    for i in range(rows):
        off, gate = load(s + i * BYTES, dtype), load(gates + i * BYTES, dtype)
        q = (load(products + i * BYTES, dtype) - middle) * slope - spread * off
        o, p, r, u = load_strip(grad + i * width, dtype)
        store_strip(
            grad_x + i * width,
            fma(o, quad(gate, 0), fma(a, quad(q, 0), e)),
            fma(p, quad(gate, 1), fma(b, quad(q, 1), f)),
            fma(r, quad(gate, 2), fma(c, quad(q, 2), g)),
            fma(u, quad(gate, 3), fma(d, quad(q, 3), h)),
            streamed,
        )
