"""The tables in params/tables/ against the recovered published values, and what follows from them."""

import hashlib
import json
import re

import pytest
import yaml

from sgenet.config.replication import load_replication
from sgenet.config.tables import Published, load_table
from sgenet.errors import InputError

NAMES = ["imagenet", "coco-two-stage", "coco-retinanet", "ablation-groups", "ablation-init", "ablation-normalization",
         "author-logs", "complexity"]  # fmt: skip
DETECTORS = {"Faster RCNN": "Faster R-CNN ", "Mask RCNN": "Mask R-CNN ", "Cascade RCNN": "Cascade R-CNN "}


@pytest.fixture(scope="module")
def tables():
    return {name: load_table(name) for name in NAMES}


@pytest.fixture
def recovered(shared):
    path = shared / "paper/tables.yaml"
    if not path.is_file():
        pytest.skip(f"no recovered values at {path}")
    return yaml.safe_load(path.read_text())


def _expected(cell):
    return cell["value"], tuple(cell["sources"]), cell["confidence"]


@pytest.mark.parametrize(("name", "id"), [("imagenet", "imagenet"), ("coco-two-stage", "coco_two_stage"),
                                          ("coco-retinanet", "coco_retinanet")])  # fmt: skip
def test_published_values_are_the_recovered_ones(tables, recovered, name, id):
    source = next(table for table in recovered["tables"] if table["id"] == id)
    rows = {row.label: row for row in tables[name].rows}
    labels = [f"{DETECTORS.get(row.get('detector'), 'RetinaNet ' * ('detector' in row))}{row['model']}"
              for row in source["rows"]]  # fmt: skip
    assert list(rows) == labels and len(rows) == {"imagenet": 12, "coco_two_stage": 15, "coco_retinanet": 6}[id]
    for label, row in zip(labels, source["rows"], strict=True):
        cells = {key: cell for key, cell in row.items() if isinstance(cell, dict)}
        found = rows[label].published
        assert {key: (cell.value, cell.source, cell.confidence) for key, cell in found.items()} == {
            key: _expected(cell) for key, cell in cells.items()
        }
        for key, cell in cells.items():
            if "alternative" in cell:
                assert str(cell["alternative"]["value"]) in found[key].note
            if "note" in cell:
                assert found[key].note or found[key].difference
        assert bool(rows[label].note) == ("note" in row)


def test_author_logs_are_the_recovered_ones(tables, recovered):
    keys = {"top1": "best_val_top1", "top1_last": "final_val_top1", "top1_mean10": "mean_last10"}
    keys["readme_top1"] = "readme_top1"
    logs = {log["model"]: log for log in recovered["author_logs"]}
    rows = {row.label: row for row in tables["author-logs"].rows}
    assert logs.keys() - rows.keys() == {"ShuffleNetV2_1x"} and rows.keys() < logs.keys()
    for label, row in rows.items():
        assert {key: cell.value for key, cell in row.published.items()} == {
            key: logs[label][name] for key, name in keys.items()
        }
        assert bool(row.published["readme_top1"].note) != logs[label]["readme_equals_best"]


# Of the values that params/tables/ publishes. After a deliberate change, take the digest that the failing test shows.
PUBLISHED = "ec3a481998e6761b3ffc833971e1a4c2507776f4e9b43769ccccef2b75d679b7"


def test_published_values_are_as_they_were_checked(tables):
    values = {
        f"{name}/{row.label}/{column}": [cell.value, "".join(cell.source), cell.confidence]
        for name, table in tables.items()
        for row in table.rows
        for column, cell in row.published.items()
    }
    assert hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest() == PUBLISHED


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"baseline": "SE-ResNet50"}, r"rows.6.baseline: found 'SE-ResNet50', which has a baseline itself"),
        ({"model": "se-resnet50", "settings": {"width": 32}}, r"rows.6.settings: found other settings for se-resnet50"),
    ],
)
def test_a_table_of_complexity_that_cannot_be_counted_or_timed(project, change, sentence):
    project("params/tables/complexity.yaml", lambda table: table["rows"][6].update(change))
    with pytest.raises(InputError, match=f"params/tables/complexity.yaml: {sentence}"):
        load_table("complexity")


@pytest.mark.parametrize(
    ("column", "resolution", "sentence"),
    [
        (0, {"value": 0.1, "reason": "r"}, "columns.0.resolution: found for params, expected only for trained columns"),
        (2, {"value": 0, "reason": "r"}, "columns.2.resolution.value: found 0, expected more than 0"),
        (2, {"value": 0.1}, "columns.2.resolution.reason: missing"),
    ],
)
def test_a_resolution_is_above_0_and_of_a_trained_column(project, column, resolution, sentence):
    project("params/tables/imagenet.yaml", lambda table: table["columns"][column].update(resolution=resolution))
    with pytest.raises(InputError, match=f"params/tables/imagenet.yaml: {sentence}"):
        load_table("imagenet")


def test_every_published_column_that_is_trained_has_a_resolution(tables):
    for table in tables.values():
        printed = {column for row in table.rows for column in row.published}
        for column in table.columns:
            assert bool(column.resolution) == (column.trained and column.id in printed), (table.id, column.id)


def test_complexity_repeats_the_published_counts(tables):
    models = [f"{module}{net}" for net in ("ResNet50", "ResNet101")
              for module in ("", "SE-", "SK-", "BAM-", "CBAM-", "GC-", "SGE-")]  # fmt: skip
    rows, imagenet = tables["complexity"].rows, {row.label: row for row in tables["imagenet"].rows}
    assert [row.label for row in rows] == models
    for row in rows:
        counts = imagenet[row.label].published if row.label in imagenet else {}
        assert row.published == {key: cell for key, cell in counts.items() if key in ("params", "gflops")}


def test_ablations_have_no_published_value_and_meet_at_the_main_run(tables):
    sizes = {"groups": 6, "init": 4, "normalization": 2}
    for name, size in sizes.items():
        table = tables[f"ablation-{name}"]
        assert len(table.rows) == size and not any(row.published for row in table.rows)
        (main,) = [row for row in table.rows if row.run == "sge-resnet50"]
        assert main.baseline is None and "inferred" in main.note
        assert {row.baseline for row in table.rows if row is not main} == {main.label}


def test_baselines_are_the_plain_networks_of_the_same_depth(tables):
    for name in ("imagenet", "coco-two-stage", "coco-retinanet", "author-logs", "complexity"):
        runs = {row.label: row.run for row in tables[name].rows}
        for row in tables[name].rows:
            plain = re.sub(r"[a-z]+-(?=resnet)", "", row.run)
            assert runs.get(row.baseline, row.run) == plain


def test_differences_are_explained(tables):
    explained = {
        (name, row.label): cell.difference
        for name in NAMES
        for row in tables[name].rows
        for cell in row.published.values()
        if cell.difference
    }
    sk = {(name, f"SK-ResNet{depth}") for name in ("imagenet", "complexity") for depth in (50, 101)}
    se = {("coco-two-stage", f"{detector}SE-ResNet101") for detector in DETECTORS.values()}
    assert explained.keys() == sk | se


def test_optional_parts_of_a_published_value(project):
    def change(table):
        del table["rows"][0]["published"]["top1"]["confidence"]

    project("params/tables/imagenet.yaml", change)
    row = load_replication("demo", tables=["imagenet"]).tables[0].rows[0]
    assert row.published["top1"] == Published(value=76.384, source=("H", "A", "C", "L"), confidence="medium")
