"""Verdicts on counts and gains."""

import pytest

from sgenet.report.cells import VERDICTS, gain_verdict, static_verdict
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
        (1.2, -0.4, 1.5, "undecided"),
        (1.2, None, None, "undecided"),
        (None, 0.9, 1.5, "no published gain"),
        (0.0, 0.9, 1.5, "differs"),
    ],
)
def test_gain_verdict_at_paper(published: float, low: float, high: float, verdict: str) -> None:
    assert gain_verdict(published, gain(1.0, low, high), paper=True) == verdict


def test_every_verdict_is_explained() -> None:
    assert all(meaning and not meaning.endswith(".") for meaning in VERDICTS.values())
