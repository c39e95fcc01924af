"""A finished replication as working folder, and its archive."""

from pathlib import Path

import pytest

from sgenet.archive.contents import archive
from sgenet.archive.read import unpacked
from sgenet.config.replication import Replication
from support.archives import commit_everything
from support.repositories import everything, replication

__all__ = ["everything", "replication"]


@pytest.fixture
def finished(replication: Replication) -> Replication:
    """A replication whose results are complete, whose report is built, and whose source is committed."""
    commit_everything(replication)
    return replication


@pytest.fixture
def written(finished: Replication, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of it, outside of the working folder."""
    path = tmp_path_factory.mktemp("out") / "archive.zip"
    archive(finished, path)
    return path


@pytest.fixture
def folder(written: Path):
    """The unpacked archive."""
    with unpacked(written) as folder:
        yield folder
