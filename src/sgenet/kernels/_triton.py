"""The Triton kernels behind `sgenet.kernels.cuda`, which says what each form is for; the equations: `sgenet.kernels`.

A program's block is GROUPS neighbouring groups of one sample, each of SIZE channels, in ROWS >= SIZE rows; a tile is
that block at TILE positions, (GROUPS * ROWS, TILE), in either memory format (LAST: channels_last). The number of
positions is `units` times ALIGN, so that the compiler knows how rows are aligned. EVEN: no row of any block is empty.
"""

import triton
import triton.language as tl

__all__ = ["backward_looped", "backward_on_chip", "forward_looped", "forward_on_chip"]

# STEP, what a launch of a looped kernel does: one pass, or ALL.
MEAN, LIKENESS, SUMS, WRITE, ALL = (tl.constexpr(bits) for bits in (1, 2, 4, 8, 15))


@triton.jit
def _block(groups, SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """Sample; the block's groups (GROUPS); its channels (GROUPS * ROWS) and which of them exist."""
    blocks = tl.cdiv(groups, GROUPS)
    first = tl.program_id(0) % blocks * GROUPS
    row = tl.arange(0, GROUPS * ROWS)
    channel = first * SIZE + row  # so that the compiler sees that neighbouring rows are neighbouring channels
    if SIZE != ROWS:
        channel = (first + row // ROWS) * SIZE + row % ROWS
    there = (row % ROWS < SIZE) & (first + row // ROWS < groups)
    return (tl.program_id(0) // blocks).to(tl.int64), first + tl.arange(0, GROUPS), channel, there


@triton.jit
def _at(channel, there, position, channels, positions, LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr):
    """Offsets within the sample and mask of a tile; `there` is left out where no row is empty (EVEN)."""
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
def _group_sum(tile, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """(GROUPS * ROWS, positions) -> (GROUPS, positions)."""
    return tl.sum(tl.reshape(tile, (GROUPS, ROWS, tile.shape[1])), 1)


@triton.jit
def _spread(value, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """(GROUPS, positions) -> (GROUPS * ROWS, positions): each group's row for all its channels."""
    wide = tl.broadcast_to(value[:, None, :], (GROUPS, ROWS, value.shape[1]))
    return tl.reshape(wide, (GROUPS * ROWS, value.shape[1]))


@triton.jit
def _scale(deviation, positions, NORMALIZE: tl.constexpr, EPS: tl.constexpr):
    """By which the centred likeness is multiplied: 1 where it is not normalised, 0 over a single position."""
    scale = tl.full(deviation.shape, 1, deviation.dtype)
    if NORMALIZE:
        scale = tl.where(positions > 1, scale / (deviation + EPS), 0)
    return scale


@triton.jit
def _saved(weight, bias, statistics, one, group, grouped, positions, NORMALIZE: tl.constexpr, EPS: tl.constexpr):
    """Mean, deviation and scale of the block's likeness, gamma times that scale, and beta; each (GROUPS)."""
    REAL: tl.constexpr = statistics.dtype.element_ty
    mean = tl.load(statistics + 2 * one, grouped, 0)
    deviation = tl.load(statistics + 2 * one + 1, grouped, 0)
    scale = _scale(deviation, positions, NORMALIZE, EPS)
    factor = tl.load(weight + group, grouped, 0).to(REAL) * scale
    return mean, deviation, scale, factor, tl.load(bias + group, grouped, 0).to(REAL)


@triton.jit
def _before_gate(tile, slope, mu, mean, factor, beta, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """Centred likeness, gate, and the gradient of what the gate's sigmoid is of; each (GROUPS, positions)."""
    centred = _group_sum(tile * mu[:, None], GROUPS, ROWS) - mean[:, None]
    gate = tl.sigmoid(factor[:, None] * centred + beta[:, None])
    return centred, gate, _group_sum(tile * slope, GROUPS, ROWS) * gate * (1 - gate)


@triton.jit
def _through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE: tl.constexpr):
    """What mean and deviation take from the likeness's gradient: ds = factor dt - shift - k centred."""
    shift, k = tl.zeros_like(sum_dt), tl.zeros_like(sum_dt)
    if NORMALIZE:
        shift = factor * sum_dt / positions
        varied = tl.where(deviation > 0, deviation, 1)
        k = tl.where(deviation > 0, factor * sum_dz / (tl.maximum(positions - 1, 1) * varied), 0)
    return shift, k


@triton.jit
def _sum_parts(pointer, chunks, stride, at, there, PARTS: tl.constexpr):
    """The sum over `chunks` <= PARTS partial results, `stride` apart."""
    chunk = tl.arange(0, PARTS)[:, None]
    return tl.sum(tl.load(pointer + chunk * stride + at[None, :], (chunk < chunks) & there[None, :], 0), 0)


@triton.jit(do_not_specialize=["units"])
def forward_on_chip(
    x, y, weight, bias, mean_vector, statistics, groups, units,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = _block(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    position = tl.arange(0, TILE)
    offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
    tile = tl.load(x + base + offset, inside, 0).to(REAL)

    mu = tl.sum(tile, 1) / positions
    likeness = _group_sum(tile * mu[:, None], GROUPS, ROWS)
    mean, deviation = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if NORMALIZE:
        mean = tl.sum(likeness, 1) / positions
        likeness = tl.where((position < positions)[None, :], likeness - mean[:, None], 0)
        deviation = tl.sqrt(tl.sum(likeness * likeness, 1) / tl.maximum(positions - 1, 1))
    factor = tl.load(weight + group, grouped, 0).to(REAL) * _scale(deviation, positions, NORMALIZE, EPS)
    beta = tl.load(bias + group, grouped, 0).to(REAL)
    gate = tl.sigmoid(factor[:, None] * likeness + beta[:, None])
    tl.store(y + base + offset, (tile * _spread(gate, GROUPS, ROWS)).to(y.dtype.element_ty), inside)

    tl.store(mean_vector + row, mu, there)
    tl.store(statistics + 2 * one, mean, grouped)
    tl.store(statistics + 2 * one + 1, deviation, grouped)


@triton.jit(do_not_specialize=["units"])
def backward_on_chip(
    grad, x, grad_x, weight, bias, mean_vector, statistics, weight_parts, bias_parts, groups, units,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = _block(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    offset, inside = _at(channel, there, tl.arange(0, TILE), channels, positions, LAST, EVEN, LONG)
    tile = tl.load(x + base + offset, inside, 0).to(REAL)
    slope = tl.load(grad + base + offset, inside, 0).to(REAL)

    mu = tl.load(mean_vector + row, there, 0)
    mean, deviation, scale, factor, beta = _saved(
        weight, bias, statistics, one, group, grouped, positions, NORMALIZE, EPS
    )
    centred, gate, dt = _before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
    sum_dt, sum_dz = tl.sum(dt, 1), tl.sum(dt * centred, 1) * scale
    tl.store(weight_parts + one, sum_dz, grouped)
    tl.store(bias_parts + one, sum_dt, grouped)

    shift, k = _through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE)
    ds = _spread(factor[:, None] * dt - shift[:, None] - k[:, None] * centred, GROUPS, ROWS)
    dmu = tl.sum(tile * ds, 1) / positions
    out = slope * _spread(gate, GROUPS, ROWS) + mu[:, None] * ds + dmu[:, None]
    tl.store(grad_x + base + offset, out.to(grad_x.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["samples", "units", "tiles", "chunks"])
def forward_looped(
    x, y, weight, bias, mean_vector, statistics, vector_parts, parts, samples, groups, units, tiles, chunks,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
    STEP: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Walks the `tiles` tiles of chunk program_id(1): up, down and up again."""
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = _block(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    chunk = tl.program_id(1)
    first, last = chunk * tiles, chunk * tiles + tiles - 1

    mu = tl.zeros((GROUPS * ROWS,), REAL)
    if STEP & MEAN:
        total = tl.zeros((GROUPS * ROWS, TILE), REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
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

    # The mean of <mu, x_i> is <mu, mu>, up to rounding: about it, the sums of deviations and squares lose nothing.
    about = tl.sum(tl.reshape(mu * mu, (GROUPS, ROWS)), 1)
    drift, square = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if NORMALIZE and STEP & LIKENESS:
        drifts, squares = tl.zeros((GROUPS, TILE), REAL), tl.zeros((GROUPS, TILE), REAL)
        for i in range(tiles):
            position = (last - i) * TILE + tl.arange(0, TILE)
            offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            likeness = _group_sum(tl.load(x + base + offset, inside, 0).to(REAL) * mu[:, None], GROUPS, ROWS)
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
            mean = about + drift / positions
            square = tl.maximum(square - drift * (drift / positions), 0)
            deviation = tl.sqrt(square / tl.maximum(positions - 1, 1))
        tl.store(statistics + 2 * one, mean, grouped & (chunk == 0))
        tl.store(statistics + 2 * one + 1, deviation, grouped & (chunk == 0))
        factor = tl.load(weight + group, grouped, 0).to(REAL) * _scale(deviation, positions, NORMALIZE, EPS)
        beta = tl.load(bias + group, grouped, 0).to(REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0, eviction_policy="evict_first").to(REAL)
            centred = _group_sum(tile * mu[:, None], GROUPS, ROWS) - mean[:, None]
            gate = _spread(tl.sigmoid(factor[:, None] * centred + beta[:, None]), GROUPS, ROWS)
            tl.store(y + base + offset, (tile * gate).to(y.dtype.element_ty), inside, eviction_policy="evict_first")


@triton.jit(do_not_specialize=["samples", "units", "tiles", "chunks"])
def backward_looped(
    grad, x, grad_x, weight, bias, mean_vector, statistics, weight_parts, bias_parts, vector_parts,
    samples, groups, units, tiles, chunks,
    SIZE: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, ALIGN: tl.constexpr,
    LAST: tl.constexpr, EVEN: tl.constexpr, LONG: tl.constexpr, NORMALIZE: tl.constexpr, EPS: tl.constexpr,
    STEP: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Walks the `tiles` tiles of chunk program_id(1): up and down."""
    REAL: tl.constexpr = mean_vector.dtype.element_ty
    positions, channels = units * ALIGN, groups * SIZE
    sample, group, channel, there = _block(groups, SIZE, GROUPS, ROWS)
    row, one, grouped = sample * channels + channel, sample * groups + group, group < groups
    base = sample * channels * positions
    chunk = tl.program_id(1)
    first, last = chunk * tiles, chunk * tiles + tiles - 1

    mu = tl.load(mean_vector + row, there, 0)
    mean, deviation, scale, factor, beta = _saved(
        weight, bias, statistics, one, group, grouped, positions, NORMALIZE, EPS
    )

    by_dt, by_likeness = tl.zeros((GROUPS * ROWS,), REAL), tl.zeros((GROUPS * ROWS,), REAL)
    sum_dt, sum_dz = tl.zeros((GROUPS,), REAL), tl.zeros((GROUPS,), REAL)
    if STEP & SUMS:
        x_dt, x_likeness = tl.zeros((GROUPS * ROWS, TILE), REAL), tl.zeros((GROUPS * ROWS, TILE), REAL)
        dts, dzs = tl.zeros((GROUPS, TILE), REAL), tl.zeros((GROUPS, TILE), REAL)
        for i in range(tiles):
            position = (first + i) * TILE + tl.arange(0, TILE)
            offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0).to(REAL)
            slope = tl.load(grad + base + offset, inside, 0).to(REAL)
            centred, gate, dt = _before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
            dts += dt
            dzs += dt * centred
            x_dt += tile * _spread(dt, GROUPS, ROWS)
            x_likeness += tile * _spread(centred, GROUPS, ROWS)
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
        shift, k = _through_statistics(sum_dt, sum_dz, factor, deviation, positions, NORMALIZE)
        dmu = _spread(factor[:, None], GROUPS, ROWS) * (by_dt / positions)[:, None]
        dmu -= _spread(shift[:, None], GROUPS, ROWS) * mu[:, None]
        dmu -= _spread(k[:, None], GROUPS, ROWS) * (by_likeness / positions)[:, None]
        for i in range(tiles):
            position = (last - i) * TILE + tl.arange(0, TILE)
            offset, inside = _at(channel, there, position, channels, positions, LAST, EVEN, LONG)
            tile = tl.load(x + base + offset, inside, 0, eviction_policy="evict_first").to(REAL)
            slope = tl.load(grad + base + offset, inside, 0, eviction_policy="evict_first").to(REAL)
            centred, gate, dt = _before_gate(tile, slope, mu, mean, factor, beta, GROUPS, ROWS)
            ds = _spread(factor[:, None] * dt - shift[:, None] - k[:, None] * centred, GROUPS, ROWS)
            out = slope * _spread(gate, GROUPS, ROWS) + mu[:, None] * ds + dmu
            tl.store(grad_x + base + offset, out.to(grad_x.dtype.element_ty), inside, eviction_policy="evict_first")
