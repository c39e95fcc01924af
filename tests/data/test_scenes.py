"""Drawing: the samples are scikit-learn's, strokes keep their promises."""

from random import Random

import numpy as np
import pytest
from PIL import Image

from sgenet.data import scenes


@pytest.fixture
def samples():
    return scenes.load_samples("val")


def test_samples_are_those_of_load_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    expected = sorted(
        (label, image.astype(np.uint8).tobytes()) for image, label in zip(digits.images, digits.target, strict=True)
    )
    found = [
        (label, (part.images[position] // 15).tobytes())
        for part in map(scenes.load_samples, ("train", "val"))
        for label, positions in part.positions.items()
        for position in positions
    ]
    assert sorted(found) == expected


def test_split_is_stratified(samples):
    train = scenes.load_samples("train")
    for label in range(10):
        share = len(samples.positions[label]) / (len(samples.positions[label]) + len(train.positions[label]))
        assert share == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("area", [60, 300, 1200])
def test_digit_has_the_wanted_area(samples, area):
    rng = Random(0)
    inks = [np.count_nonzero(np.asarray(scenes.draw_digit(rng, image, area)) >= 128) for image in samples.images[::9]]
    assert np.mean(inks) == pytest.approx(area, rel=0.05)
    assert np.ptp(inks) < 0.4 * area


def test_strokes_are_cut_tight(samples):
    for fragment in scenes.cut_fragments(Random(0), samples, 50, (2, 5)):
        cover = np.asarray(fragment)
        assert all(edge.any() for edge in (cover[0], cover[-1], cover[:, 0], cover[:, -1]))


def test_colour_stands_out():
    rng = Random(0)
    for _ in range(50):
        scene = scenes.draw_background(rng, 32)
        before = np.asarray(scene.convert("L"), dtype=float)[8:24, 4:12].mean()
        scenes.paint(rng, scene, Image.new("L", (8, 16), 255), 4, 8)
        assert np.asarray(scene.convert("L"))[8:24, 4:12].mean() > before + scenes.CONTRAST - 2


def test_crowd_stays_apart_and_whole(samples):
    for seed in range(20):
        rng = Random(seed)
        wanted = [(image, rng.choice([60, 300, 1000])) for image in samples.images[seed * 20 : seed * 20 + 6]]
        _, masks = scenes.draw_crowd(rng, 96, wanted, scenes.cut_fragments(rng, samples, 5, (2, 4)), 4, overlap=0.2)
        assert np.sum(list(masks.values()), axis=0).max() == 1
        largest = max(range(6), key=lambda index: wanted[index][1])
        assert largest in masks


def test_a_digit_without_a_place_is_left_out(samples):
    wanted = [(samples.images[0], 100.0)] * 12
    _, masks = scenes.draw_crowd(Random(0), 32, wanted, scenes.cut_fragments(Random(0), samples, 5, (1, 2)), 0, 0.0)
    assert 1 <= len(masks) < 12


def test_a_digit_larger_than_the_scene_is_made_smaller(samples):
    _, masks = scenes.draw_crowd(Random(0), 32, [(samples.images[0], 5000.0)], [], 0, 0.0)
    assert 0 < masks[0].sum() < 32 * 32


@pytest.mark.parametrize(
    ("other", "part"), [((0, 0, 10, 10), 1.0), ((5, 5, 15, 15), 0.25), ((10, 0, 20, 10), 0.0), ((2, 2, 4, 4), 1.0)]
)
def test_shared_part(other, part):
    assert scenes.shared_part((0, 0, 10, 10), other) == scenes.shared_part(other, (0, 0, 10, 10)) == part
