"""`sgenet check-module`: the modules of the registry and the documented one pass; a fault fails its check."""

import re
from pathlib import Path

import pytest
import torch

from sgenet.attention import names
from sgenet.cli import main
from sgenet.pipeline import check_module
from sgenet.pipeline.module_checks import CHECKS
from support.modules import attention_module

DOCUMENT = (Path(__file__).parents[2] / "docs/own-module.md").read_text()
OWN = re.search(r"^```python\n(.*?)^```$", DOCUMENT, re.M | re.S)[1]
MODULE = """
import torch
from torch import nn

__all__ = ["Own"]


class Own(nn.Module):
    def __init__(self, channels, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        {init}

    def forward(self, x):
        {forward}
"""
TITLES = [*CHECKS, "operations", "time"]


@pytest.fixture(autouse=True)
def quick(project, monkeypatch):
    """The working directory has parameters; the timed block is small."""
    monkeypatch.setattr(check_module, "_SIDE", 4)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def check(capsys, name):
    """The exit status, and title -> (result, text)."""
    status = main(["check-module", name, "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()[1:]
    found = [re.fullmatch(rf"(ok|FAILED) +({'|'.join(TITLES)}) +(.+)", line).groups() for line in lines]
    return status, {title: (result, text) for result, title, text in found}


@pytest.mark.parametrize("name", names())
def test_every_registered_module_passes(capsys, name):
    status, found = check(capsys, name)
    assert status == 0 and list(found) == TITLES and {result for result, _ in found.values()} == {"ok"}


def test_the_documented_module_passes(capsys, tmp_path):
    with attention_module(tmp_path / "attention", "eca", OWN):
        status, found = check(capsys, "eca")
    assert status == 0 and {result for result, _ in found.values()} == {"ok"}
    shown = {title: text for title in TITLES for text in re.findall(rf"^ok +{title} +(.+)$", DOCUMENT, re.M)}
    assert list(shown) == TITLES
    for title in set(TITLES) - {"bf16", "time"}:
        assert found[title][1] == shown[title]


FAULTS = {
    "output shape": [
        ("pass", "return x.mean((2, 3))", r"found an output of shape \(2, 256\), expected \(2, 256, 14, 14\)"),
        (
            "self.conv = nn.Conv2d(channels, channels, 3)",
            "return self.conv(x) * self.weight",
            "found an output of shape",
        ),
    ],
    "1 x 1 maps": [("pass", "return x / x.var((2, 3), keepdim=True) * self.weight", "the output is not finite")],
    "odd sizes": [
        (
            *("pass", "return x.unflatten(3, (-1, 2)).flip(4).flatten(3) * self.weight if x.shape[3] > 1 else x"),
            "RuntimeError in own.py, line 15: unflatten",
        )
    ],
    "gradients": [
        (
            "pass",
            "return x * self.weight * x.pow(2).sum(1, keepdim=True).sqrt()",
            "gradient .* is not finite, for zero maps",
        ),
        ("self.extra = nn.Parameter(torch.ones(1))", "return x * self.weight", "extra has no gradient"),
        ("pass", "return x * self.weight / x.exp().sum((2, 3), keepdim=True)", "is not finite, for large maps"),
    ],
    "channels_last": [
        (
            "pass",
            "return (x.view(x.shape[0], -1) * 1.0).view(x.shape) * self.weight",
            "RuntimeError in own.py, line 15: view size",
        ),
        (
            "pass",
            "return torch.as_strided(x, x.shape, [*x[:1].contiguous().stride()]) * self.weight",
            "the output differs by",
        ),
    ],
    "bf16": [("pass", "return (x + 1000 - 1000) * self.weight", "the output differs by")],
    "narrow width": [
        (
            "self.norm = nn.GroupNorm(64, channels)",
            "return self.norm(x) * self.weight",
            r"num_channels \(32\) must be divisible",
        ),
    ],
    "state dict": [
        ("self.shift = float(torch.rand(()))", "return x * self.weight + self.shift", "returns other numbers"),
        ("pass", "self.late = nn.Parameter(self.weight.data); return x * self.weight", "the names differ after a pass"),
    ],
    "operations": [
        ("pass", "return x * self.weight if x.mean().item() < 1e6 else x", "cannot be called on meta tensors")
    ],
}


@pytest.mark.parametrize(
    ("title", "init", "forward", "why"), [(title, *fault) for title, faults in FAULTS.items() for fault in faults]
)
def test_a_fault_fails_its_check(capsys, tmp_path, title, init, forward, why):
    with attention_module(tmp_path / "attention", "own", MODULE.format(init=init, forward=forward)):
        status, found = check(capsys, "own")
    result, text = found[title]
    assert status == 1 and result == "FAILED" and re.search(why, text), found


def test_an_unknown_name_is_refused(capsys):
    assert main(["check-module", "sgr"]) == 2
    expected = "sgenet: check-module: found 'sgr', expected the name of a file in sgenet/attention; did you mean sge?\n"
    assert capsys.readouterr().err == expected
