"""Generated files are those of the models, and the files of params/ fit the schemas."""

import json

import jsonschema
import pytest

from sgenet.config.plain_yaml import read_yaml
from sgenet.pipeline import schemas
from support.checkout import ROOT


def test_generated_files_are_up_to_date():
    for path, text in {**schemas.schemas(), schemas.PAGE: schemas.page()}.items():
        assert (ROOT / path).read_text() == text, f"{path}: run `make schemas`"


@pytest.mark.parametrize("name", [name for name, (title, _) in schemas.FILES.items() if title.startswith("params/")])
def test_parameters_fit_their_schema_and_an_unknown_key_does_not(name):
    title, _ = schemas.FILES[name]
    schema = json.loads((ROOT / schemas.SCHEMAS / f"{name}.schema.json").read_text())
    paths = list(ROOT.glob(title))
    assert paths
    for path in paths:
        value = read_yaml(path)
        jsonschema.validate(value, schema)
        with pytest.raises(jsonschema.ValidationError, match="made_up"):
            jsonschema.validate({**value, "made_up": 1}, schema)


def test_every_parameter_is_described():
    text = schemas.page()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(lines) > 150
    assert [line for line in lines if line.endswith("|  |")] == []
