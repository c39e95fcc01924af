"""SGE on the CPU: native loops, compiled by numba when they are first needed.

A unit of work is small enough to stay in a core's cache while it is walked through several times, so that the map comes
from memory once (forward: 1 read and 1 write; backward: 2 reads and 1 write): one group of one sample where the map is
contiguous, a strip of neighbouring groups where it is channels_last. Every sum belongs to one unit: results do not
depend on the number of threads. The equations stand in `sgenet.kernels`.
"""

from typing import Any

import numpy as np
import torch
from numba import carray, float64, int64, njit
from torch import Tensor

from sgenet.kernels._compiled import FAST, pointer, run, sigmoid, take

_STRIP = 1 << 18  # bytes of a strip of channels: with its gradient and the result less than a usual second-level cache
_LINE = 1 << 10  # bytes of neighbouring channels that are read in a row, at least: short pieces are slow to come from memory
_SPAN = 512  # positions of a partial sum, where a sum over positions has a single accumulator

# A job is 64-bit numbers: what is to be done, and the addresses of tensors.
_FIELDS = 19
(_NEXT, _UNITS, _CHANNELS, _POSITIONS, _GROUPS, _STRIP_GROUPS, _NORMALIZE, _EPS, _ITEMSIZE, _X, _WEIGHT, _BIAS, _MEAN_VECTOR,
 _STATISTICS, _Y, _GRAD, _GRAD_X, _GRAD_WEIGHT, _GRAD_BIAS) = range(_FIELDS)  # fmt: skip


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, normalize: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `sgenet.kernels`: y, mean vector, statistics. `x` is dense in its memory format, the others of the sums' type."""
    n, channels = x.shape[:2]
    wide, memory_format = _ready(x, groups, weight.dtype)
    y = torch.empty_like(wide)
    mean_vector, statistics = wide.new_empty(n, channels), wide.new_empty(n, groups, 2)
    tensors = {_X: wide, _WEIGHT: weight, _BIAS: bias, _MEAN_VECTOR: mean_vector, _STATISTICS: statistics, _Y: y}
    _run(_FORWARD, wide, groups, normalize, eps, tensors)
    return y.to(x.dtype).contiguous(memory_format=memory_format), mean_vector, statistics


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `sgenet.kernels`: gradients of x, weight, bias. `grad` and `x` are dense in the same memory format."""
    wide, memory_format = _ready(x, groups, weight.dtype)
    wide_grad, _ = _ready(grad, groups, weight.dtype)
    grad_x = torch.empty_like(wide)
    grad_weight, grad_bias = wide.new_zeros(len(x), groups), wide.new_zeros(len(x), groups)
    tensors = {_X: wide, _WEIGHT: weight, _BIAS: bias, _MEAN_VECTOR: mean_vector, _STATISTICS: statistics}
    tensors |= {_GRAD: wide_grad, _GRAD_X: grad_x, _GRAD_WEIGHT: grad_weight, _GRAD_BIAS: grad_bias}
    _run(_BACKWARD, wide, groups, normalize, eps, tensors)
    return grad_x.to(x.dtype).contiguous(memory_format=memory_format), grad_weight.sum(0), grad_bias.sum(0)


def _ready(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, torch.memory_format]:
    """The map in the sums' type, and in the other memory format where strips would not divide into quads."""
    memory_format = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    if x.shape[1] // groups % 4:
        x = x.contiguous()
    return x.to(dtype), memory_format


def _run(
    kernels: dict[tuple[bool, torch.dtype], Any],
    x: Tensor,
    groups: int,
    normalize: bool,
    eps: float,
    tensors: dict[int, Tensor],
) -> None:
    n, channels, height, width = x.shape
    strips = not x.is_contiguous()
    if x.numel() == 0:
        return
    job = np.zeros(_FIELDS, np.int64)
    strip_groups = min(groups, _strip_groups(channels // groups, height * width, x.itemsize)) if strips else 1
    job[_UNITS] = n * -(-groups // strip_groups)
    job[_CHANNELS], job[_POSITIONS], job[_GROUPS], job[_STRIP_GROUPS] = channels, height * width, groups, strip_groups
    job[_NORMALIZE], job[_ITEMSIZE] = normalize, x.itemsize
    job.view(np.float64)[_EPS] = eps
    for field, tensor in tensors.items():
        job[field] = tensor.data_ptr()
    run(kernels[strips, x.dtype], job, torch.get_num_threads())


def _strip_groups(size: int, positions: int, itemsize: int) -> int:
    """Groups of a strip: whole lines of memory where groups are small, and no more than stay in the cache."""
    lines = max(1, _LINE // (size * itemsize))
    return lines * max(1, _STRIP // (lines * size * positions * itemsize))


@njit(fastmath=FAST, error_model="numpy")
def _likeness(x: Any, vector: Any, out: Any) -> None:
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


@njit(fastmath=FAST, error_model="numpy")
def _products(x: Any, grad: Any, out: Any) -> None:
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


@njit(fastmath=FAST, error_model="numpy")
def _to_gates(s: Any, gamma: Any, beta: Any, normalize: bool, eps: Any, statistics: Any) -> None:
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
        s[i] = sigmoid((s[i] - centre) * slope + beta)


@njit(fastmath=FAST, error_model="numpy")
def _to_gradients(
    s: Any, products: Any, gates: Any, gamma: Any, beta: Any, normalize: bool, eps: Any, statistics: Any
) -> Any:
    """Turn the likeness of one group into its gradient, in place, with the gates beside it; see `_likeness`, `_products`.

    Returns the gradients of gamma and beta.
    """
    zero, one = s.dtype.type(0), s.dtype.type(1)
    mean, deviation = (statistics[0], statistics[1]) if normalize else (zero, one)
    inverse = one / (deviation + eps) if normalize else one
    grad_gamma = grad_beta = zero
    for i in range(s.size):
        off = s[i] - mean
        gate = sigmoid(gamma * (off * inverse) + beta)
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


@njit(fastmath=FAST, error_model="numpy")
def _forward_plane(
    x: Any, y: Any, vector: Any, statistics: Any, gamma: Any, beta: Any, normalize: bool, eps: Any, s: Any
) -> None:
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


@njit(fastmath=FAST, error_model="numpy")
def _backward_plane(
    x: Any, grad: Any, grad_x: Any, vector: Any, statistics: Any, gamma: Any, beta: Any, normalize: bool, eps: Any, s: Any,
    products: Any, gates: Any,
) -> Any:
    """One group of one sample; returns the gradients of gamma and beta."""  # fmt: skip
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


@njit(fastmath=FAST, error_model="numpy")
def _products_of_quads(row: Any, other: Any, quads: Any) -> None:
    """Scalar products of four neighbouring channels each."""
    for j in range(quads.size):
        quads[j] = (row[4 * j] * other[4 * j] + row[4 * j + 1] * other[4 * j + 1]) + (
            row[4 * j + 2] * other[4 * j + 2] + row[4 * j + 3] * other[4 * j + 3]
        )


@njit(fastmath=FAST, error_model="numpy")
def _sum_quads(quads: Any, out: Any) -> None:
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


@njit(fastmath=FAST, error_model="numpy")
def _repeat(values: Any, quads: Any, row: Any) -> None:
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
def _transpose(matrix: Any, out: Any) -> None:
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j, i] = matrix[i, j]


@njit(fastmath=FAST, error_model="numpy")
def _forward_strip(
    x: Any, y: Any, vector: Any, statistics: Any, weight: Any, bias: Any, normalize: bool, eps: Any, quads: Any, row: Any,
    by_position: Any, s: Any,
) -> None:
    """Neighbouring groups of one sample, the first channels of (positions, all channels); `s` is (groups, positions)."""  # fmt: skip
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


@njit(fastmath=FAST, error_model="numpy")
def _backward_strip(
    x: Any, grad: Any, grad_x: Any, vector: Any, statistics: Any, weight: Any, bias: Any, normalize: bool, eps: Any,
    grad_weight: Any, grad_bias: Any, quads: Any, rows: Any, by_position: Any, s: Any, products: Any, gates: Any,
) -> None:
    """Neighbouring groups of one sample; see `_forward_strip`."""  # fmt: skip
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
def _at(job: Any, field: int, offset: int, shape: Any, dtype: Any) -> Any:
    """Array over what lies `offset` numbers behind a tensor's start."""
    return carray(pointer(job[field] + offset * job[_ITEMSIZE]), shape, dtype)


@njit
def _forward_planes(address: Any, dtype: Any) -> None:
    job = carray(address, _FIELDS, np.int64)
    eps = dtype(carray(address, _FIELDS, np.float64)[_EPS])
    units, groups, positions = job[_UNITS], job[_GROUPS], job[_POSITIONS]
    planes = (units, job[_CHANNELS] // groups, positions)
    x, y = _at(job, _X, 0, planes, dtype), _at(job, _Y, 0, planes, dtype)
    vector, statistics = _at(job, _MEAN_VECTOR, 0, planes[:2], dtype), _at(job, _STATISTICS, 0, (units, 2), dtype)
    weight, bias = _at(job, _WEIGHT, 0, (groups,), dtype), _at(job, _BIAS, 0, (groups,), dtype)
    s = np.empty(positions, dtype)
    while True:
        p = take(address)
        if p >= units:
            return
        g = p % groups
        _forward_plane(x[p], y[p], vector[p], statistics[p], weight[g], bias[g], job[_NORMALIZE] != 0, eps, s)


@njit
def _backward_planes(address: Any, dtype: Any) -> None:
    job = carray(address, _FIELDS, np.int64)
    eps = dtype(carray(address, _FIELDS, np.float64)[_EPS])
    units, groups, positions = job[_UNITS], job[_GROUPS], job[_POSITIONS]
    planes = (units, job[_CHANNELS] // groups, positions)
    x, grad, grad_x = _at(job, _X, 0, planes, dtype), _at(job, _GRAD, 0, planes, dtype), _at(job, _GRAD_X, 0, planes, dtype)
    vector, statistics = _at(job, _MEAN_VECTOR, 0, planes[:2], dtype), _at(job, _STATISTICS, 0, (units, 2), dtype)
    weight, bias = _at(job, _WEIGHT, 0, (groups,), dtype), _at(job, _BIAS, 0, (groups,), dtype)
    grad_weight, grad_bias = _at(job, _GRAD_WEIGHT, 0, (units,), dtype), _at(job, _GRAD_BIAS, 0, (units,), dtype)
    s, products, gates = np.empty(positions, dtype), np.empty(positions, dtype), np.empty(positions, dtype)
    while True:
        p = take(address)
        if p >= units:
            return
        g = p % groups
        grad_weight[p], grad_bias[p] = _backward_plane(
            x[p], grad[p], grad_x[p], vector[p], statistics[p], weight[g], bias[g], job[_NORMALIZE] != 0, eps,
            s, products, gates,
        )  # fmt: skip


@njit
def _forward_strips(address: Any, dtype: Any) -> None:
    job = carray(address, _FIELDS, np.int64)
    eps = dtype(carray(address, _FIELDS, np.float64)[_EPS])
    units, channels, groups, positions = job[_UNITS], job[_CHANNELS], job[_GROUPS], job[_POSITIONS]
    width, size = job[_STRIP_GROUPS], channels // groups
    strips = (groups + width - 1) // width
    rows, matrices = np.empty((2, width * size), dtype), np.empty((2, width * positions), dtype)
    while True:
        unit = take(address)
        if unit >= units:
            return
        n, first = unit // strips, unit % strips * width
        count = min(width, groups - first)
        start, used = n * positions * channels + first * size, count * positions
        _forward_strip(
            _at(job, _X, start, (positions, channels), dtype),
            _at(job, _Y, start, (positions, channels), dtype),
            _at(job, _MEAN_VECTOR, n * channels + first * size, (count * size,), dtype),
            _at(job, _STATISTICS, (n * groups + first) * 2, (count, 2), dtype),
            _at(job, _WEIGHT, first, (count,), dtype),
            _at(job, _BIAS, first, (count,), dtype),
            job[_NORMALIZE] != 0,
            eps,
            rows[0][: count * size // 4],
            rows[1][: count * size],
            matrices[0][:used].reshape(positions, count),
            matrices[1][:used].reshape(count, positions),
        )


@njit
def _backward_strips(address: Any, dtype: Any) -> None:
    job = carray(address, _FIELDS, np.int64)
    eps = dtype(carray(address, _FIELDS, np.float64)[_EPS])
    units, channels, groups, positions = job[_UNITS], job[_CHANNELS], job[_GROUPS], job[_POSITIONS]
    width, size = job[_STRIP_GROUPS], channels // groups
    strips = (groups + width - 1) // width
    rows, matrices = np.empty((4, width * size), dtype), np.empty((5, width * positions), dtype)
    while True:
        unit = take(address)
        if unit >= units:
            return
        n, first = unit // strips, unit % strips * width
        count = min(width, groups - first)
        start, used = n * positions * channels + first * size, count * positions
        _backward_strip(
            _at(job, _X, start, (positions, channels), dtype),
            _at(job, _GRAD, start, (positions, channels), dtype),
            _at(job, _GRAD_X, start, (positions, channels), dtype),
            _at(job, _MEAN_VECTOR, n * channels + first * size, (count * size,), dtype),
            _at(job, _STATISTICS, (n * groups + first) * 2, (count, 2), dtype),
            _at(job, _WEIGHT, first, (count,), dtype),
            _at(job, _BIAS, first, (count,), dtype),
            job[_NORMALIZE] != 0,
            eps,
            _at(job, _GRAD_WEIGHT, n * groups + first, (count,), dtype),
            _at(job, _GRAD_BIAS, n * groups + first, (count,), dtype),
            rows[0][: count * size // 4],
            (rows[1][: count * size], rows[2][: count * size], rows[3][: count * size]),
            (matrices[0][:used].reshape(positions, count), matrices[1][:used].reshape(positions, count)),
            matrices[2][:used].reshape(count, positions),
            matrices[3][:used].reshape(count, positions),
            matrices[4][:used].reshape(count, positions),
        )


# Functions of their own for each type: numba keeps compiled code on disk for such as have a name in the module.


def _forward_planes32(address: Any) -> None:
    _forward_planes(address, np.float32)


def _forward_planes64(address: Any) -> None:
    _forward_planes(address, np.float64)


def _forward_strips32(address: Any) -> None:
    _forward_strips(address, np.float32)


def _forward_strips64(address: Any) -> None:
    _forward_strips(address, np.float64)


def _backward_planes32(address: Any) -> None:
    _backward_planes(address, np.float32)


def _backward_planes64(address: Any) -> None:
    _backward_planes(address, np.float64)


def _backward_strips32(address: Any) -> None:
    _backward_strips(address, np.float32)


def _backward_strips64(address: Any) -> None:
    _backward_strips(address, np.float64)


_FORWARD = {(False, torch.float32): _forward_planes32, (False, torch.float64): _forward_planes64,
            (True, torch.float32): _forward_strips32, (True, torch.float64): _forward_strips64}  # fmt: skip
_BACKWARD = {(False, torch.float32): _backward_planes32, (False, torch.float64): _backward_planes64,
             (True, torch.float32): _backward_strips32, (True, torch.float64): _backward_strips64}  # fmt: skip
