"""Verdicts by their definitions: a gain of known interval, a size, and the word."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sgenet.evaluation.trainings import Gain
from sgenet.evaluation.verdicts import (
    COUNTS,
    DIRECTIONS,
    OUTCOMES,
    SIZES,
    Judgement,
    Size,
    Verdict,
    combine,
    count_verdicts,
    judge_best,
    judge_bound,
    judge_count,
    judge_gain,
)

V = Verdict
NONE = V.NOT_JUDGED


def gain(low, high, noise=0.0):
    """A gain with this interval; `noise` is half the width of the interval of one published gain."""
    limit = float(stats.t.ppf(0.975, 10))
    error = (high - low) / 2 / limit
    total = (noise / limit) ** 2 / 2
    return Gain((low + high) / 2, 3, 0.95, low, high, 0.5, error, 10.0, 3 * error**2 / 2, total)


def mirrored(one: Gain) -> Gain:
    return dataclasses.replace(one, value=-one.value, low=-one.high, high=-one.low)


def test_every_verdict_has_a_tone_and_a_meaning():
    assert all(verdict.meaning and verdict.tone in ("good", "bad", "plain") for verdict in Verdict)
    assert set(OUTCOMES) == set(Verdict) and len(OUTCOMES) == len(set(OUTCOMES))
    assert Verdict("replicated") is V.REPLICATED and f"{V.SAME}" == "same direction"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.7, 1.3, V.REPLICATED),
        (0.6001, 1.2001, V.REPLICATED),
        (0.61, 1.19, V.WEAKER),
        (0.1, 0.5, V.WEAKER),
        (0.59, 1.3, V.INCONCLUSIVE),  # half of it is possible
        (0.01, 4.0, V.INCONCLUSIVE),
        (1.21, 2.0, V.STRONGER),
        (-0.1, 0.61, V.INCONCLUSIVE),
        (-0.1, 1.9, V.INCONCLUSIVE),
        (-0.1, 0.59, V.CONTRADICTED),
        (0.0, 0.5, V.CONTRADICTED),
        (-2.0, 0.3, V.CONTRADICTED),
        (-2.0, -0.1, V.CONTRADICTED),
    ],
)
def test_sizes(low, high, expected):
    """Against 1.2 points as a sentence claims them; a loss of 1.2 points is judged alike."""
    assert judge_gain(gain(low, high), Size(1.2, 1.2), paper=True) == Judgement(expected)
    assert judge_gain(mirrored(gain(low, high)), Size(-1.2, -1.2), paper=True) == Judgement(expected)
    assert judge_gain(gain(low, high), Size.of(1.2), paper=True) == Judgement(expected)  # no noise: the same


@pytest.mark.parametrize(
    ("low", "high", "claimed", "published"),
    [
        (0.61, 1.0, V.WEAKER, V.INCONCLUSIVE),  # 1.2 may be 0.8; half of it may be 0.8 too
        (0.85, 1.15, V.WEAKER, V.REPLICATED),
        (1.3, 1.6, V.STRONGER, V.REPLICATED),
        (1.8, 2.0, V.STRONGER, V.STRONGER),
        (0.62, 1.5, V.REPLICATED, V.INCONCLUSIVE),
        (-0.2, 0.58, V.CONTRADICTED, V.INCONCLUSIVE),
        (-0.2, 0.2, V.CONTRADICTED, V.CONTRADICTED),
        (-0.4, -0.1, V.CONTRADICTED, V.CONTRADICTED),  # the other side of 0 is that of the gain alone
    ],
)
def test_a_published_gain_varies_itself(low, high, claimed, published):
    one = gain(low, high, noise=0.4)
    assert judge_gain(one, Size(1.2, 1.2), paper=True).verdict == claimed
    for size in (Size.of(1.2), Size(1.2, 1.2, published=True)):
        assert judge_gain(one, size, paper=True).verdict == published
    assert judge_gain(mirrored(one), Size.of(-1.2), paper=True).verdict == published


@pytest.mark.parametrize(
    ("low", "high", "of_range", "open_ended"),
    [
        (1.2, 1.8, V.REPLICATED, V.REPLICATED),
        (0.6, 1.1, V.REPLICATED, V.REPLICATED),
        (1.9, 2.5, V.REPLICATED, V.REPLICATED),
        (2.1, 2.5, V.STRONGER, V.REPLICATED),
        (0.6, 0.9, V.WEAKER, V.WEAKER),
        (0.4, 1.9, V.INCONCLUSIVE, V.INCONCLUSIVE),
        (-0.3, 0.4, V.CONTRADICTED, V.CONTRADICTED),
        (-0.3, 0.6, V.INCONCLUSIVE, V.INCONCLUSIVE),
    ],
)
def test_ranges(low, high, of_range, open_ended):
    for size, expected in [(Size(1.0, 2.0), of_range), (Size(1.0, math.inf), open_ended)]:
        assert judge_gain(gain(low, high, noise=0.4), size, paper=True).verdict == expected
        loss = Size(-size.high, -size.low)
        assert judge_gain(mirrored(gain(low, high)), loss, paper=True).verdict == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, V.SAME), (5.0, 9.0, V.SAME), (-0.2, -0.1, V.OPPOSITE), (-0.1, 0.1, V.UNDECIDED), (0.0, 1, V.UNDECIDED)],
)
def test_below_scale_paper_the_direction_alone_is_judged(low, high, expected):
    for size in (Size.of(1.2), Size(1.0, 2.0)):
        assert judge_gain(gain(low, high, noise=3.0), size, paper=False) == Judgement(expected)
    assert judge_gain(mirrored(gain(low, high)), Size.of(-1.2), paper=False) == Judgement(expected)


@pytest.mark.parametrize("paper", [True, False])
@pytest.mark.parametrize(
    ("size", "resolution", "reason"),
    [
        (None, 0.0, "no published gain"),
        (Size.of(None), 0.0, "no published gain"),
        (Size.of(0.0), 0.0, "too small"),
        (Size(-0.5, 0.5), 0.0, "too small"),
        (Size.of(0.29), 0.3, "too small"),
        (Size.of(-0.29), 0.3, "too small"),
    ],
)
def test_what_has_no_direction_is_not_judged(paper, size, resolution, reason):
    found = judge_gain(gain(1.0, 1.5), size, paper=paper, resolution=resolution)
    assert found.verdict == NONE and reason in found.reason


@pytest.mark.parametrize("size", [Size.of(0.3), Size(0.2, 0.2), Size(0.2, 0.4)])
def test_resolution_is_of_published_gains(size):
    assert judge_gain(gain(0.25, 0.35), size, paper=False, resolution=0.3).verdict == V.SAME


@pytest.mark.parametrize("paper", [True, False])
@pytest.mark.parametrize(("seeds", "reason"), [(1, "one training of each row"), (2, "2 trainings of each row, 3 are")])
def test_few_trainings_are_not_judged(paper, seeds, reason):
    few = Gain(1.2, seeds, 0.95)
    for found in (judge_gain(few, Size.of(1.2), paper=paper), judge_best([[few], [gain(1, 2)]], paper=paper)):
        assert found.verdict == NONE and found.reason.startswith(reason)


def test_a_claim_and_a_cell_of_the_same_size_agree():
    """Equal sizes have equal verdicts; of different sizes, none is replicated where the other is contradicted."""
    rng = np.random.default_rng(0)
    sizes = [Size.of(1.2), Size(1.2, 1.2), Size(1.0, 2.0), Size(0.5, math.inf), Size.of(3.0)]
    seen = set()
    for low, width, noise in zip(
        rng.uniform(-2, 3, 2000), rng.uniform(0, 2, 2000), rng.uniform(0, 2, 2000), strict=True
    ):
        one = gain(low, low + width, noise)
        verdicts = [judge_gain(one, size, paper=True).verdict for size in sizes]
        assert judge_gain(one, Size(1.2, 1.2, published=True), paper=True).verdict == verdicts[0]
        assert not {V.REPLICATED, V.CONTRADICTED} <= set(verdicts)
        assert not {V.STRONGER, V.CONTRADICTED} <= set(verdicts)
        seen |= set(verdicts)
    assert seen == set(SIZES)


@pytest.mark.parametrize(
    ("published", "value", "digits", "explanation", "expected"),
    [
        (4.127, 4.12701, 3, "", V.EXACT),
        (4.127, 4.1264, 3, "", V.DIFFERS),
        (4.185, 4.187, 3, "one pool instead of two", V.EXPLAINED),
        (4.187, 4.187, 3, "one pool instead of two", V.EXACT),
        (None, 4.1, 3, "", NONE),
    ],
)
def test_counts(published, value, digits, explanation, expected):
    assert judge_count(published, value, digits, explanation).verdict == expected


@pytest.mark.parametrize(("low", "high", "word"), [(1.1, 2, 0), (0.2, 0.9, 1), (0.9, 1.1, 2), (1.0, 2, 2)])
def test_bounds(low, high, word):
    words = [(V.REPLICATED, V.SAME), (V.CONTRADICTED, V.OPPOSITE), (V.INCONCLUSIVE, V.UNDECIDED)][word]
    for paper, expected in zip((True, False), words, strict=True):
        assert judge_bound(low, high, above=1, paper=paper) == expected
        assert judge_bound(-high, -low, below=-1, paper=paper) == expected


UP, DOWN, OPEN = gain(0.1, 1), gain(-1, -0.1), gain(-0.1, 1)


@pytest.mark.parametrize(
    ("over", "word"),
    [
        ([[UP, UP]], 0),
        ([[OPEN, OPEN], [UP, UP]], 0),  # one of the rows beats all others
        ([[UP, OPEN]], 2),
        ([[UP, OPEN], [OPEN, UP]], 2),  # none beats all
        ([[UP, DOWN]], 1),  # the second of the others beats it
        ([[UP, DOWN], [OPEN, DOWN]], 1),  # and both rows
        ([[UP, DOWN], [UP, OPEN]], 2),
        ([[DOWN, UP], [UP, DOWN]], 2),  # another one beats either, but none beats both
    ],
)
def test_best(over, word):
    assert judge_best(over, paper=True).verdict == (V.REPLICATED, V.CONTRADICTED, V.INCONCLUSIVE)[word]
    assert judge_best(over, paper=False).verdict == DIRECTIONS[word]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([V.REPLICATED], V.REPLICATED),
        ([V.REPLICATED, V.STRONGER], V.REPLICATED),
        ([V.STRONGER, V.STRONGER], V.STRONGER),
        ([V.REPLICATED, V.WEAKER], V.WEAKER),
        ([V.REPLICATED, V.CONTRADICTED, V.WEAKER], V.CONTRADICTED),
        ([V.INCONCLUSIVE, V.CONTRADICTED], V.CONTRADICTED),
        ([V.REPLICATED, V.INCONCLUSIVE], V.INCONCLUSIVE),
        ([V.REPLICATED, NONE], V.INCONCLUSIVE),
        ([V.WEAKER, V.NOT_RUN], V.WEAKER),
        ([V.SAME, V.SAME], V.SAME),
        ([V.SAME, V.OPPOSITE], V.OPPOSITE),
        ([V.SAME, V.UNDECIDED], V.UNDECIDED),
        ([V.SAME, NONE], V.UNDECIDED),
        ([NONE, V.NOT_RUN, V.FAILED], NONE),
        ([V.NOT_RUN, V.NOT_RUN], V.NOT_RUN),
        ([V.FAILED], V.FAILED),
    ],
)
def test_claims_of_several_conditions(verdicts, expected):
    for order in itertools.permutations(verdicts):
        assert combine([Judgement(verdict) for verdict in order]).verdict == expected


def test_a_claim_keeps_the_reason_of_its_condition():
    assert combine([Judgement(NONE, "one training of each row")]).reason == "one training of each row"
    assert combine([Judgement(NONE, "x"), Judgement(V.NOT_RUN)]).reason == "some of its conditions were not run"


def test_verdicts_are_counted_in_their_order():
    found = count_verdicts([V.NOT_RUN, V.WEAKER, V.EXACT, V.EXACT])
    assert found == [(V.EXACT, 2), (V.WEAKER, 1), (V.NOT_RUN, 1)]
    assert set(COUNTS).isdisjoint(SIZES) and set(SIZES).isdisjoint(DIRECTIONS)
