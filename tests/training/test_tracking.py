"""What Weights & Biases is told, offline: names, groups and tags."""

import time
from pathlib import Path

import pytest
import yaml

from sgenet.config.pipeline import WandB
from sgenet.config.runs import load_replication
from sgenet.errors import InputError
from sgenet.pipeline.steps import _tables_of
from sgenet.training.tracking import wandb_run

OFFLINE = WandB(mode="offline", project="a-project")


def test_an_offline_run_holds_name_group_and_tags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tables = ["a-table", "long-" + "x" * 80]
    with wandb_run(OFFLINE, name="a-run seed 7", scale="a-scale", task="a-task", tables=tables, config={}) as log:
        log({"epoch": 1, "loss": 0.5})
    (file,) = Path("wandb").glob("offline-run-*/*.wandb")
    # The process behind wandb writes the file: on a busy machine after `finish` has returned.
    until = time.monotonic() + 60
    while b"loss" not in (written := file.read_bytes()) and time.monotonic() < until:
        time.sleep(0.1)
    for told in ("a-project", "a-run seed 7", "a-scale/a-table", "a-task", "a-table", "long-" + "x" * 59, "loss"):
        assert told.encode() in written
    assert b"x" * 60 not in written


@pytest.mark.parametrize("by", ["settings", "environment"])
def test_disabled_writes_nothing(tmp_path, monkeypatch, by):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled" if by == "environment" else "offline")
    settings = WandB(mode="disabled", project="a-project") if by == "settings" else OFFLINE
    with wandb_run(settings, name="a", scale="b", task="c", tables=["d"], config={}) as log:
        assert log is None
    assert not list(tmp_path.iterdir())


def test_an_odd_mode_in_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "$(touch ran)")
    run = wandb_run(OFFLINE, name="a", scale="b", task="c", tables=["d"], config={})
    with pytest.raises(InputError, match="WANDB_MODE: found .*, expected one of online, offline, disabled"), run:
        pass


def test_a_run_stands_first_with_the_tables_that_show_it(project):
    project("params/pipeline.yaml", lambda value: value.update(tables=["coco-retinanet", "ablation-init", "imagenet"]))
    replication = load_replication("smoke")
    shown = {
        name: [row["run"] for row in yaml.safe_load(Path(f"params/tables/{name}.yaml").read_text())["rows"]]
        for name in ("coco-retinanet", "ablation-init", "imagenet")
    }
    for run in ("resnet50", "se-resnet101", "sge-resnet50", "sk-resnet50"):
        expected = [name for name in ("ablation-init", "imagenet") if run in shown[name]]
        expected += ["coco-retinanet"] * (f"retinanet/{run}" in shown["coco-retinanet"])
        assert _tables_of(replication, replication.run(f"classification/{run}")) == expected
    assert _tables_of(replication, replication.run("detection/retinanet/resnet50")) == ["coco-retinanet"]
