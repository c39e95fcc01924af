"""The loops that numba compiles for `sgenet.kernels.cpu`.

All in one file, for numba keeps compiled code until the file of the function that was asked for changes, and looks at
no other. A job, which `run` in `cpu` hands over by its address, is a row of 64-bit numbers: what is to be done, and the
addresses of tensors. Each thread takes unit after unit of it.
"""

import numpy as np
from llvmlite import ir
from numba import carray, int64, njit, types
from numba.extending import intrinsic, overload

# Sums may be reordered, so that they become vector instructions; NaN and infinity keep their meaning.
_FAST = {"reassoc", "nsz", "contract", "arcp", "afn"}
_SPAN = 512  # positions of a partial sum, where a sum over positions has a single accumulator

FIELDS = 20
(NEXT, UNITS, CHANNELS, POSITIONS, GROUPS, STRIPS, UNIT_GROUPS, NORMALIZE, EPS, ITEMSIZE, X, WEIGHT, BIAS, MEAN_VECTOR,
 STATISTICS, Y, GRAD, GRAD_X, GRAD_WEIGHT, GRAD_BIAS) = range(FIELDS)  # fmt: skip


@intrinsic
def _pointer(context, address):
    """A number as the address that it is."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(int64), generate


@intrinsic
def _take(context, job):
    """Count the first number at an address up by one, against all other threads; returns what it was."""

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
    """1 / (1 + exp(-value)); in compiled code alone. In float32 within 2e-7 of it, relatively, for |value| < 87."""
    raise NotImplementedError


@overload(_sigmoid, jit_options={"fastmath": _FAST}, inline="always")
def _(value):
    return _sigmoid32 if value == types.float32 else _sigmoid64


def _sigmoid64(value):
    return 1.0 / (1.0 + np.exp(-value))


def _sigmoid32(value):
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
def _to_gates(s, gamma, beta, normalize, eps, statistics):
    """Turn the likeness of one group into its gates, in place; its mean and unbiased deviation to `statistics`."""
    total = squares = s.dtype.type(0)
    for i in range(s.size):
        total += s[i]
    mean = total / s.dtype.type(s.size)
    for i in range(s.size):
        squares += (s[i] - mean) * (s[i] - mean)
    deviation = np.sqrt(squares / s.dtype.type(max(s.size - 1, 1)))
    statistics[0], statistics[1] = mean, deviation
    slope = gamma / (deviation + eps) if normalize else gamma
    centre = mean if normalize else s.dtype.type(0)
    for i in range(s.size):
        s[i] = _sigmoid((s[i] - centre) * slope + beta)


@njit(fastmath=_FAST, error_model="numpy")
def _to_gradients(s, products, gates, gamma, beta, normalize, eps, statistics):
    """Turn the likeness of one group into its gradient, in place, with the gates beside it.

    Returns the gradients of gamma and beta.
    """
    zero, one = s.dtype.type(0), s.dtype.type(1)
    mean, deviation = (statistics[0], statistics[1]) if normalize else (zero, one)
    inverse = one / (deviation + eps) if normalize else one
    grad_gamma = grad_beta = zero
    for i in range(s.size):
        off = s[i] - mean
        gate = _sigmoid(gamma * (off * inverse) + beta)
        inner = products[i] * gate * (one - gate)
        grad_gamma += inner * (off * inverse)
        grad_beta += inner
        s[i], products[i], gates[i] = off, inner, gate
    if not normalize:
        for i in range(s.size):
            s[i] = gamma * products[i]
    elif s.size == 1:
        s[0] = zero
    else:
        slope = gamma * inverse
        middle = grad_beta / s.dtype.type(s.size)
        spread = slope * grad_gamma / (s.dtype.type(s.size - 1) * deviation) if deviation > zero else zero
        for i in range(s.size):
            s[i] = slope * (products[i] - middle) - spread * s[i]
    return grad_gamma, grad_beta


@njit(fastmath=_FAST, error_model="numpy")
def _forward_plane(x, y, vector, statistics, gamma, beta, normalize, eps, s):
    """One group of one sample, (channels, positions)."""
    channels, positions = x.shape
    for c in range(channels):
        total = x.dtype.type(0)
        for i in range(positions):
            total += x[c, i]
        vector[c] = total / x.dtype.type(positions)
    _likeness(x, vector, s)
    _to_gates(s, gamma, beta, normalize, eps, statistics)
    for c in range(channels):
        for i in range(positions):
            y[c, i] = x[c, i] * s[i]


@njit(fastmath=_FAST, error_model="numpy")
def _backward_plane(x, grad, grad_x, vector, statistics, gamma, beta, normalize, eps, s, products, gates):
    """One group of one sample; returns the gradients of gamma and beta."""
    channels, positions = x.shape
    _likeness(x, vector, s)
    _products(x, grad, products)
    found = _to_gradients(s, products, gates, gamma, beta, normalize, eps, statistics)
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
    """Sums of the quads of each group; the first two cases become vector instructions."""
    size = quads.size // out.size
    if size == 1:
        for g in range(out.size):
            out[g] = quads[g]
    elif size == 2:
        for g in range(out.size):
            out[g] = quads[2 * g] + quads[2 * g + 1]
    else:
        for g in range(out.size):
            total = quads[g * size]
            for q in range(1, size):
                total += quads[g * size + q]
            out[g] = total


@njit(fastmath=_FAST, error_model="numpy")
def _repeat(values, quads, row):
    """Each group's value for all of its channels; the first two cases become vector instructions."""
    size = quads.size // values.size
    if size == 1:
        for g in range(values.size):
            quads[g] = values[g]
    elif size == 2:
        for g in range(values.size):
            quads[2 * g], quads[2 * g + 1] = values[g], values[g]
    else:
        for g in range(values.size):
            for q in range(size):
                quads[g * size + q] = values[g]
    for j in range(quads.size):
        value = quads[j]
        row[4 * j], row[4 * j + 1], row[4 * j + 2], row[4 * j + 3] = value, value, value, value


@njit(error_model="numpy")
def _transpose(matrix, out):
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j, i] = matrix[i, j]


@njit(fastmath=_FAST, error_model="numpy")
def _forward_strip(x, y, vector, statistics, weight, bias, normalize, eps, quads, row, by_position, s):
    """Neighbouring groups of one sample, first in (positions, all channels); `s` is (groups, positions)."""
    positions, channels = x.shape[0], vector.size
    vector[:] = 0
    for begin in range(0, positions, _SPAN):
        row[:] = 0
        for i in range(begin, min(begin + _SPAN, positions)):
            for c in range(channels):
                row[c] += x[i, c]
        for c in range(channels):
            vector[c] += row[c]
    for c in range(channels):
        vector[c] /= x.dtype.type(positions)
    for i in range(positions):
        _products_of_quads(x[i], vector, quads)
        _sum_quads(quads, by_position[i])
    _transpose(by_position, s)
    for g in range(len(weight)):
        _to_gates(s[g], weight[g], bias[g], normalize, eps, statistics[g])
    _transpose(s, by_position)
    for i in range(positions):
        _repeat(by_position[i], quads, row)
        for c in range(channels):
            y[i, c] = x[i, c] * row[c]


@njit(fastmath=_FAST, error_model="numpy")
def _backward_strip(
    x,
    grad,
    grad_x,
    vector,
    statistics,
    weight,
    bias,
    normalize,
    eps,
    grad_weight,
    grad_bias,
    quads,
    rows,
    by_position,
    s,
    products,
    gates,
):
    """Neighbouring groups of one sample; see `_forward_strip`."""
    positions, channels = x.shape[0], vector.size
    row, part, own = rows
    first, second = by_position
    for i in range(positions):
        _products_of_quads(x[i], vector, quads)
        _sum_quads(quads, first[i])
        _products_of_quads(x[i], grad[i], quads)
        _sum_quads(quads, second[i])
    _transpose(first, s)
    _transpose(second, products)
    for g in range(len(weight)):
        grad_weight[g], grad_bias[g] = _to_gradients(
            s[g], products[g], gates[g], weight[g], bias[g], normalize, eps, statistics[g]
        )
    _transpose(s, first)
    _transpose(gates, second)
    own[:] = 0
    for begin in range(0, positions, _SPAN):
        part[:] = 0
        for i in range(begin, min(begin + _SPAN, positions)):
            _repeat(first[i], quads, row)
            for c in range(channels):
                part[c] += row[c] * x[i, c]
        for c in range(channels):
            own[c] += part[c] / x.dtype.type(positions)
    for i in range(positions):
        _repeat(first[i], quads, row)
        _repeat(second[i], quads, part)
        for c in range(channels):
            grad_x[i, c] = grad[i, c] * part[c] + (vector[c] * row[c] + own[c])


@njit
def _at(job, field, offset, shape, dtype):
    """Array over what lies `offset` numbers behind a tensor's start."""
    return carray(_pointer(job[field] + offset * job[ITEMSIZE]), shape, dtype)


@njit
def _place(job, unit):
    """A unit's sample, its first group, and how many groups it has."""
    groups, width = job[GROUPS], job[UNIT_GROUPS]
    units = (groups + width - 1) // width
    first = unit % units * width
    return unit // units, first, min(width, groups - first)


@njit
def _map(job, field, n, first, dtype):
    """The map from a unit's first number on: (positions, all channels) of a strip, else (channels, positions)."""
    channels, positions = job[CHANNELS], job[POSITIONS]
    size = channels // job[GROUPS]
    if job[STRIPS]:
        return _at(job, field, n * channels * positions + first * size, (positions, channels), dtype)
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
    positions, normalize = job[POSITIONS], job[NORMALIZE] != 0
    row = np.empty(job[UNIT_GROUPS] * job[CHANNELS] // job[GROUPS], dtype)
    quads, matrices = np.empty_like(row), np.empty((2, job[UNIT_GROUPS] * positions), dtype)
    while True:
        unit = _take(address)
        if unit >= job[UNITS]:
            return
        n, first, count = _place(job, unit)
        vector, statistics, weight, bias = _small(job, n, first, count, dtype)
        x, y = _map(job, X, n, first, dtype), _map(job, Y, n, first, dtype)
        if job[STRIPS]:
            _forward_strip(
                x, y, vector, statistics, weight, bias, normalize, eps, quads[: vector.size // 4], row[: vector.size],
                matrices[0][: count * positions].reshape(positions, count),
                matrices[1][: count * positions].reshape(count, positions),
            )  # fmt: skip
        else:
            _forward_plane(x, y, vector, statistics[0], weight[0], bias[0], normalize, eps, matrices[0])


@njit
def _backward(address, dtype):
    job = carray(address, FIELDS, np.int64)
    eps = dtype(carray(address, FIELDS, np.float64)[EPS])
    positions, normalize = job[POSITIONS], job[NORMALIZE] != 0
    rows = np.empty((4, job[UNIT_GROUPS] * job[CHANNELS] // job[GROUPS]), dtype)
    matrices = np.empty((5, job[UNIT_GROUPS] * positions), dtype)
    while True:
        unit = _take(address)
        if unit >= job[UNITS]:
            return
        n, first, count = _place(job, unit)
        vector, statistics, weight, bias = _small(job, n, first, count, dtype)
        grad_weight = _at(job, GRAD_WEIGHT, n * job[GROUPS] + first, (count,), dtype)
        grad_bias = _at(job, GRAD_BIAS, n * job[GROUPS] + first, (count,), dtype)
        x, grad, grad_x = (
            _map(job, X, n, first, dtype),
            _map(job, GRAD, n, first, dtype),
            _map(job, GRAD_X, n, first, dtype),
        )
        if job[STRIPS]:
            used, channels = count * positions, vector.size
            _backward_strip(
                x, grad, grad_x, vector, statistics, weight, bias, normalize, eps, grad_weight, grad_bias,
                rows[0][: channels // 4], (rows[1][:channels], rows[2][:channels], rows[3][:channels]),
                (matrices[0][:used].reshape(positions, count), matrices[1][:used].reshape(positions, count)),
                matrices[2][:used].reshape(count, positions), matrices[3][:used].reshape(count, positions),
                matrices[4][:used].reshape(count, positions),
            )  # fmt: skip
        else:
            s, products, gates = matrices[0], matrices[1], matrices[2]
            grad_weight[0], grad_bias[0] = _backward_plane(
                x, grad, grad_x, vector, statistics[0], weight[0], bias[0], normalize, eps, s, products, gates
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
