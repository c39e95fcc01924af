"""Helpers of the Triton kernels of SGE; forms: `sgenet.kernels.cuda`, equations: `sgenet.kernels`.

A program's block is GROUPS neighbouring groups of one sample, each of SIZE channels, in ROWS >= SIZE rows; a tile is
that block at TILE positions, (GROUPS * ROWS, TILE), in either memory format (LAST: channels_last). The number of
positions is `units` times ALIGN, so that the compiler knows how rows are aligned. EVEN: no row of any block is empty.
LONG: a sample needs 64-bit offsets. `one` is the index of a group among the groups of all samples.
"""

import triton
import triton.language as tl

__all__ = [
    "before_gate",
    "block_of",
    "finish",
    "gradient_at",
    "group_sum",
    "mean_and_deviation",
    "saved_of",
    "scale_of",
    "spread",
    "square_of",
    "through_statistics",
    "tile_at",
]


@triton.jit
def block_of(groups, SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """Sample; the block's groups (GROUPS); its channels (GROUPS * ROWS) and which of them exist."""
    blocks = tl.cdiv(groups, GROUPS)
    first = tl.program_id(0) % blocks * GROUPS
    row = tl.arange(0, GROUPS * ROWS)
    channel = first * SIZE + row  # shows the compiler that neighbouring rows are neighbouring channels
    if SIZE != ROWS:
        channel = (first + row // ROWS) * SIZE + row % ROWS
    there = (row % ROWS < SIZE) & (first + row // ROWS < groups)
    return (tl.program_id(0) // blocks).to(tl.int64), first + tl.arange(0, GROUPS), channel, there


@triton.jit
def tile_at(channel, there, position, channels, positions, LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr):
    """Offsets within the sample and mask of a tile; `there` is not used if no row is empty (EVEN)."""
    if LONG:
        channel, position = channel.to(tl.int64), position.to(tl.int64)
    if LAST:
        offset = position[None, :] * channels + channel[:, None]
    else:
        offset = channel[:, None] * positions + position[None, :]
    inside = (position < positions)[None, :]
    if not EVEN:
        inside = inside & there[:, None]
    return offset, inside


@triton.jit
def gradient_at(grad, y, base, offset, inside, POLICY: tl.constexpr):
    """The gradient, before the ReLU whose output is `y` unless that is None: 0 where y <= 0, unchanged if y is NaN."""
    slope = tl.load(grad + base + offset, inside, 0, eviction_policy=POLICY)
    if y is not None:
        slope = tl.where(tl.load(y + base + offset, inside, 0, eviction_policy=POLICY) <= 0, 0, slope)
    return slope


@triton.jit
def finish(out, shortcut, RELU: tl.constexpr):
    """Add the shortcut, if it is not None, and apply a ReLU, if asked; NaN remains NaN."""
    if shortcut is not None:
        out += shortcut.to(out.dtype)
    if RELU:
        out = tl.where(out <= 0, 0, out)
    return out


@triton.jit
def group_sum(tile, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """(GROUPS * ROWS, positions) -> (GROUPS, positions)."""
    return tl.sum(tl.reshape(tile, (GROUPS, ROWS, tile.shape[1])), 1)


@triton.jit
def spread(value, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """(GROUPS, positions) -> (GROUPS * ROWS, positions): each group's row is copied to all its channels."""
    wide = tl.broadcast_to(value[:, None, :], (GROUPS, ROWS, value.shape[1]))
    return tl.reshape(wide, (GROUPS * ROWS, value.shape[1]))


@triton.jit
def square_of(mu, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """<mu, mu>, the mean of the similarity <mu, x_i> up to rounding; (GROUPS)."""
    return tl.sum(tl.reshape(mu * mu, (GROUPS, ROWS)), 1)


@triton.jit
def mean_and_deviation(about, drift, square, positions):
    """Mean and unbiased deviation from the sums of (s - about) and its square, where about is close to the mean."""
    square = tl.maximum(square - drift * (drift / positions), 0)
    return about + drift / positions, tl.sqrt(square / tl.maximum(positions - 1, 1))


@triton.jit
def scale_of(deviation, positions, NORMALIZE: tl.constexpr, EPS: tl.constexpr):
    """Factor of the centred similarity: 1 if it is not normalised, 0 for a single position."""
    scale = tl.full(deviation.shape, 1, deviation.dtype)
    if NORMALIZE:
        scale = tl.where(positions > 1, scale / (deviation + EPS), 0)
    return scale


@triton.jit
def saved_of(weight, bias, statistics, one, group, grouped, positions, NORMALIZE: tl.constexpr, EPS: tl.constexpr):
    """Mean, deviation and scale of the block's similarity, gamma times that scale, and beta; each (GROUPS)."""
    REAL: tl.constexpr = statistics.dtype.element_ty
    mean = tl.load(statistics + 2 * one, grouped, 0)
    deviation = tl.load(statistics + 2 * one + 1, grouped, 0)
    scale = scale_of(deviation, positions, NORMALIZE, EPS)
    factor = tl.load(weight + group, grouped, 0).to(REAL) * scale
    return mean, deviation, scale, factor, tl.load(bias + group, grouped, 0).to(REAL)


@triton.jit
def before_gate(tile, slope, mu, mean, factor, beta, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """Centred similarity, gate, and the gradient with respect to the sigmoid's argument; each (GROUPS, positions)."""
    centred = group_sum(tile * mu[:, None], GROUPS, ROWS) - mean[:, None]
    gate = tl.sigmoid(factor[:, None] * centred + beta[:, None])
    return centred, gate, group_sum(tile * slope, GROUPS, ROWS) * gate * (1 - gate)


@triton.jit
def through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE: tl.constexpr):
    """Terms of the similarity's gradient through mean and deviation: ds = factor dt - shift - k centred."""
    shift, k = tl.zeros_like(sum_dt), tl.zeros_like(sum_dt)
    if NORMALIZE:
        shift = factor * sum_dt / positions
        k = tl.where(deviation > 0, factor * sum_dz / ((positions - 1) * deviation), 0)
    return shift, k
