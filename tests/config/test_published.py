"""The published values, and the cells that are still without one."""

import pytest
import yaml

from sgenet.cli import main
from sgenet.config.tables import load_table
from sgenet.errors import InputError
from support import results as make


def test_missing_cells_are_listed_by_table_and_row(capsys):
    assert main(["published", "--missing", "--tables", "coco-retinanet,imagenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = load_table("coco-retinanet").rows
    assert lines[0] == "params/tables/coco-retinanet.yaml: 30 published values, 6 cells without one"
    assert lines[1 : 1 + len(rows)] == [f"  {row.label}: ap" for row in rows]
    assert lines[-1] == "params/tables/imagenet.yaml: 48 published values, 0 cells without one"


def test_values_are_listed_with_their_sources(capsys):
    assert main(["published", "--tables", "imagenet"]) == 0
    assert "top1 77.584 (H, A, C, L)" in capsys.readouterr().out


def test_a_reader_fills_a_cell_in(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make.lay_out(tmp_path)
    table = yaml.safe_load(yaml.safe_dump(make.DETECTION))
    table["rows"][1]["published"] = {"ap_small": {"value": 20.5, "source": ["P"], "confidence": "high"}}
    make.write_table("two", table)
    assert main(["published", "--tables", "two"]) == 0
    assert "  RetinaNet SGE: ap_small 20.5 (P)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "expected"), [(205, "found 205, expected 0 to 100"), (-1, "found -1, expected 0 to 100")]
)
def test_a_percentage_beyond_its_range_is_refused(value, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make.lay_out(tmp_path)
    table = yaml.safe_load(yaml.safe_dump(make.DETECTION))
    table["rows"][0]["published"]["ap"]["value"] = value
    make.write_table("two", table)
    with pytest.raises(InputError, match=rf"two.yaml: rows.0.published.ap.value: {expected}"):
        load_table("two")
