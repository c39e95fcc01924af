"""Verdicts and intervals on made-up replications at scale `paper`, where it is known what is true."""

import math
import re

import numpy as np
import pytest

from sgenet.evaluation.verdicts import Verdict
from support.rates import CLAIM, EFFECTS, INTERVALS, MEAN_OF_IMAGES, ONE_OF_IMAGES, RATIO, ROW, measure
from support.statistics_page import GROUPS, SEEDS, WRONG, committed, measure_all, render, render_verdicts
from support.worlds import (
    AP_BY_SIZE_SD,
    AP_SD,
    CLASSIFIER_SHARE,
    SEED_SHARE,
    TOP1_SD,
    draw_images,
    draw_worlds,
    load_columns,
    plant,
)

POWERFUL = ("Top-1, SGE-ResNet50", "AP, two-stage detectors, SGE", CLAIM)


def upper(share: float, n: int) -> float:
    """Upper 95 % limit (one-sided 97.5 %) of a share that was measured in n replications."""
    return share + 1.96 * math.sqrt(share * (1 - share) / n)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_planted_gains_are_the_published_ones():
    gains = {
        (column.id, column.rows[index].block, column.rows[index].model): round(gain, 3)
        for column in load_columns()
        for index, gain in column.gains.items()
    }
    assert gains["top1", "50", "sge-resnet50"] == 1.2 and gains["top1", "101", "sge-resnet101"] == 0.598
    assert gains["ap", "cascade-rcnn 101", "sge-resnet101"] == 1.8
    assert gains["ap_small", "retinanet 50", "bam-resnet50"] == -0.3
    assert len(gains) == 10 + 9 + 3 * 5


def test_planted_spread():
    worlds = draw_worlds(np.random.default_rng(0), 4000, 3)
    columns = {column.id: column for column in load_columns()}
    for id, sd in {"top1": TOP1_SD, "ap": AP_SD, "ap_small": AP_BY_SIZE_SD}.items():
        assert worlds.trained[id].std() == pytest.approx(sd, rel=0.02)
        assert worlds.published[id].std() == pytest.approx(sd, rel=0.02)
        assert correlation(worlds.trained[id][:, 0], worlds.trained[id][:, 1]) == pytest.approx(SEED_SHARE, abs=0.03)
        assert correlation(worlds.published[id][:, 0], worlds.published[id][:, 1]) == pytest.approx(0, abs=0.05)
    index = {(row.block, row.model): number for number, row in enumerate(columns["ap"].rows)}
    pair = [worlds.trained["ap"][:, index[f"{detector} 50", "resnet50"]] for detector in ("faster-rcnn", "mask-rcnn")]
    assert correlation(*pair) == pytest.approx(CLASSIFIER_SHARE * (1 - SEED_SHARE), abs=0.03)


@pytest.mark.parametrize("effect", EFFECTS)
def test_planted_values(effect):
    column = load_columns()[0]
    trained, published = plant(column, draw_worlds(np.random.default_rng(0), 2000, 3), EFFECTS[effect])
    for index, gain in column.gains.items():
        base = column.rows[index].baseline
        assert np.mean(trained[:, index] - trained[:, base]) == pytest.approx(EFFECTS[effect] * gain, abs=0.01)
        assert np.mean(published[:, index] - published[:, base]) == pytest.approx(gain, abs=0.02)


def test_planted_images():
    """The observed gain differs from that of the population by the sampling error of the images alone."""
    errors, disagree, again = [], [], []
    for baseline, other, true in draw_images(np.random.default_rng(0), 2, 1.2, 40):
        errors.append(100 * (other.mean() - baseline.mean()) - true)
        disagree.append(np.mean(baseline[0] != other[0]))
        again.append(np.mean(baseline[0] != baseline[1]))
        assert baseline.mean() == pytest.approx(0.764, abs=0.01)
    assert np.mean(disagree) == pytest.approx(0.09, abs=0.01) and np.mean(again) == pytest.approx(0.09, abs=0.01)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(40) and np.std(errors) < 0.15


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_trainings_are_not_judged(seeds):
    rates = measure(seeds, 20)
    assert {verdict for found in rates.verdicts.values() for verdict in found} == {Verdict.NOT_JUDGED}
    assert rates.inside == {}


def test_the_page_defines_the_verdicts():
    assert committed("verdicts") == render_verdicts()


def test_the_page_has_the_tables_of_rates():
    """The same as measured from few replications, apart from the numbers."""
    expected, found = (re.sub(r"[0-9.]+ %", "n %", tables) for tables in (render(measure_all(20)), committed("rates")))
    assert found == expected and found.count("n %") >= len(GROUPS) * len(SEEDS) * 6


@pytest.fixture(scope="module")
def measured():
    return measure_all()


@pytest.mark.slow
def test_what_is_false_is_rarely_replicated(measured):
    for rates in measured.seeds.values():
        for group in GROUPS:
            for effect in ("half", "none", "reversed"):
                judged = min(rates.worlds, rates.judged(effect, group))
                assert upper(rates.rate(effect, [Verdict.REPLICATED], group), judged) <= 0.04


@pytest.mark.slow
def test_what_is_true_is_rarely_called_weaker_or_contradicted(measured):
    for rates in measured.seeds.values():
        for group in GROUPS:
            assert upper(rates.rate("true", WRONG, group), min(rates.worlds, rates.judged("true", group))) <= 0.065


@pytest.mark.slow
def test_intervals_contain_their_targets_as_often_as_they_state(measured):
    for rates in measured.seeds.values():
        assert all(0.93 <= rates.coverage(interval) <= 0.97 for interval in (*INTERVALS.values(), ROW, RATIO))
    assert all(0.93 <= measured.images.coverage(interval) <= 0.97 for interval in (ONE_OF_IMAGES, MEAN_OF_IMAGES))


@pytest.mark.slow
def test_three_trainings_show_the_main_gains(measured):
    for group in POWERFUL:
        assert measured.seeds[3].rate("true", [Verdict.REPLICATED], group) >= 0.8


@pytest.mark.slow
def test_cells_and_claims_agree(measured):
    assert all(rates.clashes == 0 for rates in measured.seeds.values())


@pytest.mark.slow
def test_the_tables_of_the_page_are_reproduced(measured):
    assert render(measured) == committed("rates")
