"""Methods and deviations: nothing that differs is left out, and every command works."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import create_model

from sgenet.cli import _parser
from sgenet.config import params, paths
from sgenet.config.model import Model, describe_field
from sgenet.config.optimizer import Schedule
from sgenet.config.plain_yaml import read_yaml
from sgenet.config.recipes import DETECTORS, Classification, Detection
from sgenet.config.replication import Replication, load_replication
from sgenet.config.tasks import TASKS
from sgenet.judgement import judge
from sgenet.judgement.inputs import problem_of, read_manifest
from sgenet.judgement.settings import Comparison, Setting
from sgenet.judgement.values import plain, plain_pair
from sgenet.report.environment import make_environment
from sgenet.report.methods import Methods, describe
from support import results as make


def describe_(replication: Replication) -> Methods:
    make.write_claims([])  # those of the repository are about other tables than some tests write
    return describe(judge(replication))


def part(methods: Methods, title: str) -> Comparison:
    return next(comparison for comparison in methods.comparisons if comparison.title == title)


def rows(comparison: Comparison, label: str) -> list[Setting]:
    return [setting for setting in comparison.settings if setting.label == label]


def edit_scale(scale: str, **changes: Any) -> None:
    path = Path(f"params/scales/{scale}.yaml")
    path.write_text(yaml.safe_dump(params.merge(read_yaml(path), changes)))


def leaves(model: type[Model], place: str = "") -> Iterator[str]:
    for key, field in model.model_fields.items():
        inner = field.annotation
        if not (isinstance(inner, type) and issubclass(inner, Model)):
            yield f"{place}{key}"
        elif key != "attention":
            yield from leaves(inner, f"{place}{key}.")


def test_every_setting_is_described_by_its_model() -> None:
    for task in TASKS:
        models = [Classification] if task == "classification" else DETECTORS.values()
        for model in models:
            assert not [key for key in leaves(model) if not describe_field(model, key)]
            for module, own in _recipe(task)["attention"].items():
                assert all(describe_field(model, f"attention.{module}.{key}") for key in own)
    assert describe_field(Classification, "optimizer.lr") == "highest learning rate"
    assert describe_field(Classification, "optimizer.made_up") == describe_field(Classification, "made_up") == ""


def _recipe(task: str) -> dict[str, Any]:
    return read_yaml(make.ROOT / f"params/recipes/{task}.yaml")


class OddSchedule(Schedule):
    odd: int


def odd(settings: Classification | Detection) -> Any:
    """The settings with two that are not among those of this version."""
    kind = create_model("Odd", __base__=type(settings), made_up=(dict[str, int], ...), schedule=(OddSchedule, ...))
    more = {"made_up": {"deep": 3}, "schedule": OddSchedule(type="cosine", odd=1)}
    return kind.model_construct(**dict(settings) | more)


def test_a_setting_that_nobody_put_into_words_is_shown_all_the_same(replication: Replication) -> None:
    runs = {id: replace(run, settings=odd(run.settings)) for id, run in replication.runs.items()}
    methods = describe_(replace(replication, runs=runs))
    (row,) = rows(part(methods, "Classification"), "made_up.deep")
    assert (row.paper, row.ours, row.differs) == ("none", "3", True)
    assert rows(part(methods, "RetinaNet"), "schedule.odd")[0].ours == "1"


def test_what_the_scale_changes_differs_and_nothing_else(repository: Path) -> None:
    scale = read_yaml("params/scales/demo.yaml")["classification"]
    recipe = _recipe("classification")
    methods = describe_(load_replication())
    shown = {setting.label: setting for setting in part(methods, "Classification").settings}
    for key in ("epochs", "batch_size", "width", "precision", "image_size", "residual_gain", "compile", "max_pool"):
        setting, ours = shown[key], scale.get(key, recipe[key])
        assert setting.differs == (ours != recipe[key]), key
        assert str(recipe[key]) in setting.paper or not isinstance(recipe[key], int) or isinstance(recipe[key], bool)
    assert (shown["optimizer.type"].paper, shown["optimizer.momentum"].paper, shown["optimizer.momentum"].ours) == (
        "SGD",
        "0.9",
        "none",
    )
    assert (
        shown["schedule.milestones"].paper == "30, 60, 90" and shown["epochs"].about == "passes over the training set"
    )


def test_runs_of_a_detector_that_disagree_stand_apart(repository: Path) -> None:
    runs = ["retinanet/resnet50", "retinanet/sk-resnet50", "cascade-rcnn/resnet50", "cascade-rcnn/sge-resnet101"]
    make.write_table("two", make.DETECTION | {"rows": [{"label": run, "run": run} for run in runs]})
    methods = describe_(load_replication("paper", tables=["two"]))
    retinanet, cascade = part(methods, "RetinaNet"), part(methods, "Cascade R-CNN")
    steps = [(row.paper, row.runs) for row in rows(retinanet, "batch_size")]
    assert steps == [("16", ("resnet50",)), ("8", ("sk-resnet50",))]
    assert [(row.paper, row.runs) for row in rows(cascade, "optimizer.lr")] == [
        ("0.02", ("resnet50",)),
        ("0.01", ("sge-resnet101",)),
    ]
    assert [row.paper for row in rows(cascade, "epochs")] == ["20"] and rows(retinanet, "epochs")[0].paper == "24"
    shared = part(methods, "Every detector")
    assert rows(shared, "optimizer.momentum") and not rows(cascade, "optimizer.momentum") and not rows(shared, "epochs")


def test_at_scale_paper_nothing_differs_until_the_scale_is_changed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SGENET_IMAGENET", "SGENET_COCO"):
        monkeypatch.delenv(name, raising=False)
    methods = describe_(load_replication("paper"))
    assert [comparison.changed for comparison in methods.comparisons] == [set()] * 3
    assert rows(part(methods, "Classification"), "Training images")[0].differs is None
    edit_scale("paper", classification={"epochs": 90})
    assert part(describe_(load_replication("paper")), "Classification").changed == {"epochs"}


def test_data_are_those_of_the_manifest(replication: Replication) -> None:
    path = paths.manifest("demo", "classification")
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["images"] = 1_281_167
    path.write_text(json.dumps(manifest | {"source": "imagenet", "classes": ["a"] * 1000}))
    classification = part(describe_(replication), "Classification")
    told = {label: rows(classification, label)[0].differs for label in ("Data", "Training images", "Classes")}
    assert told == {"Data": False, "Training images": False, "Classes": False}
    assert rows(classification, "Validation images")[0].differs
    manifest["splits"] = {"train": {}}
    path.write_text(json.dumps(manifest))
    assert (
        problem_of(read_manifest("demo", "classification"))
        == f"{path}: splits.train.images: missing; run `sgenet prepare classification --scale demo` again"
    )
    assert rows(part(describe_(replication), "Classification"), "Training images")[0].ours == "not prepared"
    path.unlink()
    assert rows(part(describe_(replication), "Classification"), "Training images")[0].ours == "not prepared"


def test_other_coco_files_are_not_coco_2017(repository: Path) -> None:
    for scale, same in {"paper": True, "subset": False}.items():
        (row,) = rows(part(describe_(load_replication(scale)), "RetinaNet"), "Data")
        assert row.differs is not same and (row.ours == "COCO 2017") is same


def test_libraries_and_devices_are_those_of_the_results(replication: Replication) -> None:
    classification = part(describe_(replication), "Classification")
    assert [row.ours for row in rows(classification, "Library")] == ["torch 2.11.0", "torchvision not recorded"]
    assert rows(classification, "Devices per training")[0].ours == "1 × a made-up CPU"


def test_the_audit_counts_printed_values_that_repeat_their_log(repository: Path) -> None:
    columns = [*make.CLASSIFICATION["columns"][2:3]]
    columns.append({"id": "readme_top1", "label": "README", "digits": 2, "measured": "printed", "audits": "top1"})
    logs = {"resnet50": (76.384, 76.38), "se-resnet50": (77.1, 77.2), "sge-resnet50": (77.584, None)}
    table = []
    for run, values in logs.items():
        pairs = zip(("top1", "readme_top1"), values, strict=True)
        published = {key: {"value": value, "source": ["L"]} for key, value in pairs if value}
        table.append({"label": run, "run": run, "published": published})
    make.write_table("one", make.CLASSIFICATION | {"columns": columns, "rows": table})
    (audit,) = (text for text in describe_(load_replication(tables=["one"])).deviations if "README" in text)
    assert "of 2 Top-1 values" in audit and "1 equal the best" in audit and "those of se-resnet50 do not" in audit


def test_every_command_works(repository: Path) -> None:
    seen = set()
    for scale in ("smoke", "demo", "subset", "paper"):
        for command in (line for step in describe_(load_replication(scale)).steps for line in step.commands):
            program, *words = shlex.split(command)
            seen.add(program)
            if program == "sgenet":
                options = _parser().parse_args(words)
                assert options.step != "plan" or load_replication(options.scale)
            elif program == "snakemake":
                chosen = dict(word.split("=") for word in words if "=" in word)
                assert ("--config" in words) == bool(chosen)
                load_replication(
                    chosen.get("scale"), int(chosen.get("seeds", 1)), chosen.get("tables", "one").split(",")
                )
    assert seen == {"sgenet", "snakemake", "export"}
    assert [step.commands for step in describe_(load_replication("smoke", tables=["one"])).steps][-2:] == [
        (
            "export SGENET_IMAGES=FOLDER SGENET_DETECTION=FOLDER",
            "snakemake --cores all prepare --config scale=subset tables=one",
            "sgenet plan --scale subset --tables one",
            "snakemake --cores all --config scale=subset tables=one",
        ),
        (
            "export SGENET_IMAGENET=FOLDER SGENET_COCO=FOLDER",
            "sgenet plan --scale paper --tables one",
            "snakemake --cores all --config scale=paper tables=one",
        ),
    ]


def test_steps_name_what_is_missing(replication: Replication) -> None:
    def texts() -> str:
        return " ".join(step.text for step in describe_(replication).steps)

    assert "Missing: the measurements of figures 2 to 4." in texts()
    make.write(paths.activations("demo"), "{}")
    assert "Missing: " not in texts() and "3 times" in texts()
    make.metrics_path("classification/resnet50").unlink()
    paths.manifest("demo", "detection").unlink()
    assert "Missing: the data for detection; results of 1 of 4 trainings. " in texts()
    make.metrics_path("classification/sge-resnet50").write_text("{")
    assert "cannot be used" in texts()


def test_a_row_that_the_recipe_alone_does_not_allow_is_a_problem(repository: Path) -> None:
    edit_scale("demo", classification={"batch_size": 60, "device_batch_size": 60})
    first = make.CLASSIFICATION["rows"][0] | {"settings": {"device_batch_size": 30}}
    make.write_table("one", make.CLASSIFICATION | {"rows": [first]})
    methods = describe_(load_replication(tables=["one"]))
    assert methods.problem and "device_batch_size: found 30" in methods.problem and not methods.comparisons


def test_the_template_escapes_and_says_where_nothing_differs(repository: Path) -> None:
    evil = "<script>alert(1)</script>"
    edit_scale("subset", description=evil)
    template = make_environment().get_template("methods.html")
    page = template.render(methods=describe_(load_replication()), scale="demo")
    assert evil not in page and "&lt;script&gt;" in page and "settings of the recipe differ" in page
    page = template.render(methods=describe_(load_replication("paper")), scale="paper")
    assert page.count("Nothing differs from the recipe of the paper") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 / 3, "1/3"), (1 / 9, "1/9"), (1e-4, "0.0001"), (0.11, "0.11"), (35.0, "35"), (True, "yes"), (None, "none")],
)
def test_values_in_words(value: Any, text: str) -> None:
    assert plain(value) == text


def test_values_that_differ_never_look_alike() -> None:
    assert plain_pair(0.1234567, 0.1234568) == ("0.1234567", "0.1234568")
    assert plain_pair(100, 3) == ("100", "3")
