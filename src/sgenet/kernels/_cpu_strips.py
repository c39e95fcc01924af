"""SGE of a strip of a channels_last map: neighbouring groups of one sample that fill four vectors of each position.

Equations: `sgenet.kernels`. Channels are summed in fours, quads. The quads of a strip's four vectors fill one vector,
in the order of `sum_quads`; all quads of a larger group have the sum of their group. The number of channels of a group
is a power of two, from 4 to those of a strip. Buffers have a vector of quads for each position.
"""

from numba import njit

from sgenet.kernels import _cpu_job as fields
from sgenet.kernels._cpu_functions import divided, keep_positive, quad, relu, root, sigmoid, sum_quads, swapped
from sgenet.kernels._cpu_job import at, epsilon, lanes
from sgenet.kernels._cpu_vectors import BYTES, fma, load, prefetch, read, size_of, splat, store, stream, write

_AHEAD = 16  # rows that are brought into the cache in advance: processors do not foresee steps as wide as a row
_SPAN = 512  # positions of a partial sum
ROOM = 9  # vectors of working memory


@njit
def _over_group(quads, size, dtype):
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
def _by_quad(values, size, stride, room, dtype):
    """Vector of the values of each quad's group; a value for each group, `stride` bytes apart."""
    step, own = size_of(dtype), lanes(dtype) // 4
    for v in range(fields.VECTORS):
        for k in range(own):
            write(room + (4 * k + v) * step, read(values + (v * own + k) * 4 // size * stride, dtype))
    return load(room, dtype)


@njit
def _by_group(quads, size, values, stride, room, dtype):
    """Write each group's value: the inverse of `_by_quad`."""
    step, own = size_of(dtype), lanes(dtype) // 4
    store(room, quads)
    for v in range(fields.VECTORS):
        for k in range(own):
            write(values + (v * own + k) * 4 // size * stride, read(room + (4 * k + v) * step, dtype))


@njit
def _place(job, unit, dtype):
    """Channels of a group, positions, offset in the map, mean vector, statistics, gamma, beta, first group."""
    step, strips = size_of(dtype), job[fields.STRIPS]
    channels, positions, size = job[fields.CHANNELS], job[fields.POSITIONS], job[fields.CHANNELS] // job[fields.GROUPS]
    sample, channel = unit // strips, unit % strips * fields.VECTORS * lanes(dtype)
    group = sample * job[fields.GROUPS] + channel // size
    mean, statistics = (
        job[fields.MEAN_VECTOR] + (sample * channels + channel) * step,
        job[fields.STATISTICS] + 2 * group * step,
    )
    gamma, beta = job[fields.WEIGHT] + channel // size * step, job[fields.BIAS] + channel // size * step
    return size, positions, (sample * channels * positions + channel) * step, mean, statistics, gamma, beta, group


@njit
def _load_strip(row, dtype):
    a, b = load(row, dtype), load(row + BYTES, dtype)
    return a, b, load(row + 2 * BYTES, dtype), load(row + 3 * BYTES, dtype)


@njit
def _prefetch_strip(row):
    prefetch(row)
    prefetch(row + BYTES)
    prefetch(row + 2 * BYTES)
    prefetch(row + 3 * BYTES)


@njit
def _store_strip(row, a, b, c, d, streamed=False):
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


@njit
def _write_mean(x, width, positions, mean, dtype):
    zero = splat(dtype(0))
    a = b = c = d = zero
    for begin in range(0, positions, _SPAN):
        e = f = g = h = zero
        for i in range(begin, min(begin + _SPAN, positions)):
            _prefetch_strip(x + (i + _AHEAD) * width)
            p, q, r, s = _load_strip(x + i * width, dtype)
            e, f, g, h = e + p, f + q, g + r, h + s
        a, b, c, d = a + e, b + f, c + g, d + h
    count = splat(dtype(positions))
    _store_strip(mean, a / count, b / count, c / count, d / count)


@njit
def _square(mean, size, dtype):
    """Square of each group's mean vector: the mean of the similarity, up to rounding."""
    a, b, c, d = _load_strip(mean, dtype)
    return _over_group(sum_quads(a * a, b * b, c * c, d * d), size, dtype)


@njit
def _result(x, identity, gate, positive, dtype):
    value = load(x, dtype)
    value = fma(value, gate, load(identity, dtype)) if identity else value * gate
    return relu(value) if positive else value


@njit
def forward_strip(job, unit, s, room, dtype):
    """Forward pass of one unit; `s` is a buffer, and `room` is the address of `ROOM` vectors."""
    size, positions, offset, mean, statistics, gamma, beta, _ = _place(job, unit, dtype)
    step, normalize, positive = size_of(dtype), job[fields.NORMALIZE] != 0, job[fields.RELU] != 0
    x, y, identity, width = (
        job[fields.X] + offset,
        job[fields.Y] + offset,
        at(job, fields.IDENTITY, offset),
        job[fields.CHANNELS] * step,
    )
    zero = splat(dtype(0))
    _write_mean(x, width, positions, mean, dtype)
    a, b, c, d = _load_strip(mean, dtype)
    about = _square(mean, size, dtype) if normalize else zero
    sums = squares = zero
    for begin in range(0, positions, _SPAN):
        part = square = zero
        for i in range(begin, min(begin + _SPAN, positions)):
            e, f, g, h = _load_strip(x + i * width, dtype)
            value = _over_group(sum_quads(a * e, b * f, c * g, d * h), size, dtype) - about
            part, square = part + value, fma(value, value, square)
            store(s + i * BYTES, value)
        sums, squares = sums + part, squares + square
    rest = sums / splat(dtype(positions)) if normalize else zero
    deviation = root(relu(squares - rest * sums) / splat(dtype(max(positions - 1, 1))))
    _by_group(rest, size, statistics, 2 * step, room, dtype)
    _by_group(deviation, size, statistics + step, 2 * step, room, dtype)
    slope, shift = _by_quad(gamma, size, step, room, dtype), _by_quad(beta, size, step, room, dtype)
    if normalize:
        slope = slope / (deviation + splat(epsilon(job, dtype)))
    streamed = job[fields.STREAM] != 0 and y % BYTES == 0 and width % BYTES == 0
    for i in range(positions):
        gate = sigmoid(fma(load(s + i * BYTES, dtype) - rest, slope, shift))
        row, out, shortcut = x + i * width, y + i * width, identity + i * width if identity else 0
        if identity:
            _prefetch_strip(shortcut + _AHEAD * width)
        a = _result(row, shortcut, quad(gate, 0), positive, dtype)
        b = _result(row + BYTES, shortcut + BYTES if identity else 0, quad(gate, 1), positive, dtype)
        c = _result(row + 2 * BYTES, shortcut + 2 * BYTES if identity else 0, quad(gate, 2), positive, dtype)
        d = _result(row + 3 * BYTES, shortcut + 3 * BYTES if identity else 0, quad(gate, 3), positive, dtype)
        _store_strip(out, a, b, c, d, streamed)


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
    e, f, g, h = _load_strip(sums, dtype)
    _store_strip(sums, a + e, b + f, c + g, d + h)


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
    size, positions, offset, mean, statistics, weight, bias, group = _place(job, unit, dtype)
    step, normalize, width = size_of(dtype), job[fields.NORMALIZE] != 0, job[fields.CHANNELS] * size_of(dtype)
    x, grad, grad_x = job[fields.X] + offset, job[fields.GRAD] + offset, job[fields.GRAD_X] + offset
    y, masked = at(job, fields.Y, offset), at(job, fields.GRAD_IDENTITY, offset)
    zero, one = splat(dtype(0)), splat(dtype(1))
    a, b, c, d = _load_strip(mean, dtype)
    about = _square(mean, size, dtype) if normalize else zero
    gamma, beta = _by_quad(weight, size, step, room, dtype), _by_quad(bias, size, step, room, dtype)
    rest = _by_quad(statistics, size, 2 * step, room, dtype)
    deviation = _by_quad(statistics + step, size, 2 * step, room, dtype)
    inverse = one / (deviation + splat(epsilon(job, dtype))) if normalize else one
    sums = room + BYTES
    _store_strip(sums, zero, zero, zero, zero)
    _store_strip(sums + fields.VECTORS * BYTES, zero, zero, zero, zero)
    by_weight = by_bias = shifted = zero
    pivot = zero  # one of the numbers t of each group: a sum of t - pivot is exact where they are equal
    for begin in range(0, positions, _SPAN):
        by_weight_part = by_bias_part = shifted_part = zero
        t0 = t1 = t2 = t3 = o0 = o1 = o2 = o3 = zero
        for i in range(begin, min(begin + _SPAN, positions)):
            row, here = i * width, i * BYTES
            ahead = row + _AHEAD * width
            _prefetch_strip(x + ahead)
            _prefetch_strip(grad + ahead)
            if y:
                _prefetch_strip(y + ahead)
            e, f, g, h = _load_strip(x + row, dtype)
            p, q, r, u = _gradients(grad + row, y + row if y else 0, masked + row, dtype)
            likeness = _over_group(sum_quads(a * e, b * f, c * g, d * h), size, dtype) - about
            off = (likeness - rest) * inverse
            gate = sigmoid(fma(gamma, off, beta))
            t = _over_group(sum_quads(e * p, f * q, g * r, h * u), size, dtype) * gate * (one - gate)
            if i == 0:
                pivot = t
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
    _by_group(by_weight, size, job[fields.GRAD_WEIGHT] + group * step, step, room, dtype)
    _by_group(by_bias, size, job[fields.GRAD_BIAS] + group * step, step, room, dtype)

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
    for i in range(positions):
        off, gate = load(s + i * BYTES, dtype), load(gates + i * BYTES, dtype)
        q = (load(products + i * BYTES, dtype) - middle) * slope - spread * off
        o, p, r, u = _load_strip(grad + i * width, dtype)
        _store_strip(
            grad_x + i * width,
            fma(o, quad(gate, 0), fma(a, quad(q, 0), e)),
            fma(p, quad(gate, 1), fma(b, quad(q, 1), f)),
            fma(r, quad(gate, 2), fma(c, quad(q, 2), g)),
            fma(u, quad(gate, 3), fma(d, quad(q, 3), h)),
            streamed,
        )
