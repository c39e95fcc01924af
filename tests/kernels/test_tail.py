"""Each path of the loops on the CPU, with the shortcut and the ReLU, against the definition in float64.

A channels_last map is computed in strips, where its channels fall into strips of whole groups: 64 channels in float32,
32 in float64, and 4 or more channels in a group, a power of two. Of half as many channels, two positions are computed
together, if their number is even. Other maps are computed in planes.
"""

import pytest
import torch

from support.operator import FORMATS, TAILS, compare_with_definition

TYPES = {torch.float32: 1e-5, torch.float64: 1e-12}
types = pytest.mark.parametrize(("dtype", "limit"), TYPES.items(), ids=lambda value: str(value))
tails = pytest.mark.parametrize("tail", TAILS)


@types
@tails
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("channels", "groups"),
    [(c, c // size) for c in (16, 32, 64, 96, 192) for size in (1, 2, 3, 4, 6, 8, 16, 32, 64) if c % size == 0],
)
def test_channels_of_a_group(channels, groups, normalize, tail, dtype, limit):
    shape = (2, channels, 3, 5 if channels > 32 else 6)
    compare_with_definition(shape, groups, dtype, torch.channels_last, limit, tail, normalize=normalize)


@types
@tails
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_each_length_of_a_row(memory_format, tail, dtype, limit):
    """Rows of whole vectors, and of each remainder; a single position is not normalised."""
    for positions in range(1, 71):
        for channels in (64, 32, 16):
            compare_with_definition((2, channels, 1, positions), channels // 8, dtype, memory_format, limit, tail)


@types
@tails
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("positions", [(2, 255), (7, 73), (16, 32), (27, 19), (32, 32), (25, 41), (50, 61)])
def test_partial_sums(positions, memory_format, tail, dtype, limit):
    """Strips are summed over 512 rows at a time."""
    for channels in (64, 32, 16):
        compare_with_definition((1, channels, *positions), 4, dtype, memory_format, limit, tail)


@types
@tails
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("samples", [1, 2, 37])
def test_samples(samples, memory_format, tail, dtype, limit):
    compare_with_definition((samples, 128, 3, 4), 8, dtype, memory_format, limit, tail)


@tails
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("channels", "groups"), [(128, 8), (48, 8), (64, 64)])
def test_half_precision(channels, groups, dtype, memory_format, tail):
    compare_with_definition((2, channels, 7, 7), groups, dtype, memory_format, torch.finfo(dtype).eps, tail)
