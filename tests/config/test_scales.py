"""The scales in params/scales/."""

from pathlib import Path

import pytest
import yaml

from sgenet.config import params
from support.results import ROOT

SCALE = "params/scales/${scale}.yaml"


@pytest.mark.parametrize("name", params.names("scales"))
def test_every_scale_has_the_keys_that_dvc_tracks(name: str) -> None:
    """DVC refuses a stage if a key of its parameters is missing."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    files = [entry for stage in stages for entry in stage["params"] if isinstance(entry, dict)]
    tracked = {key for entry in files for key in entry.get(SCALE) or []}
    assert {"data", "seeds", "classification"} <= tracked
    assert tracked <= yaml.safe_load(Path(ROOT, "params/scales", f"{name}.yaml").read_text()).keys()
