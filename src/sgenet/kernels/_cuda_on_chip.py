"""Kernels for planes that fit registers: each map is read once and written once."""

import triton
import triton.language as tl

from sgenet.kernels._cuda_tiles import (
    before_gate,
    block_of,
    finish,
    gradient_at,
    group_sum,
    mean_and_deviation,
    saved_of,
    scale_of,
    spread,
    through_statistics,
    tile_at,
)

__all__ = ["backward_on_chip", "forward_on_chip"]


@triton.jit(do_not_specialize=["units"])
def forward_on_chip(
    x, identity, y, weight, bias, mean_vector, statistics, groups, units,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
    RELU: tl.constexpr,
):  # fmt: skip
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = block_of(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    position = tl.arange(0, TILE)
    offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
    tile = tl.load(x + base + offset, inside, 0).to(REAL)
    shortcut = None
    if identity is not None:  # loaded here, since no load moves across the barriers of the sums
        shortcut = tl.load(identity + base + offset, inside, 0)

    mu = tl.sum(tile, 1) / positions
    likeness = group_sum(tile * mu[:, None], GROUPS, ROWS)
    mean, deviation, drift = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if NORMALIZE:
        about = tl.sum(likeness, 1) / positions  # with <mu, mu>, Triton gives every thread all positions
        likeness = tl.where((position < positions)[None, :], likeness - about[:, None], 0)
        drift = tl.sum(likeness, 1)
        mean, deviation = mean_and_deviation(about, drift, tl.sum(likeness * likeness, 1), positions)
    factor = tl.load(weight + group, grouped, 0).to(REAL) * scale_of(deviation, positions, NORMALIZE, EPS)
    beta = tl.load(bias + group, grouped, 0).to(REAL) - factor * (drift / positions)
    gate = tl.sigmoid(factor[:, None] * likeness + beta[:, None])
    out = finish(tile * spread(gate, GROUPS, ROWS), shortcut, RELU)
    tl.store(y + base + offset, out.to(y.dtype.element_ty), inside)

    tl.store(mean_vector + row, mu, there)
    tl.store(statistics + 2 * one, mean, grouped)
    tl.store(statistics + 2 * one + 1, deviation, grouped)


@triton.jit(do_not_specialize=["units"])
def backward_on_chip(
    grad, x, y, grad_x, grad_identity, weight, bias, mean_vector, statistics, weight_parts, bias_parts,
    groups, units,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = block_of(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    offset, inside = tile_at(channel, there, tl.arange(0, TILE), channels, positions, LAST, EVEN, LONG)
    tile = tl.load(x + base + offset, inside, 0).to(REAL)
    slope = gradient_at(grad, y, base, offset, inside, "")
    if grad_identity is not None:
        tl.store(grad_identity + base + offset, slope, inside)
    slope = slope.to(REAL)

    mu = tl.load(mean_vector + row, there, 0)
    mean, deviation, scale, factor, beta = saved_of(
        weight, bias, statistics, one, group, grouped, positions, NORMALIZE, EPS
    )
    centred, gate, dt = before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
    sum_dt, sum_dz = tl.sum(dt, 1), tl.sum(dt * centred, 1) * scale
    tl.store(weight_parts + one, sum_dz, grouped)
    tl.store(bias_parts + one, sum_dt, grouped)

    shift, k = through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE)
    ds = spread(factor[:, None] * dt - shift[:, None] - k[:, None] * centred, GROUPS, ROWS)
    dmu = tl.sum(tile * ds, 1) / positions
    out = slope * spread(gate, GROUPS, ROWS) + mu[:, None] * ds + dmu[:, None]
    tl.store(grad_x + base + offset, out.to(grad_x.dtype.element_ty), inside)
