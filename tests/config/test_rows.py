"""Chosen rows of the tables, and the page that documents tables."""

import re
from pathlib import Path

import pytest

from sgenet.config.claims import left_out, load_claims
from sgenet.config.replication import load_replication
from sgenet.config.tables import METRICS, load_table
from sgenet.errors import InputError

ROOT = Path(__file__).parents[2]


def rows(replication):
    return {table.id: [row.label for row in table.rows] for table in replication.tables}


@pytest.mark.parametrize(
    ("tables", "text", "expected"),
    [
        (["imagenet"], "SGE-ResNet50", {"imagenet": ["ResNet50", "SGE-ResNet50"]}),  # with its baseline
        (["imagenet", "author-logs"], "ResNet50", {"imagenet": ["ResNet50"], "author-logs": ["ResNet50"]}),
        (
            ["ablation-groups", "imagenet"],
            "SGE-ResNet50, G = 8 ,ResNet101",  # labels with commas
            {"ablation-groups": ["SGE-ResNet50, G = 8", "SGE-ResNet50, G = 64"], "imagenet": ["ResNet101"]},
        ),
        (["ablation-normalization"], "", {"ablation-normalization": None}),
    ],
)
def test_rows_are_chosen_with_their_baselines(tables, text, expected):
    replication = load_replication("smoke", tables=tables, rows=text)
    whole = {name: [row.label for row in load_table(name).rows] for name in tables}
    assert rows(replication) == {name: labels or whole[name] for name, labels in expected.items()}
    assert all(set(table.left_out) == set(whole[table.id]) - table.labels for table in replication.tables)


def test_only_chosen_rows_are_run_and_others_are_found_by_name():
    replication = load_replication("smoke", tables=["imagenet"], rows="SGE-ResNet50")
    assert list(replication.runs) == ["classification/resnet50", "classification/sge-resnet50"]
    assert replication.run("classification/se-resnet101").model == "se-resnet101"


def test_an_unknown_row_is_refused_with_the_nearest():
    with pytest.raises(
        InputError, match="rows: found 'SGE-ResNet5', no such row in the chosen tables; did you mean SGE-"
    ):
        load_replication("smoke", tables=["imagenet"], rows="ResNet50,SGE-ResNet5")


def test_rows_of_the_file_are_chosen_and_an_argument_replaces_them(project):
    project("params/pipeline.yaml", lambda value: value.update(rows=["ResNet50"], tables=["imagenet"]))
    assert rows(load_replication("smoke")) == {"imagenet": ["ResNet50"]}
    assert rows(load_replication("smoke", rows="ResNet101")) == {"imagenet": ["ResNet101"]}
    assert len(load_replication("smoke", rows="").tables[0].rows) > 2


@pytest.mark.parametrize(
    ("chosen", "lacking"),
    [("SGE-ResNet50", {"SGE-ResNet101"}), ("ResNet101", {"SGE-ResNet50", "SGE-ResNet101"})],
)
def test_claims_need_the_rows_that_they_name(chosen, lacking):
    (table,) = load_replication("smoke", tables=["imagenet"], rows=chosen).tables
    conditions = [condition for claim in load_claims([table]).claims for condition in claim.conditions]
    of_table = [condition for condition in conditions if getattr(condition, "table", None) == table.id]
    assert of_table and {left_out(condition, table) for condition in of_table} - {None} == lacking


def test_the_page_of_tables_lists_every_metric():
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/tables.md").read_text(), re.M)))
    assert sorted(listed) == sorted(["id", *METRICS])
