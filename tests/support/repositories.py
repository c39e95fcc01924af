"""Repositories with made-up results as working folder."""

import shutil
from pathlib import Path

import pytest

from sgenet.config.replication import Replication, load_replication
from support import results as make


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: this project's parameters and schemas, with two small tables in place of the paper's."""
    monkeypatch.chdir(tmp_path)
    make.lay_out(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Replication]:
    """A repository in which everything was run once, to be copied."""
    folder = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make.lay_out(folder)
        replication = load_replication()
        make.make_results(replication)
    return folder, replication


@pytest.fixture
def replication(tmp_path: Path, everything: tuple[Path, Replication], monkeypatch: pytest.MonkeyPatch) -> Replication:
    """Everything was run once: SGE gains a lot of Top-1 and of AP."""
    shutil.copytree(everything[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return everything[1]
