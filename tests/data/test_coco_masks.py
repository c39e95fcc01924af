"""Run-length masks: what pycocotools writes is let through, what it would read beyond its memory is not."""

from itertools import groupby

import numpy as np
import pytest
from pycocotools import mask as coding

from sgenet.data.coco_masks import is_polygons, is_run_length, unpack_counts, without_degenerate


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


def test_polygons_are_of_pixels_near_an_image():
    assert is_polygons([[0, 0, 5.5, 0, 5, 5], [-1, 0, 3, 4, 9, 9, 0, 1]]) and is_polygons([])
    for degenerate in ([], [0, 0], [0, 0, 1, 1]):
        assert is_polygons([[0, 0, 5.5, 0, 5, 5], degenerate]) and not is_polygons([degenerate])
        assert without_degenerate([degenerate, [0, 0, 5.5, 0, 5, 5]]) == [[0, 0, 5.5, 0, 5, 5]]
    for polygon in ([0] * 7, "abcdef", None, ["0"] * 6, [0, 0, 5, 0, 5, None]):
        assert not is_polygons([[0, 0, 5.5, 0, 5, 5], polygon])
    for far in (float("nan"), float("inf"), 1e300, 2**31, -(2**31), 10**400):  # C takes it for another number
        assert not is_polygons([[0, 0, 5, 0, 5, far]])
    assert not is_polygons([[0, 0, 2**20, 2**20] * 500])  # an outline of a billion pixels
    assert not is_polygons({})


def test_a_size_is_of_whole_numbers():
    assert not is_run_length({"size": [64.0, 64], "counts": [4096]}, [64, 64])
    assert not is_run_length({"size": [2**17, 2**17], "counts": [2**32 - 1] * 4 + [4]}, [2**17, 2**17])
