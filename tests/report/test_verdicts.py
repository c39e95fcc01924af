"""Verdicts on counts and gains."""

import numpy as np
import pytest

from sgenet.evaluation.statistics import Gain, seed_gain
from sgenet.report.verdicts import VERDICTS, baseline_verdict, direction_verdict, paper_verdict, static_verdict


def gain(value: float, low: float | None, high: float | None) -> Gain:
    return Gain(value, low, high, 0.95, 100, "made up")


@pytest.mark.parametrize(
    ("published", "value", "digits", "verdict"),
    [
        (25.56, 25.557032, 2, "exact"),
        (4.122, 4.121924, 3, "exact"),
        (4.185, 4.187, 3, "differs"),
        (168.3, 168.104, 3, "differs"),
        (None, 1.0, 2, "not published"),
    ],
)
def test_static_verdict(published: float | None, value: float, digits: int, verdict: str) -> None:
    assert static_verdict(published, value, digits) == verdict


@pytest.mark.parametrize(
    ("published", "low", "high", "verdict"),
    [
        (1.2, 0.5, 3.0, "same direction"),
        (-0.4, -3.0, -0.5, "same direction"),
        (1.2, -3.0, -0.5, "opposite direction"),
        (-0.4, 0.5, 3.0, "opposite direction"),
        (1.2, -0.5, 3.0, "undecided"),
        (1.2, 0.0, 3.0, "undecided"),
        (1.2, None, None, "undecided"),
        (None, 0.5, 3.0, "no published gain"),
        (0.0, 0.5, 3.0, "no published direction"),
    ],
)
def test_gain_verdict_below_paper(published: float, low: float, high: float, verdict: str) -> None:
    assert direction_verdict(published, gain(1.0, low, high)) == verdict


@pytest.mark.parametrize(
    ("published", "low", "high", "verdict"),
    [
        (1.2, 0.9, 1.5, "gain replicated"),
        (1.2, 0.1, 0.9, "differs"),
        (1.2, -0.4, 0.9, "differs"),
        (1.2, -0.4, 1.5, "inconclusive"),
        (1.2, None, None, "inconclusive"),
        (None, 0.9, 1.5, "no published gain"),
        (0.0, 0.9, 1.5, "differs"),
        (0.0, -0.4, 1.5, "inconclusive"),
    ],
)
def test_gain_verdict_at_paper(published: float, low: float, high: float, verdict: str) -> None:
    assert paper_verdict(published, gain(1.0, low, high), None, None) == verdict


def test_the_luck_of_a_training_is_allowed_for() -> None:
    """Over images by the tolerance; over seeds by the prediction interval, here 0.5 + 2 x 0.3 = 1.1 at most."""
    assert paper_verdict(1.2, gain(0.5, 0.2, 0.8), None, 0.5) == "differs"
    assert paper_verdict(1.2, gain(0.8, 0.6, 1.0), None, 0.5) == "gain replicated"
    over_seeds = Gain(0.5, 0.2, 0.8, 0.95, 3, "made up", of="seeds")
    assert over_seeds.another == pytest.approx((-0.1, 1.1))
    assert paper_verdict(1.05, over_seeds, None, None) == "gain replicated"
    assert paper_verdict(1.15, over_seeds, None, 5.0) == "differs"
    assert paper_verdict(-0.05, over_seeds, None, None) == "differs"  # of the other sign


def test_the_prediction_interval_holds_another_training() -> None:
    """95 % of fresh draws lie in it, whatever the number of seeds: by simulation."""
    rng = np.random.default_rng(0)
    for n in (3, 10):
        draws = rng.normal(1.2, 0.25, (4000, n + 1))
        gains = [seed_gain([0.0] * n, row[:n].tolist(), 0.95).another for row in draws]
        inside = [low <= row[n] <= high for (low, high), row in zip(gains, draws, strict=True)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_a_value_within_its_tolerance_is_replicated() -> None:
    replicated = gain(1.0, 0.9, 1.5)
    assert paper_verdict(1.2, replicated, -0.4, 0.4) == "replicated"
    assert paper_verdict(1.2, replicated, -0.5, 0.4) == "gain replicated"
    assert paper_verdict(1.2, gain(1.0, -0.4, 1.5), 0.0, 0.4) == "inconclusive"


@pytest.mark.parametrize(
    ("difference", "tolerance", "verdict"),
    [
        (None, 0.4, "baseline"),
        (0.1, None, "baseline"),
        (0.4, 0.4, "within tolerance"),
        (-0.3, 0.4, "within tolerance"),
        (-0.5, 0.4, "differs"),
    ],
)
def test_baselines(difference: float | None, tolerance: float | None, verdict: str) -> None:
    assert baseline_verdict(difference, tolerance) == verdict


def test_every_verdict_is_explained() -> None:
    assert all(meaning and not meaning.endswith(".") for meaning in VERDICTS.values())
