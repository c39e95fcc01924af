"""The matches of an evaluation on disk: what is written is read, other content is refused."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate
from sgenet.evaluation.matches import Matches
from support.coco_scenes import Dataset, Detections, scenes, write


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Dataset, Detections]:
    dataset, detections = scenes()
    return write(tmp_path / "truth.json", dataset), dataset, detections


def test_matches_on_disk(small: tuple[Path, Dataset, Detections], tmp_path: Path) -> None:
    matches = evaluate(small[0], small[2]).matches
    path = tmp_path / "new" / "matches.npz"
    matches.save(path)
    written = path.read_bytes()
    matches.save(path)
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == ["matches.npz"]
    loaded = Matches.load(path)
    for name, array in vars(matches).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
        assert getattr(loaded, name).dtype == array.dtype
    with pytest.raises(
        InputError, match="mask_image_ids is not a file in the archive, expected the matches of an evaluation"
    ):
        Matches.load(path, "mask_")
    others = replace(matches, score=matches.score / 2)
    matches.save(path, others)
    np.testing.assert_array_equal(Matches.load(path).score, matches.score)
    np.testing.assert_array_equal(Matches.load(path, "mask_").score, others.score)
    with pytest.raises(InputError, match="missing.npz"):
        Matches.load(tmp_path / "missing.npz")
    for content in (b"", b"text", written[: len(written) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="matches.npz"):
            Matches.load(path)
    for arrays in ({"score": np.zeros(1)}, {**vars(matches), "score": np.zeros(1)}):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match="matches.npz"):
            Matches.load(path)


NO_MATCHES = {
    "a score that is text": {"score": np.array(["high", "low"])},
    "a score that is no number": {"score": np.array([0.5, np.nan])},
    "scores in rows": {"score": np.zeros((2, 1))},
    "objects": {"score": np.array([None, 1], dtype=object)},
    "an image below the first": {"image": np.array([0, -1])},
    "an image behind the last": {"image": np.array([0, 10**6])},
    "half an image": {"image": np.array([0.0, 0.5])},
    "categories out of order": {"category": np.array([1, 0])},
    "a category behind the last": {"category": np.array([0, 10**6])},
    "matches that are numbers": {"matched": np.zeros((4, 10, 2))},
    "more matches than objects": {"matched": np.ones((4, 10, 2), bool)},
    "as many objects as fill the memory": {"truths": 2**30},
    "fewer objects than none": {"truths": -1},
    "half an object": {"truths": 1.5},
    "categories without names": {"categories": np.arange},
    "images without numbers": {"image_ids": lambda count: np.arange(count).astype(str)},
}


@pytest.mark.parametrize("what", NO_MATCHES)
def test_what_no_evaluation_gives_is_refused(
    small: tuple[Path, Dataset, Detections], tmp_path: Path, what: str
) -> None:
    path = tmp_path / "matches.npz"
    arrays = vars(evaluate(small[0], small[2][:2]).matches)
    none = np.zeros((4, 10, 2), bool)
    arrays = arrays | {"matched": none, "ignored": none, "truths": np.zeros_like(arrays["truths"])}
    arrays |= {"image": np.zeros(2, int), "category": np.zeros(2, int), "score": np.array([0.9, 0.8])}
    np.savez(path, **arrays)
    assert len(Matches.load(path).score) == 2
    for name, value in NO_MATCHES[what].items():
        like = np.full(arrays[name].shape, value) if isinstance(value, int | float) else value
        np.savez(path, **(arrays | {name: like(len(arrays[name])) if callable(like) else like}))
    with pytest.raises(InputError, match="matches.npz: .*expected"):
        Matches.load(path)
