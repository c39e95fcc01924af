"""Latency: medians, quartiles and ratios of given times, and the step that writes them."""

import numpy as np
import pytest

from sgenet.cli import main
from sgenet.complexity import latency
from sgenet.config.recipes import BAM, SGE, SK, Attention, Network
from sgenet.runtime.files import read_json

ATTENTION = Attention(
    bam=BAM(reduction=16, dilation=4),
    sge=SGE(groups=64, gamma=0.0, beta=1.0, normalize=True),
    sk=SK(reduction=16, groups=32),
)
SETTINGS = Network(width=8, attention=ATTENTION)


def test_rounds_are_told_by_median_and_quartiles(monkeypatch):
    seconds = {"plain": np.array([1, 2, 4, 1, 2]), "sge": np.array([2, 3, 4, 1, 3]), "other": np.full(5, 7.0)}
    families = []

    def given(networks, size, rounds, device):
        if rounds:
            families.append(list(networks))
        return {name: seconds[name] for name in networks}

    monkeypatch.setattr(latency, "_time", given)
    networks = {"sge": ("sge-resnet18", SETTINGS), "other": ("resnet34", SETTINGS), "plain": ("resnet18", SETTINGS)}
    found, failed = latency.measure(networks, {"sge": "plain"}, size=32, rounds=5, device="cpu")
    assert not failed and families == [["sge", "plain"], ["other"]] and list(found) == list(networks)
    assert found["sge"]["latency"] == {"value": 3000, "low": 2000, "high": 3000}
    assert found["sge"]["latency_ratio"] == {"value": 1.5, "low": 1, "high": 1.5}  # 2, 1.5, 1, 1, 1.5, round by round
    assert "latency_ratio" not in found["plain"] and found["plain"]["model"] == "resnet18"


@pytest.mark.parametrize("model", ["resnet18", "bam-resnet50", "sk-resnet50"])
def test_networks_to_time_are_whole_and_finite(model):
    import torch

    network = latency._build(model, Network(width=16, attention=ATTENTION), "cpu")
    logits = network(torch.randn(1, 3, 32, 32))
    assert logits.shape == (1, 1000) and torch.isfinite(logits).all() and not network.training


def test_the_step_times_what_a_table_of_complexity_names(project):
    def change(table):
        table["rows"] = [
            {"label": "plain", "model": "resnet18"},
            {"label": "ours", "model": "sge-resnet18", "baseline": "plain"},
        ]

    project("params/tables/complexity.yaml", change)
    project("params/pipeline.yaml", lambda value: value.update(tables=["complexity"]))
    assert main(["latency", "--scale", "smoke"]) == 0
    found = read_json("results/smoke/evaluation/latency.json")
    assert (found["input"], found["rounds"], found["threads"], found["batch"]) == ([32, 32], 2, 1, 1)
    assert list(found["models"]) == ["complexity/resnet18", "complexity/sge-resnet18"]
    assert found["models"]["complexity/sge-resnet18"].keys() == {"model", "latency", "latency_ratio"}
    assert found["origin"]["command"] == "sgenet latency --scale smoke" and found["origin"]["finished"]
