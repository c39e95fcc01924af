"""A small replication that was really run, at scale `smoke`: two classifiers, two detectors, and the report."""

import shutil
from pathlib import Path

import pytest

from sgenet.config.replication import Replication, load_replication
from sgenet.pipeline import full_size, steps
from sgenet.report import build
from support.results import ROOT

ROWS = "ResNet50,SGE-ResNet50,RetinaNet ResNet50,RetinaNet SGE-ResNet50"
TABLES = ("imagenet", "coco-retinanet")


def load() -> Replication:
    """Load it from the working folder."""
    return load_replication("smoke", 1, [*TABLES], rows=ROWS)


@pytest.fixture(scope="session")
def verified(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """A folder in which two classifiers and two detectors were trained and evaluated, with a report."""
    folder = tmp_path_factory.mktemp("verified")
    for part in ("params", "workflow"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copytree(prepared, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        replication = load()
        for run in sorted(replication.runs.values(), key=lambda run: run.task):  # a detector starts from a classifier
            steps.train(replication, run, 0)
            steps.evaluate(replication, run, 0)
        steps.activations(replication)
        full_size.complexity(replication)
        assert build(replication) == []
    return folder


@pytest.fixture
def replication(verified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replication:
    """A copy of that folder as working folder."""
    shutil.copytree(verified, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb"))
    monkeypatch.chdir(tmp_path / "copy")
    return load()
