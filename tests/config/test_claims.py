"""params/claims.yaml, and the rules by which conditions and claims are judged."""

import pytest

from sgenet.config.claims import load_claims
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.evaluation.statistics import Gain
from sgenet.report.claim_rules import below_paper, judge_best, judge_bound, judge_claim, judge_gain

CLAIMS = "params/claims.yaml"


def gain(low, high):
    return Gain(1.0, low, high, 0.95, 100, "made up")


@pytest.mark.parametrize(
    ("low", "high", "claimed", "above", "smaller_scale", "at_paper"),
    [
        (0.5, 1.5, (1.2, 1.2), 0.0, "supported", "supported"),
        (0.5, 1.1, (1.2, 1.2), 0.0, "supported", "undecided"),  # smaller, but of one training
        (1.3, 1.9, (1.2, 1.2), 0.0, "supported", "supported"),  # larger
        (0.5, 0.9, (1.0, 2.0), 0.0, "supported", "undecided"),
        (0.5, 1.0, (1.0, 2.0), 0.0, "supported", "supported"),
        (-0.5, 1.5, (1.2, 1.2), 0.0, "undecided", "undecided"),
        (-0.5, 1.1, (1.2, 1.2), 0.0, "undecided", "undecided"),
        (-1.5, -0.5, None, 0.0, "contradicted", "contradicted"),
        (0.5, 1.5, None, 1.0, "supported", "undecided"),
        (0.2, 0.8, None, 1.0, "supported", "contradicted"),
        (1.1, 1.8, None, 1.0, "supported", "supported"),
        (0.0, 0.0, None, 0.0, "undecided", "undecided"),
        (None, None, (1.2, 1.2), 0.0, "undecided", "undecided"),
    ],
)
def test_gains(low, high, claimed, above, smaller_scale, at_paper):
    assert judge_gain(gain(low, high), claimed, above, paper=False) == smaller_scale
    assert judge_gain(gain(low, high), claimed, above, paper=True) == at_paper
    assert judge_gain(None, claimed, above, paper=True) == "not run"


def test_bounds():
    assert [judge_bound(*ends, above=1) for ends in ((1.1, 2), (0.9, 2), (0.5, 0.9))] == [
        "supported",
        "undecided",
        "contradicted",
    ]
    assert [judge_bound(*ends, below=-1) for ends in ((-3, -2), (-3, 0), (-0.5, 0))] == [
        "supported",
        "undecided",
        "contradicted",
    ]


def test_the_best_of_several():
    up, down, open_ = gain(0.5, 1), gain(-1, -0.5), gain(-1, 1)
    assert judge_best([[up, up], [open_, down]]) == "supported"
    assert judge_best([[up, open_], [up, down]]) == "undecided"
    assert judge_best([[up, down], [up, down]]) == "contradicted"  # the second other row beats both
    assert judge_best([[up, down], [down, open_]]) == "undecided"
    assert judge_best([[up, None]]) == "not run"


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "undecided"], "undecided"),
        (["supported", "not run"], "undecided"),
        (["not run", "not run"], "not run"),
        (["supported", "not run", "contradicted"], "contradicted"),
        (["supported", "holds in this training"], "holds in this training"),  # a count, and what one training shows
        (["holds in this training", "undecided"], "undecided"),
        (["holds in this training", "fails in this training", "not run"], "fails in this training"),
        (["fails in this training", "contradicted"], "contradicted"),
    ],
)
def test_a_claim_is_as_good_as_its_conditions(verdicts, verdict):
    assert judge_claim(verdicts) == verdict


def test_what_one_training_shows_is_neither_support_nor_contradiction():
    verdicts = ("supported", "contradicted", "undecided", "not run")
    few, more = ([below_paper(verdict, few=few) for verdict in verdicts] for few in (True, False))
    assert few == ["holds in this training", "fails in this training", "undecided", "not run"]
    assert more == ["holds at this scale", "fails at this scale", "undecided", "not run"]
    assert judge_claim(["holds at this scale", "holds in this training", "supported"]) == "holds in this training"
    assert judge_claim(["holds at this scale", "supported"]) == "holds at this scale"
    assert judge_claim(["fails at this scale", "holds in this training"]) == "fails at this scale"


def test_several_trainings_contradict_a_size_that_another_could_not_reach():
    several = Gain(0.8, 0.7, 0.9, 0.95, 3, "made up", of="seeds")  # another one: 0.6 to 1.0
    assert judge_gain(several, (1.05, 1.2), 0.0, paper=True) == "contradicted"
    assert judge_gain(several, (0.95, 1.2), 0.0, paper=True) == "supported"


def test_the_six_claims_speak_of_what_the_tables_hold(project):
    claims = load_claims(load_replication("demo").tables)
    assert [claim.id for claim in claims] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    assert [len(claim.conditions) for claim in claims] == [1, 4, 2, 5, 3, 2]
    assert load_claims(load_replication("demo", tables=["imagenet"]).tables) == claims  # the rest is left unchecked


def _at(claim, condition, kind, **settings):
    def change(value):
        value["claims"][claim]["conditions"][condition][kind].update(settings)

    return change


def test_a_gain_of_masks_is_not_compared_with_one_of_boxes(project):
    def change(value):
        settings = {"table": "coco-two-stage", "column": "mask_ap", "than": "ap", "row": "Mask R-CNN SGE-ResNet50"}
        value["claims"][3]["conditions"][0] = {"larger_gain": settings}

    project(CLAIMS, change)
    with pytest.raises(InputError, match="than: found 'ap' with 'mask_ap', expected both of boxes or both of masks"):
        load_claims(load_replication("demo").tables)


def test_the_best_of_all_rows_is_no_claim(project):
    replication = load_replication("demo")
    (table,) = [table for table in replication.tables if table.id == "ablation-groups"]
    project(CLAIMS, _at(4, 1, "best", rows=[row.label for row in table.rows]))
    with pytest.raises(InputError, match="best.rows: found every row of ablation-groups, expected one or more left"):
        load_claims(replication.tables)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_at(0, 0, "gain", row="SGE"), r"claims.0.conditions.0.gain.row: found 'SGE', expected the label of a"),
        (_at(0, 0, "gain", over="SGE"), r"claims.0.conditions.0.gain.over: found 'SGE', expected the label"),
        (_at(0, 0, "gain", row="ResNet50"), r"gain.over: missing, and 'ResNet50' has no baseline"),
        (_at(0, 0, "gain", column="params"), r"gain.column: found 'params', expected one of top1, top5"),
        (_at(0, 0, "gain", table="imagnet"), r"gain.table: found 'imagnet', expected a file of params/tables/"),
        (_at(0, 0, "gain", table="x" * 300), r"gain.table: found 'xxx.*, expected a file of params/tables/"),
        (_at(0, 0, "gain", abov=1), r"claims.0.conditions.0.gain.abov: unknown key, did you mean above\?"),
        (_at(0, 0, "gain", over="SGE-ResNet50"), r"gain.over: found 'SGE-ResNet50', which is the row itself, expected"),
        (_at(0, 0, "gain", claimed=[2, 1]), r"gain.claimed: found \[2.0, 1.0\], expected the smallest gain first"),
        (_at(0, 0, "gain", above=1), r"gain.claimed: found together with above, expected one of the two"),
        (_at(3, 0, "larger_gain", than="ap_small"), r"larger_gain.than: found 'ap_small', which is the column itself"),
        (_at(5, 0, "statistic", name="variance"), r"statistic.name: found 'variance', expected one of variance_ratio"),
        (
            _at(5, 0, "statistic", below=1),
            r"0.statistic.above: found .* with below 1.*, expected one of the two",
        ),
        (_at(2, 0, "extra", columns=["top1"]), r"extra.columns.0: found 'top1', expected one of params, gflops, macs"),
        (_at(3, 0, "larger_gain", than="top1"), r"larger_gain.than: found 'top1', expected one of ap, ap_small"),
        (_at(4, 1, "best", rows=["G = 7"]), r"best.rows.0: found 'G = 7', expected the label of a row of ablation-gro"),
        (lambda value: value["claims"][1].update(id="C1"), r"claims: found id 'C1' twice, expected unique ones"),
    ],
)
def test_bad_claims_are_told_in_one_sentence(project, change, sentence):
    project(CLAIMS, change)
    with pytest.raises(InputError, match=f"{CLAIMS}: .*{sentence}"):
        load_claims(load_replication("demo").tables)
