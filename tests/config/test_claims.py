"""params/claims.yaml: the claims and the main gains, and what is refused there."""

import pytest

from sgenet.config.claims import load_claims
from sgenet.config.replication import load_replication
from sgenet.errors import InputError

CLAIMS = "params/claims.yaml"
SMALL, ABLATIONS, STATISTICS = 3, 5, 6  # places of C4a, C5 and C6


def test_the_claims_name_rows_and_columns_of_the_tables(project):
    tables = load_replication("demo").tables
    found = load_claims(tables)
    sizes = {claim.id: len(claim.conditions) for claim in found.claims}
    assert sizes == {"C1": 1, "C2": 4, "C3": 2, "C4a": 2, "C4b": 3, "C5": 3, "C6": 2, "C7": 4}
    assert load_claims(load_replication("demo", tables=["imagenet"]).tables) == found  # the rest is left unchecked
    by_id = {table.id: table for table in tables}
    for main in found.main_gains:  # each was published, with the plain network of the same detector as its baseline
        table = by_id[main.table]
        row = table.row(main.row)
        pair = row, table.row(row.baseline)
        assert all(main.column in one.published for one in pair)
        assert [one.run.rpartition("/")[2].rpartition("resnet")[0] for one in pair] == ["sge-", ""]
    assert len(found.main_gains) == 8 == len({(main.table, main.row, main.column) for main in found.main_gains})


def test_a_least_size_has_no_upper_end(project):
    claims = {claim.id: claim for claim in load_claims(load_replication("demo").tables).claims}
    assert [condition.size for condition in claims["C4b"].conditions] == [(1.0, None), (1.0, None), None]
    assert [condition.size for condition in claims["C7"].conditions] == [(0.7, 0.7), *[(1.6, 1.8)] * 3]


def _at(claim, condition, kind, **settings):
    def change(value):
        value["claims"][claim]["conditions"][condition][kind].update(settings)

    return change


def _main(**settings):
    def change(value):
        value["main_gains"][0].update(settings)

    return change


def test_a_gain_of_masks_is_not_compared_with_one_of_boxes(project):
    def change(value):
        settings = {"table": "coco-two-stage", "column": "mask_ap", "than": "ap", "row": "Mask R-CNN SGE-ResNet50"}
        value["claims"][SMALL]["conditions"][0] = {"larger_gain": settings}

    project(CLAIMS, change)
    with pytest.raises(InputError, match="than: found 'ap' with 'mask_ap', expected both of boxes or both of masks"):
        load_claims(load_replication("demo").tables)


def test_the_best_of_all_rows_is_no_claim(project):
    replication = load_replication("demo")
    (table,) = [table for table in replication.tables if table.id == "ablation-groups"]
    project(CLAIMS, _at(ABLATIONS, 1, "best", rows=[row.label for row in table.rows]))
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
        (_at(0, 0, "gain", more=1), r"claims.0.conditions.0.gain.more: unknown key"),
        (_at(0, 0, "gain", more_then=1), r"gain.more_then: unknown key, did you mean more_than\?"),
        (_at(0, 0, "gain", over="SGE-ResNet50"), r"gain.over: found 'SGE-ResNet50', which is the row itself, expected"),
        (_at(0, 0, "gain", claimed=[2, 1]), r"gain.claimed: found \[2.0, 1.0\], expected gains above 0, the smallest"),
        (_at(0, 0, "gain", claimed=[0, 1]), r"gain.claimed: found \[0.0, 1.0\], expected gains above 0, the smallest"),
        (_at(0, 0, "gain", more_than=0), r"gain.more_than: found 0, expected more than 0"),
        (
            _at(0, 0, "gain", claimed=[1, 2], more_than=1),
            r"gain.claimed: found together with more_than, expected one of the two",
        ),
        (_main(row="SGE"), r"main_gains.0.row: found 'SGE', expected the label of a row of imagenet"),
        (_main(row="ResNet50"), r"main_gains.0.row: found 'ResNet50', expected a row with a baseline"),
        (_main(column="params"), r"main_gains.0.column: found 'params', expected one of top1, top5"),
        (_main(table="imagnet"), r"main_gains.0.table: found 'imagnet', expected a file of params/tables/"),
        (
            _at(SMALL, 0, "larger_gain", than="ap_small"),
            r"larger_gain.than: found 'ap_small', which is the column itself",
        ),
        (
            _at(STATISTICS, 0, "statistic", name="variance"),
            r"statistic.name: found 'variance', expected one of variance_ratio",
        ),
        (
            _at(STATISTICS, 0, "statistic", below=1),
            r"0.statistic.above: found .* with below 1.*, expected one of the two",
        ),
        (_at(2, 0, "extra", columns=["top1"]), r"extra.columns.0: found 'top1', expected one of params, gflops, macs"),
        (_at(SMALL, 0, "larger_gain", than="top1"), r"larger_gain.than: found 'top1', expected one of ap, ap_small"),
        (
            _at(ABLATIONS, 1, "best", rows=["G = 7"]),
            r"best.rows.0: found 'G = 7', expected the label of a row of ablation-gro",
        ),
        (lambda value: value["claims"][1].update(id="C1"), r"claims: found id 'C1' twice, expected unique ones"),
    ],
)
def test_bad_claims_are_refused_in_one_sentence(project, change, sentence):
    project(CLAIMS, change)
    with pytest.raises(InputError, match=f"{CLAIMS}: .*{sentence}"):
        load_claims(load_replication("demo").tables)
