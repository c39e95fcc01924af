"""A copy of the project's parameters to change, and the place of the shared data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each; torch reads this when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that all processes end at about the same time."""
    order = {"test_replication.py": 0, "workflow": 1, "training": 2, "runtime": 2, "pipeline": 2}
    items.sort(key=lambda item: min(order.get(name, 3) for name in (item.path.name, item.path.parent.name)))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the project's params and schemas as working directory; returns an editor of its YAML files."""
    import yaml  # tests of the kernels run without it

    for folder in ("params", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)

    def edit(path, change):
        """Load a YAML file, let `change` alter it, write it back."""
        value = yaml.safe_load(Path(path).read_text())
        change(value)
        Path(path).write_text(yaml.safe_dump(value))

    return edit


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with the data of both tasks at scale `smoke`, to be copied."""
    from sgenet.config.replication import load_replication
    from sgenet.pipeline import steps

    folder = tmp_path_factory.mktemp("prepared")
    for part in ("params", "workflow"):
        shutil.copytree(ROOT / part, folder / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for task in ("classification", "detection"):
            steps.prepare(load_replication("smoke"), task)
    return folder / "data"


@pytest.fixture
def prepared_project(project, prepared):
    """As `project`, where the data of scale `smoke` are prepared."""
    shutil.copytree(prepared, "data")
    return project


AUDIT = """
import sys
def by_numba():  # which keeps what it compiled beside the modules, as Python does
    frame = sys._getframe(2)
    while frame and "/numba/core/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None
def note(event, found, log=open({log!r}, "a", buffering=1)):
    if event == "pickle.find_class" and not by_numba():
        print(*found, file=log)
sys.addaudithook(note)
"""


@pytest.fixture
def unpickled(tmp_path):
    """An environment whose Python processes note each class or function that a pickle names, and the file with them."""
    folder, log = tmp_path / "audit", tmp_path / "unpickled"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AUDIT.format(log=str(log)))
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    load = "import collections, pickle; pickle.loads(pickle.dumps(collections.OrderedDict()))"
    subprocess.run([sys.executable, "-c", load], env=environment, check=True)
    assert log.read_text() == "collections OrderedDict\n"
    log.write_text("")
    return environment, log


@pytest.fixture
def shared():
    """Folder of shared data and cases; the test is skipped where there is none."""
    folder = Path(os.environ.get("SGENET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (environment variable SGENET_SHARED)")
    return folder
