"""Counts against every digit that the paper prints, and against sums by hand."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from sgenet.complexity import count
from sgenet.complexity.count import count_model

ROOT = Path(__file__).parents[2]
PUBLISHED = [
    (path.stem, row["model"] if "model" in row else row["run"].rpartition("/")[2], row["published"])
    for path in sorted((ROOT / "params" / "tables").glob("*.yaml"))
    for row in yaml.safe_load(path.read_text())["rows"]
]


@pytest.mark.parametrize(("table", "model", "published"), PUBLISHED)
def test_every_printed_digit_is_met(table, model, published):
    counted = count_model(model, backbone=table.startswith("coco"))
    assert round(counted["params"] / 1e6, 2) == published["params"]["value"]
    assert round(counted["gflops"], 3) == published["gflops"]["value"]


def test_the_authors_counter_to_its_last_digit():
    assert count_model("resnet50")["gflops"] == pytest.approx(4.121924, abs=5e-7)
    assert count_model("sge-resnet50")["gflops"] == pytest.approx(4.127443, abs=5e-7)
    assert count_model("sge-resnet50", backbone=True)["gflops"] == pytest.approx(88.1493, abs=5e-5)


def test_multiply_adds_of_a_small_net_by_hand(monkeypatch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.conv(x).relu().mean((2, 3)))

    monkeypatch.setattr(count, "create_resnet", lambda *args, **settings: Net())
    counted = count_model("net", size=(5, 6))
    convolution, linear, relu, mean = 4 * 27 * 30, 8, 4 * 30, 4 * 30
    assert counted["macs"] == convolution + linear + relu + mean
    assert counted["gflops"] * 1e9 == pytest.approx(4 * 28 * 30 + linear)  # conv with its bias; functional relu unseen
    assert counted["params"] == 4 * 28 + 10


def test_products_agree_with_torchs_flop_counter():
    from torch.utils.flop_counter import FlopCounterMode

    from sgenet.models.resnet import create_resnet

    with torch.device("meta"):
        network, image = create_resnet("resnet50").eval(), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as torchs:
        network(image)
    elementwise = count_model("resnet50")["macs"] - torchs.get_total_flops() // 2
    assert 0 < elementwise < 0.02 * torchs.get_total_flops()
