"""What is told beside results of how they were made is believed as far as it can be checked, and refused where bad."""

import json
import os

import pytest
import xxhash
from snakemake.persistence.file import FilePersistence

from sgenet.errors import InputError
from sgenet.pipeline import adopt
from sgenet.runtime import locks

PLACE = "results/smoke/classification/a/seed-0/.made.json"
OUTPUT = "results/smoke/classification/a/seed-0/training.json"


def told(**changes):
    entry = {
        "rule": "train_classifier",
        "code": "sgenet train",
        "params": ["'smoke'"],
        "input": [],
        "inputs": {},
        "outputs": {OUTPUT: xxhash.xxh3_128_hexdigest(b"{}")},
    }
    return {OUTPUT: entry | changes}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a record beside an output whose content is `{}`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / PLACE).parent.mkdir(parents=True)
    (tmp_path / OUTPUT).write_text("{}")
    return lambda value: (tmp_path / PLACE).write_text(json.dumps(value))


def remembered():
    return FilePersistence()._read_record(OUTPUT)


def test_a_file_that_is_as_told_is_taken_over_once(write, capsys):
    write(told())
    adopt.adopt("smoke")
    assert remembered().params == ["'smoke'"] and remembered().endtime == os.stat(OUTPUT).st_mtime
    assert "1 jobs taken over" in capsys.readouterr().err
    before = os.stat(OUTPUT).st_mtime_ns
    adopt.adopt("smoke")
    assert os.stat(OUTPUT).st_mtime_ns == before and not capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {OUTPUT: xxhash.xxh3_128_hexdigest(b"{} ")}},
        {"outputs": {OUTPUT: xxhash.xxh3_128_hexdigest(b"{}"), f"{OUTPUT}.more": "0" * 32}},
        {"inputs": {"results/smoke/input.json": "0" * 32}},
    ],
)
def test_a_file_that_is_not_as_told_has_parameters_that_no_rule_has(write, tmp_path, changes):
    (tmp_path / "results/smoke/input.json").write_text("{}")
    write(told(**changes))
    adopt.adopt("smoke")
    assert remembered().params == []


def test_what_a_step_made_by_hand_is_left_alone(write, tmp_path):
    write(told())
    adopt.adopt("smoke")
    (tmp_path / OUTPUT).write_text('{"by": "hand"}')
    os.utime(OUTPUT, (1, 1))
    adopt.adopt("smoke")
    assert remembered().params == ["'smoke'"] and os.stat(OUTPUT).st_mtime == 1


def test_nothing_is_taken_over_while_a_workflow_is_at_work(write):
    write(told())
    with locks.lock(locks.CHECKOUT, "this checkout"):
        adopt.adopt("smoke")
    assert remembered() is None


def test_an_empty_folder_is_made(write, tmp_path):
    folder = "data/smoke/classification"
    empty = f"folder {xxhash.xxh3_128_hexdigest(b'')}"
    write(told(outputs={OUTPUT: xxhash.xxh3_128_hexdigest(b"{}"), folder: empty}))
    adopt.adopt("smoke")
    assert (tmp_path / folder).is_dir() and remembered().params == ["'smoke'"]


@pytest.mark.parametrize(
    "value",
    [
        *([], {}, 1, {OUTPUT: None}, {OUTPUT: {}}, {"other": told()[OUTPUT]}, told(more=1), told(rule=1)),
        *(told(params="smoke"), told(params=[1]), told(inputs=[]), told(inputs={"a": 1}), told(outputs=None)),
        told(inputs={"/dev/zero": "0" * 32}),
        *(told(outputs={OUTPUT: "0" * 32, path: "0" * 32}) for path in ("params/pipeline.yaml", "results/paper/a")),
        *(told(outputs={OUTPUT: "0" * 32, path: "0" * 32}) for path in ("/tmp/a", "results/smoke/../../../a", "a\0")),
    ],
)
def test_anything_else_is_refused_in_one_sentence(write, tmp_path, value):
    write(value)
    if value == {}:
        return adopt.adopt("smoke")
    with pytest.raises(InputError, match=r"^results/smoke/classification/a/seed-0/\.made\.json: [^\n]*$"):
        adopt.adopt("smoke")
    assert remembered() is None and sorted(path.name for path in tmp_path.iterdir()) == [".snakemake", "results"]
