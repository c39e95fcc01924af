"""Run-length masks: what pycocotools writes is let through, what it would read beyond its memory is not."""

from itertools import groupby

import numpy as np
import pytest
from pycocotools import mask as coding

from sgenet.data.coco_format import is_run_length, unpack_counts


def runs_of(mask):
    """Lengths of the runs, column by column, zeros first."""
    flat = mask.T.ravel().tolist()
    return ([0] if flat[0] else []) + [len(list(run)) for _, run in groupby(flat)]


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 600), (900, 1000)])
def test_what_pycocotools_packs_is_unpacked(share, size):
    mask = (np.random.default_rng(0).random(size) < share).astype(np.uint8)
    packed, runs = coding.encode(np.asfortranarray(mask)), runs_of(mask)
    assert unpack_counts(packed["counts"]) == runs
    for counts in (packed["counts"], packed["counts"].decode(), runs):
        assert is_run_length({"size": list(size), "counts": counts}, size)
        assert not is_run_length({"size": list(size), "counts": counts}, size[::-1]) or size == (1, 1)


ODD = ["", "!!!!garbage", "\ud800", "P", "oooooooooooo0", "PR2", b"~", [], [-5, 10], ["a"], [10, 100_000], [10, 10]]


@pytest.mark.parametrize("counts", [*ODD, [4096.0], [4095, True], [2**32 + 4096], None, {"a": 1}], ids=repr)
def test_odd_counts_are_none(counts):
    assert is_run_length({"size": [64, 64], "counts": [4000, 96]}, [64, 64])
    assert not is_run_length({"size": [64, 64], "counts": counts}, [64, 64])


def test_a_size_is_of_whole_numbers():
    assert not is_run_length({"size": [64.0, 64], "counts": [4096]}, [64, 64])
