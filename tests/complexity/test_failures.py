"""A module that fails loses its own rows: the others are counted, timed, and shown."""

import json

import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.pipeline import full_size
from sgenet.report import build
from sgenet.runtime.files import read_json
from support.modules import attention_module

CANNOT_BE_COUNTED = """
from torch import nn

__all__ = ["Own"]


class Own(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x if x.mean().item() < 1000 else x / 2
"""
FAILS = CANNOT_BE_COUNTED.replace("x.mean().item() < 1000", "x.men()")
IS_NO_PYTHON = "__all__ = ['Own']\nclass Own:\n    def"


@pytest.fixture
def table(project):
    """A table of complexity whose second row is that of the module, and the baseline of the third."""

    def change(table):
        table["rows"] = [
            {"label": "plain", "model": "resnet18"},
            {"label": "own", "model": "own-resnet18"},
            {"label": "with SGE", "model": "sge-resnet18", "baseline": "own"},
        ]

    project("params/tables/complexity.yaml", change)
    project("params/claims.yaml", lambda value: value.update(claims=[]))
    project("params/pipeline.yaml", lambda value: value.update(tables=["complexity"]))


@pytest.mark.parametrize(
    ("code", "counted", "timed"),
    [
        (CANNOT_BE_COUNTED, "RuntimeError in own.py, line 12: Tensor.item() cannot be called on meta tensors", None),
        (FAILS, *2 * ["AttributeError in own.py, line 12: 'Tensor' object has no attribute 'men'"]),
        (IS_NO_PYTHON, *2 * ["SyntaxError in own.py, line 3: invalid syntax (own.py, line 3)"]),
    ],
)
def test_a_module_that_fails_loses_its_own_row(table, tmp_path, capsys, code, counted, timed):
    own, others = "complexity/own-resnet18", ["complexity/resnet18", "complexity/sge-resnet18"]
    with attention_module(tmp_path / "attention", "own", code):
        for step, why in (("complexity", counted), ("latency", timed)):
            assert main([step, "--scale", "smoke"]) == 0
            shown = capsys.readouterr().out
            assert (own in shown) == bool(why) and (why or "") in shown
        replication = load_replication("smoke")
        assert build(replication) == []
    counts, times = (read_json(path("smoke")) for path in (paths.complexity, paths.latency))
    assert list(counts["models"]) == others and counts["failed"] == {own: counted}
    assert list(times["models"]) == (others if timed else [others[0], own, others[1]])
    assert times.get("failed", {}) == ({own: timed} if timed else {})
    verdicts = {
        row["run"]: {name: cell["verdict"] for name, cell in row["cells"].items()}
        for row in json.loads((paths.report("smoke") / "comparison.json").read_text())["tables"][0]["rows"]
    }
    assert set(verdicts[own].values()) == {"failed"}
    assert all("failed" not in verdicts[other].values() for other in others)
    page = (paths.report("smoke") / "index.html").read_text()
    assert ("Not counted: " in page, "Not timed: " in page) == (True, bool(timed))
    assert "own.py, line" in page
    assert not timed or "no baseline" in page


def test_without_a_failure_the_record_is_as_before(table, project):
    project("params/tables/complexity.yaml", lambda table: table.update(rows=table["rows"][:1]))
    replication = load_replication("smoke")
    full_size.complexity(replication)
    assert read_json(paths.complexity("smoke")).keys() == {"models", "origin"}


def test_alone_it_is_refused(project, tmp_path, capsys):
    with attention_module(tmp_path / "attention", "own", FAILS):
        assert main(["complexity", "own-resnet18"]) == 2
    expected = "sgenet: own-resnet18: cannot be counted: AttributeError in own.py, line 12: 'Tensor' object has no"
    assert capsys.readouterr().err.startswith(expected)
