"""docs/own-module.md, followed to the letter but for the folder of the file."""

import json
import re
from pathlib import Path

import pytest
import torch

from sgenet.cli import main
from sgenet.complexity.count import count_full_size
from sgenet.config import paths
from sgenet.config.recipes import Attention, Network
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.models.resnet import create_resnet
from sgenet.report import build
from sgenet.training.resume import read_history
from support.modules import attention_module
from support.results import write_counts

DOCUMENT = Path(__file__).parents[2] / "docs/own-module.md"
TABLE = Path("params/tables/imagenet.yaml")


@pytest.fixture
def blocks(project, tmp_path, monkeypatch):
    """The document's code blocks by language, once its file stands in the registry and its row in the table."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    found = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    blocks = {language: [text for name, text in found if name == language] for language, _ in found}
    TABLE.write_text(TABLE.read_text() + blocks["yaml"][0])
    threads = torch.get_num_threads()
    with attention_module(tmp_path / "attention", "eca", blocks["python"][0]):
        yield blocks
    torch.set_num_threads(threads)


def test_the_module_counts_as_the_document_shows(blocks, capsys):
    command, shown = blocks["console"][1].split("\n", 1)
    assert main(command.removeprefix("$ sgenet ").split()) == 0
    assert capsys.readouterr().out == shown
    # 16 blocks of 256, 512, 1024, 2048 channels: kernels of 5, 5, 5, 7 (log2(C) 8 to 11, plus 1, halved, next odd)
    extra = (
        count_full_size("eca-resnet50", Network(width=64, attention=Attention()), backbone=False)["params"] - 25557032
    )
    assert extra == 3 * 5 + 4 * 5 + 6 * 5 + 3 * 7


def test_the_module_trains_and_stands_in_the_report(blocks):
    commands = [line.removeprefix("$ sgenet ") for line in blocks["console"][2].splitlines()]
    replication = load_replication("smoke", tables=["imagenet"])
    assert "classification/eca-resnet50" in replication.runs
    for command in commands:
        assert main(command.split()) == 0
    trained = paths.training("smoke", "classification/eca-resnet50", 0)
    assert len(read_history(trained / "history.csv")) == 2
    run = next(run for run in replication.full_size() if run.model == "eca-resnet50")
    write_counts(replication, {run.id: count_full_size(run.model, run.network, backbone=False)})
    build(replication)
    rows = json.loads((paths.report("smoke") / "comparison.json").read_text())["tables"][0]["rows"]
    assert rows[-1]["label"] == "ECA-ResNet50"
    assert rows[-1]["cells"]["params"]["reproduced"]["value"] == pytest.approx(25.557118)


def test_its_settings_reach_the_module_and_wrong_ones_are_refused(blocks, capsys):
    TABLE.write_text(TABLE.read_text() + blocks["yaml"][1])
    run = load_replication("smoke", tables=["imagenet"]).run("classification/eca-resnet50-k3")
    network = create_resnet(run.model, attention=run.settings.attention.of("eca"), width=8)
    assert network.state_dict()["layer1.0.eca.conv.weight"].shape == (1, 1, 3)
    with pytest.raises(InputError, match="attention.eca: got an unexpected keyword argument 'kernel'"):
        create_resnet(run.model, attention={"kernel": 3}, width=8)
