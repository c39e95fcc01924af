"""Kernels for larger planes: several passes over tiles of positions, in a single launch or one launch per pass."""

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
    square_of,
    through_statistics,
    tile_at,
)

__all__ = ["ALL", "LIKENESS", "MEAN", "SUMS", "WRITE", "backward_looped", "forward_looped"]

# STEP: the pass of a launch, or ALL.
MEAN, LIKENESS, SUMS, WRITE, ALL = (tl.constexpr(bits) for bits in (1, 2, 4, 8, 15))


@triton.jit
def _sum_parts(pointer, chunks, stride, at, there, PARTS: tl.constexpr):
    """The sum over `chunks` <= PARTS partial results, `stride` apart."""
    chunk = tl.arange(0, PARTS)[:, None]
    return tl.sum(tl.load(pointer + chunk * stride + at[None, :], (chunk < chunks) & there[None, :], 0), 0)


@triton.jit(do_not_specialize=["samples", "units", "tiles", "chunks"])
def forward_looped(
    x, identity, y, weight, bias, mean_vector, statistics, vector_parts, parts,
    groups, units, samples, tiles, chunks,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
    RELU: tl.constexpr, STEP: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Process the `tiles` tiles of chunk program_id(1) in three passes: up, down and up."""
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = block_of(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    chunk = tl.program_id(1)
    first, last = chunk * tiles, chunk * tiles + tiles - 1

    mu = tl.zeros((GROUPS * ROWS,), REAL)
    if STEP & MEAN:
        total = tl.zeros((GROUPS * ROWS, TILE), REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            total += tl.load(x + base + offset, inside, 0).to(REAL)
        mu = tl.sum(total, 1) / positions
    if STEP == MEAN:
        tl.store(vector_parts + chunk * samples * channels + row, mu, there)
    if STEP == LIKENESS:
        mu = _sum_parts(vector_parts, chunks, samples * channels, row, there, PARTS)
    if STEP == WRITE:
        mu = tl.load(mean_vector + row, there, 0)
    elif STEP != MEAN:
        tl.store(mean_vector + row, mu, there & (chunk == 0))

    about = square_of(mu, GROUPS, ROWS)
    drift, square = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if NORMALIZE and STEP & LIKENESS:
        drifts, squares = tl.zeros((GROUPS, TILE), REAL), tl.zeros((GROUPS, TILE), REAL)
        for i in range(tiles):
            position = (last - i) * TILE + tl.arange(0, TILE)
            offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            likeness = group_sum(tl.load(x + base + offset, inside, 0).to(REAL) * mu[:, None], GROUPS, ROWS)
            likeness = tl.where((position < positions)[None, :], likeness - about[:, None], 0)
            drifts += likeness
            squares += likeness * likeness
        drift, square = tl.sum(drifts, 1), tl.sum(squares, 1)
    if STEP == LIKENESS:
        tl.store(parts + chunk * samples * groups * 2 + 2 * one, drift, grouped)
        tl.store(parts + chunk * samples * groups * 2 + 2 * one + 1, square, grouped)
    if STEP == WRITE:
        drift = _sum_parts(parts, chunks, samples * groups * 2, 2 * one, grouped, PARTS)
        square = _sum_parts(parts, chunks, samples * groups * 2, 2 * one + 1, grouped, PARTS)

    if STEP & WRITE:
        mean, deviation = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
        if NORMALIZE:
            mean, deviation = mean_and_deviation(about, drift, square, positions)
        tl.store(statistics + 2 * one, mean, grouped & (chunk == 0))
        tl.store(statistics + 2 * one + 1, deviation, grouped & (chunk == 0))
        factor = tl.load(weight + group, grouped, 0).to(REAL) * scale_of(deviation, positions, NORMALIZE, EPS)
        beta = tl.load(bias + group, grouped, 0).to(REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0, eviction_policy="evict_first").to(REAL)
            shortcut = None
            if identity is not None:
                shortcut = tl.load(identity + base + offset, inside, 0, eviction_policy="evict_first")
            centred = group_sum(tile * mu[:, None], GROUPS, ROWS) - mean[:, None]
            gate = spread(tl.sigmoid(factor[:, None] * centred + beta[:, None]), GROUPS, ROWS)
            out = finish(tile * gate, shortcut, RELU)
            tl.store(y + base + offset, out.to(y.dtype.element_ty), inside, eviction_policy="evict_first")


@triton.jit(do_not_specialize=["samples", "units", "tiles", "chunks"])
def backward_looped(
    grad, x, y, grad_x, grad_identity, weight, bias, mean_vector, statistics, weight_parts, bias_parts, vector_parts,
    groups, units, samples, tiles, chunks,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
    STEP: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Process the `tiles` tiles of chunk program_id(1) in two passes: up and down.

    The first pass writes the gradient of the identity, and the second reads this map instead of grad and y.
    """
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = block_of(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    chunk = tl.program_id(1)
    first, last = chunk * tiles, chunk * tiles + tiles - 1

    mu = tl.load(mean_vector + row, there, 0)
    mean, deviation, scale, factor, beta = saved_of(
        weight, bias, statistics, one, group, grouped, positions, NORMALIZE, EPS
    )

    by_dt, by_likeness = tl.zeros((GROUPS * ROWS,), REAL), tl.zeros((GROUPS * ROWS,), REAL)
    sum_dt, sum_dz = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if STEP & SUMS:
        # What the second pass reads again stays in the cache.
        policy: tl.constexpr = "" if grad_identity is None else "evict_first"
        x_dt, x_likeness = tl.zeros((GROUPS * ROWS, TILE), REAL), tl.zeros((GROUPS * ROWS, TILE), REAL)
        dts, dzs = tl.zeros((GROUPS, TILE), REAL), tl.zeros((GROUPS, TILE), REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0).to(REAL)
            slope = gradient_at(grad, y, base, offset, inside, policy)
            if grad_identity is not None:
                tl.store(grad_identity + base + offset, slope, inside)
            slope = slope.to(REAL)
            centred, gate, dt = before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
            dts += dt
            dzs += dt * centred
            x_dt += tile * spread(dt, GROUPS, ROWS)
            x_likeness += tile * spread(centred, GROUPS, ROWS)
        by_dt, by_likeness = tl.sum(x_dt, 1), tl.sum(x_likeness, 1)
        sum_dt, sum_dz = tl.sum(dts, 1), tl.sum(dzs, 1) * scale
        tl.store(weight_parts + chunk * samples * groups + one, sum_dz, grouped)
        tl.store(bias_parts + chunk * samples * groups + one, sum_dt, grouped)
    size = samples * channels
    if STEP == SUMS:
        tl.store(vector_parts + chunk * 2 * size + row, by_dt, there)
        tl.store(vector_parts + (chunk * 2 + 1) * size + row, by_likeness, there)
    if STEP == WRITE:
        by_dt = _sum_parts(vector_parts, chunks, 2 * size, row, there, PARTS)
        by_likeness = _sum_parts(vector_parts + size, chunks, 2 * size, row, there, PARTS)
        sum_dz = _sum_parts(weight_parts, chunks, samples * groups, one, grouped, PARTS)
        sum_dt = _sum_parts(bias_parts, chunks, samples * groups, one, grouped, PARTS)

    if STEP & WRITE:
        if grad_identity is not None:
            grad, y = grad_identity, None
            tl.debug_barrier()  # other threads of the program may have written what a thread reads now
        shift, k = through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE)
        dmu = spread(factor[:, None], GROUPS, ROWS) * (by_dt / positions)[:, None]
        dmu -= spread(shift[:, None], GROUPS, ROWS) * mu[:, None]
        dmu -= spread(k[:, None], GROUPS, ROWS) * (by_likeness / positions)[:, None]
        for i in range(tiles):
            position = (last - i) * TILE + tl.arange(0, TILE)
            offset, inside = tile_at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0, eviction_policy="evict_first").to(REAL)
            slope = gradient_at(grad, y, base, offset, inside, "evict_first").to(REAL)
            centred, gate, dt = before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
            ds = spread(factor[:, None] * dt - shift[:, None] - k[:, None] * centred, GROUPS, ROWS)
            out = slope * spread(gate, GROUPS, ROWS) + mu[:, None] * ds + dmu
            tl.store(grad_x + base + offset, out.to(grad_x.dtype.element_ty), inside, eviction_policy="evict_first")
