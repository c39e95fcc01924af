"""The loops that numba compiles for `sgenet.kernels.cpu`.

They are in one file because numba's cache of a compiled function depends only on the file of that function. A job,
which `_run` in `cpu` passes by its address, is an array of 64-bit numbers: the sizes of the work, and the addresses of
tensors. Each thread processes one unit of it after another.
"""

import numpy as np
from llvmlite import ir
from numba import carray, int64, njit, types
from numba.extending import intrinsic, overload

# Sums may be reordered so that they are vectorised; NaN and infinity keep their meaning.
_FAST = {"reassoc", "nsz", "contract", "arcp", "afn"}
_SPAN = 512  # rows of a partial sum, where a sum over positions has a single accumulator

FIELDS = 20
(NEXT, UNITS, CHANNELS, POSITIONS, GROUPS, REPEATS, UNIT_GROUPS, NORMALIZE, EPS, ITEMSIZE, X, WEIGHT, BIAS, MEAN_VECTOR,
 STATISTICS, Y, GRAD, GRAD_X, GRAD_WEIGHT, GRAD_BIAS) = range(FIELDS)  # fmt: skip


@intrinsic
def _pointer(context, address):
    """Convert a number to the address that it represents."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(int64), generate


@intrinsic
def _take(context, job):
    """Atomically increment the number at an address by one; returns the previous value."""

    def generate(context, builder, signature, arguments):
        number = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", number, ir.Constant(ir.IntType(64), 1), "monotonic")

    return int64(types.voidptr), generate


@intrinsic
def _float_of_bits(context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _sigmoid(value):
    """1 / (1 + exp(-value)); in compiled code only. In float32 within 2e-7 of it, relatively, for |value| < 87."""
    raise NotImplementedError


@overload(_sigmoid, jit_options={"fastmath": _FAST}, inline="always")
def _(value):
    return _sigmoid32 if value == types.float32 else _sigmoid64


def _sigmoid64(value):
    return 1.0 / (1.0 + np.exp(-value))


def _sigmoid32(value):
    """Sigmoid in plain arithmetic, so that a loop over it is vectorised.

    exp(e) = 2^n exp(f) with |f| <= ln(2) / 2, where the Taylor polynomial of degree 7 is exact to 6e-9.
    """
    e = -value
    e = np.float32(-87.0) if e < np.float32(-87.0) else e  # in this form, NaN stays NaN
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


@njit(fastmath=_FAST, error_model="numpy")
def _likeness(x, vector, out):
    """out_i = sum_c vector_c x_ci of (channels, positions), four channels at a time."""
    channels, positions = x.shape
    whole = channels - channels % 4
    out[:] = 0
    for c in range(0, whole, 4):
        v0, v1, v2, v3 = vector[c], vector[c + 1], vector[c + 2], vector[c + 3]
        for i in range(positions):
            out[i] += v0 * x[c, i] + v1 * x[c + 1, i] + v2 * x[c + 2, i] + v3 * x[c + 3, i]
    for c in range(whole, channels):
        for i in range(positions):
            out[i] += vector[c] * x[c, i]


@njit(fastmath=_FAST, error_model="numpy")
def _products(x, grad, out):
    """out_i = sum_c grad_ci x_ci of (channels, positions), four channels at a time."""
    channels, positions = x.shape
    whole = channels - channels % 4
    out[:] = 0
    for c in range(0, whole, 4):
        for i in range(positions):
            out[i] += (grad[c, i] * x[c, i] + grad[c + 1, i] * x[c + 1, i]) + (
                grad[c + 2, i] * x[c + 2, i] + grad[c + 3, i] * x[c + 3, i]
            )
    for c in range(whole, channels):
        for i in range(positions):
            out[i] += grad[c, i] * x[c, i]


@njit(fastmath=_FAST, error_model="numpy")
def _mean(s):
    """Mean of a row of at least one number."""
    total = s.dtype.type(0)
    for i in range(s.size):
        total += s[i]
    return total / s.dtype.type(s.size)


@njit(fastmath=_FAST, error_model="numpy")
def _centre(s, mean):
    """Subtract the mean from `s`, in place; returns the rounding error of it, which must be subtracted as well.

    For a constant map only the rounding error remains, and normalisation would amplify it.
    """
    rest = s.dtype.type(0)
    for i in range(s.size):
        s[i] -= mean
        rest += s[i]
    return rest / s.dtype.type(s.size)


@njit(fastmath=_FAST, error_model="numpy")
def _to_gates(s, gamma, beta, normalize, eps, statistics):
    """Convert the similarity of one group to its gates, in place; write mean and unbiased deviation to `statistics`."""
    mean = rest = squares = s.dtype.type(0)
    if normalize:
        mean = _mean(s)
        rest = _centre(s, mean)
    for i in range(s.size):
        squares += (s[i] - rest) * (s[i] - rest)
    statistics[0], statistics[1] = mean + rest, np.sqrt(squares / s.dtype.type(max(s.size - 1, 1)))
    slope = gamma / (statistics[1] + eps) if normalize else gamma
    for i in range(s.size):
        s[i] = _sigmoid((s[i] - rest) * slope + beta)


@njit(fastmath=_FAST, error_model="numpy")
def _to_gradients(s, products, gates, gamma, beta, normalize, eps, deviation):
    """Convert the similarity of one group to its gradient, in place, and compute the gates.

    Returns the gradients of gamma and beta; `products` is overwritten.
    """
    zero, one = s.dtype.type(0), s.dtype.type(1)
    inverse = one / (deviation + eps) if normalize else one
    rest = _centre(s, _mean(s)) if normalize else zero
    grad_gamma = grad_beta = zero
    for i in range(s.size):
        off = (s[i] - rest) * inverse
        gate = _sigmoid(gamma * off + beta)
        inner = products[i] * gate * (one - gate)
        grad_gamma += inner * off
        grad_beta += inner
        products[i], gates[i] = inner, gate
    if not normalize:
        for i in range(s.size):
            s[i] = gamma * products[i]
    elif s.size == 1:
        s[0] = zero
    else:
        slope = gamma * inverse
        left = _centre(products, grad_beta / s.dtype.type(s.size))
        spread = slope * grad_gamma / (s.dtype.type(s.size - 1) * deviation) if deviation > zero else zero
        for i in range(s.size):
            s[i] = slope * (products[i] - left) - spread * (s[i] - rest)
    return grad_gamma, grad_beta


@njit(fastmath=_FAST, error_model="numpy")
def _forward_plane(x, y, vector, statistics, gamma, beta, normalize, eps, s):
    """Forward pass of one group of one sample, (channels, positions)."""
    channels, positions = x.shape
    for c in range(channels):
        vector[c] = _mean(x[c])
    _likeness(x, vector, s)
    _to_gates(s, gamma, beta, normalize, eps, statistics)
    for c in range(channels):
        for i in range(positions):
            y[c, i] = x[c, i] * s[i]


@njit(fastmath=_FAST, error_model="numpy")
def _backward_plane(x, grad, grad_x, vector, statistics, gamma, beta, normalize, eps, s, products, gates):
    """Backward pass of one group of one sample; returns the gradients of gamma and beta."""
    channels, positions = x.shape
    _likeness(x, vector, s)
    _products(x, grad, products)
    found = _to_gradients(s, products, gates, gamma, beta, normalize, eps, statistics[1])
    for c in range(channels):
        total = x.dtype.type(0)
        for i in range(positions):
            total += s[i] * x[c, i]
        own = total / x.dtype.type(positions)
        for i in range(positions):
            grad_x[c, i] = grad[c, i] * gates[i] + vector[c] * s[i] + own
    return found


@njit(fastmath=_FAST, error_model="numpy")
def _products_of_quads(row, other, quads):
    """Scalar products of four neighbouring channels each."""
    for j in range(quads.size):
        quads[j] = (row[4 * j] * other[4 * j] + row[4 * j + 1] * other[4 * j + 1]) + (
            row[4 * j + 2] * other[4 * j + 2] + row[4 * j + 3] * other[4 * j + 3]
        )


@njit(fastmath=_FAST, error_model="numpy")
def _sum_quads(quads, out):
    """Sums of the quads of each group; all cases but the last are vectorised."""
    size = quads.size // out.size
    if size == 1:
        for g in range(out.size):
            out[g] = quads[g]
    elif size == 2:
        for g in range(out.size):
            out[g] = quads[2 * g] + quads[2 * g + 1]
    elif size == 4:
        for g in range(out.size):
            out[g] = (quads[4 * g] + quads[4 * g + 1]) + (quads[4 * g + 2] + quads[4 * g + 3])
    else:
        for g in range(out.size):
            total = quads[g * size]
            for q in range(1, size):
                total += quads[g * size + q]
            out[g] = total


@njit(fastmath=_FAST, error_model="numpy")
def _to_quads(values, quads):
    """Copy each group's value to all of its quads; all cases but the last are vectorised."""
    size = quads.size // values.size
    if size == 1:
        for g in range(values.size):
            quads[g] = values[g]
    elif size == 2:
        for g in range(values.size):
            quads[2 * g], quads[2 * g + 1] = values[g], values[g]
    elif size == 4:
        for g in range(values.size):
            for q in range(4):
                quads[4 * g + q] = values[g]
    else:
        for g in range(values.size):
            for q in range(size):
                quads[g * size + q] = values[g]


@njit(fastmath=_FAST, error_model="numpy")
def _strip_likeness(x, vector, quads, square, total, s):
    """The similarity of groups to their mean vectors, minus the square of the mean vector, and the sum of that.

    The square is the mean of the similarity up to rounding, which `total` corrects.
    """
    _products_of_quads(vector, vector, quads)
    _sum_quads(quads, square)
    total[:] = 0
    for i in range(s.shape[0]):
        row = s[i]
        _products_of_quads(x[i], vector, quads)
        _sum_quads(quads, row)
        for g in range(total.size):
            row[g] -= square[g]
        for g in range(total.size):
            total[g] += row[g]


@njit(fastmath=_FAST, error_model="numpy")
def _tile(values, out):
    """Fill `out` with repeated copies of `values`."""
    for begin in range(0, out.size, values.size):
        for i in range(values.size):
            out[begin + i] = values[i]


@njit(fastmath=_FAST, error_model="numpy")
def _fold(values, size):
    """Fold `values` into its first `size` numbers: add to each the numbers at multiples of `size` after it."""
    for begin in range(size, values.size, size):
        for i in range(size):
            values[i] += values[begin + i]


@njit(fastmath=_FAST, error_model="numpy")
def _forward_strip(x, y, vector, statistics, weight, bias, normalize, eps, repeats, rows, sums, room):
    """Forward pass of neighbouring groups of one sample, first in (positions, all channels).

    A row of `x` contains `repeats` positions, more than one only if the strip has all channels. The groups then count
    `repeats` times, and sums over rows are folded at the end. `rows` and `sums` are buffers with a number per channel
    of a row, `room` is one with a number per position and group.
    """
    lines, size, groups = x.shape[0], vector.size, weight.size
    positions, wide, many = lines * repeats, size * repeats, groups * repeats
    mean, part, quads = rows[0][:wide], rows[1][:wide], rows[2][: wide // 4]
    slope, shift, beta = rows[3][:many], rows[4][:many], rows[5][:many]
    total, squares = sums[0][:many], sums[1][:many]
    s = room[: lines * many].reshape(lines, many)
    mean[:] = 0
    for begin in range(0, lines, _SPAN):
        part[:] = 0
        for i in range(begin, min(begin + _SPAN, lines)):
            for c in range(wide):
                part[c] += x[i, c]
        for c in range(wide):
            mean[c] += part[c]
    _fold(mean, size)
    for c in range(size):
        vector[c] = mean[c] / x.dtype.type(positions)
    _tile(vector, mean)
    _strip_likeness(x, mean, quads, shift, total, s)
    squares[:] = 0
    for i in range(lines):
        for g in range(many):
            squares[g] += np.float64(s[i, g]) * s[i, g]
    _fold(total, groups)
    _fold(squares, groups)
    for g in range(groups):
        rest = total[g] / positions
        variance = max(squares[g] - rest * total[g], 0.0) / max(positions - 1, 1)
        statistics[g, 0], statistics[g, 1] = shift[g] + rest, np.sqrt(variance)
        slope[g] = weight[g] / (statistics[g, 1] + eps) if normalize else weight[g]
        shift[g] = rest if normalize else -shift[g]  # remaining shift: still to be subtracted, or added back
    _tile(slope[:groups], slope)
    _tile(shift[:groups], shift)
    _tile(bias, beta)
    for i in range(lines):
        row, out = s[i], y[i]
        for g in range(many):
            row[g] = _sigmoid((row[g] - shift[g]) * slope[g] + beta[g])
        _to_quads(row, quads)
        for j in range(quads.size):
            for k in range(4):
                out[4 * j + k] = x[i, 4 * j + k] * quads[j]


@njit(fastmath=_FAST, error_model="numpy")
def _backward_strip(
    x, grad, grad_x, vector, statistics, weight, bias, normalize, eps, repeats, grad_weight, grad_bias,
    rows, sums, rooms,
):  # fmt: skip
    """Backward pass of neighbouring groups of one sample; see `_forward_strip`."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    lines, size, groups = x.shape[0], vector.size, weight.size
    positions, wide, many = lines * repeats, size * repeats, groups * repeats
    own, part, mean, quads = rows[0][:wide], rows[1][:wide], rows[2][:wide], rows[3][: wide // 4]
    shift, slope, beta = rows[4][:many], rows[5][:many], rows[6][:many]
    middle, spread = rows[7][:many], rows[8][:many]
    by_weight, by_bias = sums[0][:many], sums[1][:many]
    s = rooms[0][: lines * many].reshape(lines, many)
    products = rooms[1][: lines * many].reshape(lines, many)
    gates = rooms[2][: lines * many].reshape(lines, many)
    _tile(vector, mean)
    _strip_likeness(x, mean, quads, shift, by_bias, s)
    _fold(by_bias, groups)
    for g in range(groups):
        shift[g] = by_bias[g] / positions if normalize else -shift[g]
        slope[g] = weight[g] / (statistics[g, 1] + eps) if normalize else weight[g]
    _tile(shift[:groups], shift)
    _tile(slope[:groups], slope)
    _tile(bias, beta)
    sums[:] = 0
    for i in range(lines):
        off, inner, gate = s[i], products[i], gates[i]
        _products_of_quads(x[i], grad[i], quads)
        _sum_quads(quads, inner)
        for g in range(many):
            off[g] -= shift[g]
        for g in range(many):
            gate[g] = _sigmoid(off[g] * slope[g] + beta[g])
        for g in range(many):
            inner[g] *= gate[g] * (one - gate[g])
        for g in range(many):
            by_weight[g] += inner[g] * off[g]
        for g in range(many):
            by_bias[g] += inner[g]
    _fold(by_weight, groups)
    _fold(by_bias, groups)
    for g in range(groups):
        deviation = statistics[g, 1]
        grad_weight[g] = by_weight[g] / (deviation + eps) if normalize else by_weight[g]
        grad_bias[g] = by_bias[g]
        middle[g] = by_bias[g] / positions if normalize else zero
        spread[g] = zero
        if normalize and deviation > zero:
            spread[g] = slope[g] * grad_weight[g] / (x.dtype.type(positions - 1) * deviation)
    _tile(middle[:groups], middle)
    _tile(spread[:groups], spread)
    own[:] = 0
    for begin in range(0, lines, _SPAN):
        part[:] = 0
        for i in range(begin, min(begin + _SPAN, lines)):
            off, inner = s[i], products[i]
            for g in range(many):
                inner[g] = slope[g] * (inner[g] - middle[g])
            for g in range(many):
                inner[g] -= spread[g] * off[g]
            _to_quads(inner, quads)
            for j in range(quads.size):
                for k in range(4):
                    part[4 * j + k] += x[i, 4 * j + k] * quads[j]
        for c in range(wide):
            own[c] += part[c] / x.dtype.type(positions)
    _fold(own, size)
    _tile(own[:size], own)
    for i in range(lines):
        _to_quads(products[i], quads)
        for j in range(quads.size):
            for k in range(4):
                part[4 * j + k] = mean[4 * j + k] * quads[j] + own[4 * j + k]
        _to_quads(gates[i], quads)
        for j in range(quads.size):
            for k in range(4):
                grad_x[i, 4 * j + k] = grad[i, 4 * j + k] * quads[j] + part[4 * j + k]


@njit
def _at(job, field, offset, shape, dtype):
    """Array that starts `offset` numbers after a tensor's start."""
    return carray(_pointer(job[field] + offset * job[ITEMSIZE]), shape, dtype)


@njit
def _place(job, unit):
    """A unit's sample, its first group, and its number of groups."""
    groups, width = job[GROUPS], job[UNIT_GROUPS]
    units = (groups + width - 1) // width
    first = unit % units * width
    return unit // units, first, min(width, groups - first)


@njit
def _map(job, field, n, first, dtype):
    """The map from a unit's first number on: (rows, all channels of a row) for a strip, else (channels, positions)."""
    channels, positions, repeats = job[CHANNELS], job[POSITIONS], job[REPEATS]
    size = channels // job[GROUPS]
    if repeats:
        shape = (positions // repeats, channels * repeats)
        return _at(job, field, n * channels * positions + first * size, shape, dtype)
    return _at(job, field, (n * channels + first * size) * positions, (size, positions), dtype)


@njit
def _small(job, n, first, count, dtype):
    """A unit's mean vector, (mean, deviation) of each group, gammas and betas."""
    groups = job[GROUPS]
    size = job[CHANNELS] // groups
    vector = _at(job, MEAN_VECTOR, (n * groups + first) * size, (count * size,), dtype)
    statistics = _at(job, STATISTICS, (n * groups + first) * 2, (count, 2), dtype)
    return vector, statistics, _at(job, WEIGHT, first, (count,), dtype), _at(job, BIAS, first, (count,), dtype)


@njit
def _forward(address, dtype):
    job = carray(address, FIELDS, np.int64)
    eps = dtype(carray(address, FIELDS, np.float64)[EPS])
    normalize, width, repeats = job[NORMALIZE] != 0, job[UNIT_GROUPS], job[REPEATS]
    many = width * max(repeats, 1)
    rows, sums = np.empty((6, many * job[CHANNELS] // job[GROUPS]), dtype), np.empty((2, many))
    room = np.empty(width * job[POSITIONS], dtype)
    while True:
        unit = _take(address)
        if unit >= job[UNITS]:
            return
        n, first, count = _place(job, unit)
        vector, statistics, weight, bias = _small(job, n, first, count, dtype)
        x, y = _map(job, X, n, first, dtype), _map(job, Y, n, first, dtype)
        if repeats:
            _forward_strip(x, y, vector, statistics, weight, bias, normalize, eps, repeats, rows, sums, room)
        else:
            _forward_plane(x, y, vector, statistics[0], weight[0], bias[0], normalize, eps, room)


@njit
def _backward(address, dtype):
    job = carray(address, FIELDS, np.int64)
    eps = dtype(carray(address, FIELDS, np.float64)[EPS])
    normalize, width, repeats = job[NORMALIZE] != 0, job[UNIT_GROUPS], job[REPEATS]
    many = width * max(repeats, 1)
    rows, sums = np.empty((9, many * job[CHANNELS] // job[GROUPS]), dtype), np.empty((2, many))
    rooms = np.empty((3, width * job[POSITIONS]), dtype)
    while True:
        unit = _take(address)
        if unit >= job[UNITS]:
            return
        n, first, count = _place(job, unit)
        vector, statistics, weight, bias = _small(job, n, first, count, dtype)
        grad_weight = _at(job, GRAD_WEIGHT, n * job[GROUPS] + first, (count,), dtype)
        grad_bias = _at(job, GRAD_BIAS, n * job[GROUPS] + first, (count,), dtype)
        x, grad = _map(job, X, n, first, dtype), _map(job, GRAD, n, first, dtype)
        grad_x = _map(job, GRAD_X, n, first, dtype)
        if repeats:
            _backward_strip(
                x, grad, grad_x, vector, statistics, weight, bias, normalize, eps, repeats, grad_weight, grad_bias,
                rows, sums, rooms,
            )  # fmt: skip
        else:
            grad_weight[0], grad_bias[0] = _backward_plane(
                x, grad, grad_x, vector, statistics[0], weight[0], bias[0], normalize, eps, rooms[0], rooms[1], rooms[2]
            )


def forward32(address):
    """Run a job of forward passes in float32."""
    _forward(address, np.float32)


def forward64(address):
    """Run a job of forward passes in float64."""
    _forward(address, np.float64)


def backward32(address):
    """Run a job of backward passes in float32."""
    _backward(address, np.float32)


def backward64(address):
    """Run a job of backward passes in float64."""
    _backward(address, np.float64)
