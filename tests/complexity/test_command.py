"""`sgenet complexity MODEL`: for a reader, for a program, and for mistakes."""

import inspect
import json

import pytest
import yaml

from sgenet import attention
from sgenet.cli import main


def _values(text):
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()[1:]}


def test_both_forms_tell_the_same(project, capsys):
    assert main(["complexity", "sk-resnet101"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sk-resnet101, network, one image of 224 x 224 pixels\n")
    assert main(["complexity", "sk-resnet101", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["params"] == 45678112 and counted["gflops"] == pytest.approx(7.980327, abs=5e-7)
    millions = {"params": counted["params"] / 1e6, "gflops": counted["gflops"], "macs": counted["macs"] / 1e9}
    assert _values(shown) == pytest.approx(millions, abs=5e-4)


def test_a_backbone_counts_at_the_size_of_detection_or_any_other(project, capsys):
    main(["complexity", "sge-resnet50", "--backbone", "--json"])
    usual = json.loads(capsys.readouterr().out)
    assert usual["input"] == [800, 1333] and usual["gflops"] == pytest.approx(88.1493, abs=5e-5)
    main(["complexity", "resnet50", "--input", "448", "224", "--json"])
    doubled = json.loads(capsys.readouterr().out)
    fc = 2048 * 1000 / 1e9
    assert doubled["input"] == [448, 224] and doubled["gflops"] - fc == pytest.approx(2 * (4.121924 - fc), abs=2e-6)


def test_the_recipes_settings_count_and_are_the_modules_own_defaults(project, capsys):
    for task in ("classification", "detection"):
        with open(f"params/recipes/{task}.yaml") as file:
            settings = yaml.safe_load(file)["attention"]
        assert sorted(settings) == attention.names()
        for name, own in settings.items():
            keywords = inspect.signature(type(attention.create(name, 64))).parameters
            assert {key: keywords[key].default for key in own} == own
    project("params/recipes/classification.yaml", lambda recipe: recipe["attention"]["sge"].update(groups=8))
    main(["complexity", "sge-resnet50", "--json"])
    assert json.loads(capsys.readouterr().out)["params"] == 25557032 + 16 * 2 * 8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sgee-resnet50"], "complexity: found model 'sgee-resnet50', expected one of resnet18"),
        (["sk-resnet18"], "complexity: found model 'sk-resnet18', but sk is placed inside bottlenecks"),
        (
            ["resnet50", "--input", "31", "64"],
            "--input: found 31 64, expected height and width from 32 to 16384 pixels",
        ),
        (
            ["resnet50", "--input", "64", "-1"],
            "--input: found 64 -1, expected height and width from 32 to 16384 pixels",
        ),
        (["--json"], "complexity: --backbone, --input and --json: found without MODEL"),
        (["resnet50", "--scale", "demo"], "complexity: --scale: found with MODEL, expected only one"),
    ],
)
def test_mistakes_are_told_in_one_sentence(project, capsys, arguments, sentence):
    assert main(["complexity", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith(f"sgenet: {sentence}") and error.count("\n") == 1


def test_a_recipe_that_does_not_fit_is_told_in_one_sentence(project, capsys):
    project("params/recipes/classification.yaml", lambda recipe: recipe["attention"]["sge"].update(groups=100))
    assert main(["complexity", "sge-resnet50"]) == 2
    expected = "sgenet: sge-resnet50 at the recipe's width: attention.sge.groups: found 100, expected a divisor of 256"
    assert capsys.readouterr().err.startswith(expected)
