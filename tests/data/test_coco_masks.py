"""Run-length masks: what pycocotools writes is let through, what it would read beyond its memory is not."""

from itertools import groupby

import numpy as np
import pytest
from pycocotools import mask as coding

from sgenet.data.coco_masks import count_pixels, is_polygons, is_run_length, without_degenerate


def is_mask(shape, size):
    return is_run_length(shape, size, *count_pixels([shape]))


def unpacked(text):
    """Counts of pycocotools' packed format, character by character; none if the text is not valid."""
    counts, number, place = [], 0, 0
    for character in text:
        code = character - 48
        if not 0 <= code < 64 or place > 30:
            return []
        number |= (code & 31) << place
        place += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << place
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = place = 0
    return [] if place else counts


def runs_of(mask):
    """Lengths of the runs, column by column, zeros first."""
    flat = mask.T.ravel().tolist()
    return ([0] if flat[0] else []) + [len(list(run)) for _, run in groupby(flat)]


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 600), (900, 1000)])
def test_what_pycocotools_packs_is_unpacked(share, size):
    mask = (np.random.default_rng(0).random(size) < share).astype(np.uint8)
    packed, runs = coding.encode(np.asfortranarray(mask)), runs_of(mask)
    assert unpacked(packed["counts"]) == runs
    for counts in (packed["counts"], packed["counts"].decode(), runs):
        assert is_mask({"size": list(size), "counts": counts}, size)
        assert not is_mask({"size": list(size), "counts": counts}, size[::-1]) or size == (1, 1)


def packed_texts(rng):
    """What pycocotools packs, the same with changed, missing and added characters, and random characters."""
    for _ in range(300):
        mask = rng.random(rng.integers(1, 60, 2)) < rng.random()
        text = bytearray(coding.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"])
        yield bytes(text)
        text[rng.integers(len(text))] = rng.integers(256)
        yield bytes(text)
        yield bytes(text[: rng.integers(len(text))])
        yield rng.integers(44, 116, rng.integers(1, 30)).astype(np.uint8).tobytes()
        yield (
            b"oP"[rng.integers(2)].to_bytes() * rng.integers(5, 9) + b"000"
        )  # numbers as long as is allowed, or longer


def test_pixels_of_many_texts_are_those_of_each_one():
    texts = list(packed_texts(np.random.default_rng(0)))
    counts = [unpacked(text) for text in texts]
    valid = [bool(of) and min(of) >= 0 for of in counts]
    expected = [sum(of) if fits else -1 for of, fits in zip(counts, valid, strict=True)]
    assert 300 < sum(valid) < 1200
    assert count_pixels([{"counts": text} for text in texts]) == expected
    others = [None, [[0, 0, 5, 0, 5, 5]], {"counts": [3, 4]}, {"counts": texts[0].decode()}, {"size": [1, 1]}]
    assert count_pixels(others) == [-1, -1, 7, expected[0], -1] and count_pixels([]) == []


ODD = ["", "!!!!garbage", "\ud800", "P", "oooooooooooo0", "PR2", b"~", [], [-5, 10], ["a"], [10, 100_000], [10, 10]]


@pytest.mark.parametrize("counts", [*ODD, [4096.0], [4095, True], [2**32 + 4096], None, {"a": 1}], ids=repr)
def test_odd_counts_are_none(counts):
    assert is_mask({"size": [64, 64], "counts": [4000, 96]}, [64, 64])
    assert not is_mask({"size": [64, 64], "counts": counts}, [64, 64])


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
    assert not is_mask({"size": [64.0, 64], "counts": [4096]}, [64, 64])
    assert not is_mask({"size": [2**17, 2**17], "counts": [2**32 - 1] * 4 + [4]}, [2**17, 2**17])
