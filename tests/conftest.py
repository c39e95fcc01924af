"""A copy of the project's parameters to change, and the place of the shared data."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the project's params and schemas as working directory; returns an editor of its YAML files."""
    for folder in ("params", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)

    def edit(path, change):
        """Load a YAML file, let `change` alter it, write it back."""
        value = yaml.safe_load(Path(path).read_text())
        change(value)
        Path(path).write_text(yaml.safe_dump(value))

    return edit


@pytest.fixture
def shared():
    """Folder of shared data and cases; the test is skipped where there is none."""
    folder = Path(os.environ.get("SGENET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (environment variable SGENET_SHARED)")
    return folder
