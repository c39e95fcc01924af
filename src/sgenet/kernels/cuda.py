"""SGE on CUDA: Triton kernels, forward and backward, with what follows SGE in a residual block.

The result is relu(SGE(x) + identity), where the identity may be absent and the ReLU off. A group of one sample is a
plane of m = C/G channels by S = H*W positions. A program processes a block of neighbouring groups of one sample, in
either memory format, and works on tiles of (channels of the block) x (positions).

    form      chosen where                      forward                      backward
    on chip   a block's planes fit registers    reads x once, writes y       reads x and grad once, writes grad_x
    looped    planes are larger                 reads x three times (mean,   reads x and grad twice (sums; write)
                                                similarity, write)
    split     looped, and too few blocks to     as looped, but a launch for each pass and several programs
              occupy the device                 for each block, whose partial sums the next launch adds

The identity is read once, in the pass that writes y. Backward, the gradient is first masked by y, the output of the
ReLU, and the masked gradient is that of the identity. The looped forms write it in the first pass, which is the only
one to read grad and y: the second pass reads the masked gradient, one map instead of two. In numbers of maps moved:

              forward               backward
              plain   whole tail    plain   ReLU only   whole tail
    on chip   2       3             3       4           5
    looped    4       5             5       7           7

In the looped form, one program makes all passes over its planes, each in the opposite direction of the previous one.
The data read last is then read first, from a cache, so that the traffic to device memory is close to that of the form
on chip. The split form gives this up where most of the device would otherwise be idle, as with the few, large maps of a
detector. Only the mean vectors and two statistics per group are kept from forward to backward; the similarity is
recomputed. Sums are in fp32 (fp64 for fp64), without atomics: equal inputs give equal bits on the same device.

In channels_last a group is m neighbouring numbers, often fewer than the 32 bytes of a memory transaction. A block
therefore has as many groups as fill 64 bytes, or 32 if that makes it fit on chip.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from sgenet.kernels import _cuda_looped, _cuda_on_chip
from sgenet.kernels._cuda_looped import ALL, LIKENESS, MEAN, SUMS, WRITE
from sgenet.kernels.reference import sum_type

__all__ = ["backward", "forward"]

_ON_CHIP = 16384  # elements of a tile in registers, 32 for each thread of 16 warps
_LOOPED = 16384  # elements of each tile of a larger plane, over all maps that are read
_LEAST = 2048  # elements of a tile below which a program processes more groups, for enough memory traffic
_LONG = 2**31  # elements of a sample from which 64-bit offsets are used
_CHUNKS = 64  # largest number of chunks of a plane


class _Plan(NamedTuple):
    """How a map is divided into blocks and tiles."""

    grid: tuple[int, int]  # blocks of all samples, and chunks of positions
    sizes: tuple[int, ...]  # arguments of the kernels: sizes
    constants: dict[str, Any]  # arguments of the kernels: constants
    looped: bool


def _plan(x: Tensor, reads: int, groups: int, normalize: bool, eps: float) -> _Plan:
    """Select form and tiles by shape, type, memory format and device; `reads` maps are in registers at a time."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    size, positions = x.shape[1] // groups, x.shape[2] * x.shape[3]
    rows, tile = triton.next_power_of_2(size), triton.next_power_of_2(positions)
    doubles = max(1, x.element_size() // 4)
    count = _LEAST // (rows * tile)
    counts = [max(count, width // (size * x.element_size())) for width in ((64, 32) if last else (0,))]
    counts = [min(triton.next_power_of_2(max(1, count)), triton.next_power_of_2(groups)) for count in counts]
    fitting = [count for count in counts if count * rows * tile * doubles <= _ON_CHIP]
    count = (fitting or counts)[0]
    align = next(power for power in (16, 8, 4, 2, 1) if positions % power == 0)
    programs, tiles, chunks = len(x) * triton.cdiv(groups, count), 1, 1
    if not fitting:
        tile = min(tile, max(1, _LOOPED // (reads * count * rows * doubles)))
        tiles, chunks = _chunks(triton.cdiv(positions, tile), programs, x)
    constants = {
        "SIZE": size,
        "GROUPS": count,
        "ROWS": rows,
        "TILE": tile,
        "ALIGN": align,
        "LAST": last,
        "EVEN": size == rows and groups % count == 0,
        "LONG": x.shape[1] * positions >= _LONG,
        "NORMALIZE": normalize,
        "EPS": eps,
        "num_warps": min(16, max(1, count * rows * tile // 1024)),
    }
    sizes: tuple[int, ...] = (groups, positions // align)
    if not fitting:
        sizes += (len(x), tiles, chunks)
        constants |= {"num_warps": 16, "PARTS": triton.next_power_of_2(chunks)}
    return _Plan((programs, chunks), sizes, constants, not fitting)


def _processors(x: Tensor) -> int:
    return torch.cuda.get_device_properties(x.device).multi_processor_count


def _chunks(tiles: int, programs: int, x: Tensor) -> tuple[int, int]:
    """Tiles per chunk, and number of chunks: more than one if single chunks would leave half of the device idle."""
    processors = _processors(x)
    wanted = min(_CHUNKS, 4 * processors // programs) if 2 * programs <= processors else 1
    in_a_chunk = triton.cdiv(tiles, wanted)
    return in_a_chunk, triton.cdiv(tiles, in_a_chunk)


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    identity: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward pass of the operator of `sgenet.kernels`, on a CUDA device.

    Args:
        x: (N, C, H, W), fp32, bf16, fp16 or fp64, contiguous or channels_last.
        weight: (G), contiguous, in `sum_type(x)`.
        bias: as `weight`.
        identity: the shortcut, added to the result: shape, type and memory format of `x`.
        groups: G, a divisor of C.
        normalize: whether the similarity is normalised over the positions.
        eps: added to its deviation.
        relu: whether a ReLU is applied last.

    Returns: y, like `x`; the mean vectors (N, C); mean and unbiased deviation of the similarity (N, G, 2), zeros if it
        is not normalised. The latter two are in `sum_type(x)`.
    """
    real = sum_type(x)
    y = torch.empty_like(x)
    mean_vector, statistics = x.new_empty(x.shape[:2], dtype=real), x.new_empty(len(x), groups, 2, dtype=real)
    if not x.numel():
        return y, mean_vector.zero_(), statistics.zero_()
    plan = _plan(x, 1 if identity is None else 2, groups, normalize, eps)
    tensors, chunks = (x, identity, y, weight, bias, mean_vector, statistics), plan.grid[1]
    constants = {**plan.constants, "RELU": relu}
    with torch.cuda.device_of(x):
        if not plan.looped:
            _cuda_on_chip.forward_on_chip[plan.grid](*tensors, *plan.sizes, **constants)
            return y, mean_vector, statistics
        parts = [like.new_empty(chunks, like.numel()) for like in (mean_vector, statistics)]
        for step in (ALL,) if chunks == 1 else (MEAN, LIKENESS, WRITE):
            _cuda_looped.forward_looped[plan.grid](*tensors, *parts, *plan.sizes, **constants, STEP=step)
    return y, mean_vector, statistics


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean_vector: Tensor,
    statistics: Tensor,
    y: Tensor | None,
    groups: int,
    normalize: bool,
    eps: float,
    identity: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Backward pass.

    Args:
        grad: gradient of the output, like `x`.
        x: input of `forward`, as are `weight`, `bias`, `groups`, `normalize` and `eps`.
        weight: input of `forward`.
        bias: input of `forward`.
        mean_vector: output of `forward`.
        statistics: output of `forward`.
        y: output of `forward` if it applied a ReLU: `grad` is 0 where y <= 0.
        groups: input of `forward`.
        normalize: input of `forward`.
        eps: input of `forward`.
        identity: whether the gradient of the identity is returned. It needs `y`; without a ReLU it equals `grad`.

    Returns: the gradients of x; of weight and bias for each sample, (N, G) in `sum_type(x)`; of the identity, or None.
    """
    grad_x = torch.empty_like(x)
    grad_identity = torch.empty_like(x) if identity else None
    if not x.numel():
        return grad_x, mean_vector.new_zeros(len(x), groups), mean_vector.new_zeros(len(x), groups), grad_identity
    plan = _plan(x, 2, groups, normalize, eps)  # y is only in registers until grad is masked
    chunks = plan.grid[1]
    weight_parts, bias_parts = (mean_vector.new_empty(chunks, len(x), groups) for _ in range(2))
    tensors = (
        grad, x, y, grad_x, grad_identity, weight, bias, mean_vector, statistics, weight_parts, bias_parts,
    )  # fmt: skip
    with torch.cuda.device_of(x):
        if not plan.looped:
            _cuda_on_chip.backward_on_chip[plan.grid](*tensors, *plan.sizes, **plan.constants)
        else:
            parts = mean_vector.new_empty(chunks, 2, mean_vector.numel())
            for step in (ALL,) if chunks == 1 else (SUMS, WRITE):
                _cuda_looped.backward_looped[plan.grid](*tensors, parts, *plan.sizes, **plan.constants, STEP=step)
    grad_weight, grad_bias = (
        part.sum(0) if chunks > 1 else part.squeeze_(0)  # launches no kernel
        for part in (weight_parts, bias_parts)
    )
    return grad_x, grad_weight, grad_bias, grad_identity
