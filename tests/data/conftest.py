"""Small made-up data sets in every form, and what `prepare` makes of them."""

import pytest

from sgenet.config.model import validate
from sgenet.config.scales import CocoData, ImageData
from sgenet.data.prepare import make_data
from support.sources import Source


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


@pytest.fixture
def prepare(source, tmp_path):
    """Prepare the source into `prepare.folder`; returns the manifest."""

    def run(kind, **settings):
        task = "detection" if kind == "coco" else "classification"
        settings = {"source": kind, "root": str(source.root), **settings}
        model = validate(CocoData if kind == "coco" else ImageData, settings, "scale.yaml", ("data", task))
        return make_data(run.folder, model, f"data.{task}.root", tmp_path / "state/known.sqlite", run.refused)

    run.folder, run.refused = tmp_path / "made", tmp_path / "logs/defects.txt"
    return run
