"""Verdicts on counts and gains."""

import pytest

from sgenet.report.verdicts import VERDICTS, baseline_verdict, gain_verdict, static_verdict
from sgenet.statistics import Gain


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
    assert gain_verdict(published, gain(1.0, low, high), paper=False) == verdict


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
    assert gain_verdict(published, gain(1.0, low, high), paper=True) == verdict


def test_a_value_within_its_tolerance_is_replicated() -> None:
    replicated = gain(1.0, 0.9, 1.5)
    assert gain_verdict(1.2, replicated, paper=True, within=True) == "replicated"
    assert gain_verdict(1.2, gain(1.0, -0.4, 1.5), paper=True, within=True) == "inconclusive"
    assert gain_verdict(1.2, replicated, paper=False, within=True) == "same direction"


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
