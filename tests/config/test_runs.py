"""What params/ asks for: merging, resolution, and one clear sentence for whatever is wrong with it."""

from pathlib import Path

import pytest
import yaml

from sgenet.cli import main
from sgenet.config.params import merge
from sgenet.config.replication import load_replication
from sgenet.errors import InputError

PIPELINE, DEMO = "params/pipeline.yaml", "params/scales/demo.yaml"
COMPLEXITY, LOGS = "params/tables/complexity.yaml", "params/tables/author-logs.yaml"
TWO_STAGE = "params/tables/coco-two-stage.yaml"
IMAGENET, DETECTION = "params/tables/imagenet.yaml", "params/recipes/detection.yaml"


def test_merge_replaces_a_mapping_of_another_type_and_merges_the_rest():
    base = {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}, "epochs": 100, "crop": [0.08, 1]}
    assert merge(base, {"optimizer": {"lr": 0.2}})["optimizer"] == {"type": "SGD", "lr": 0.2, "momentum": 0.9}
    assert merge(base, {"optimizer": {"type": "AdamW", "lr": 1}})["optimizer"] == {"type": "AdamW", "lr": 1}
    assert merge(base, {"crop": [1, 1]}, {"epochs": 2}) == {**base, "crop": [1, 1], "epochs": 2}
    assert base["optimizer"]["lr"] == 0.1


def test_runs_are_the_union_of_the_tables_and_where_detectors_start(project):
    replication = load_replication("demo", tables=["coco-retinanet"])
    models = [f"{module}resnet50" for module in ("", "se-", "sk-", "bam-", "cbam-", "sge-")]
    assert set(replication.runs) == {
        f"{kind}/{model}" for model in models for kind in ("classification", "detection/retinanet")
    }
    assert replication.run("detection/retinanet/sge-resnet50").starts_from == "classification/sge-resnet50"


def test_settings_are_recipe_then_scale_then_row(project):
    def change(table):
        row = next(row for row in table["rows"] if row["run"] == "sge-resnet50")
        row["settings"] = {"attention": {"sge": {"groups": 32}}, "epochs": 77}

    project(IMAGENET, change)
    runs = load_replication("demo", tables=["imagenet"]).runs
    row, plain = runs["classification/sge-resnet50"].settings, runs["classification/resnet50"].settings
    assert row.attention.plain() == {"sge": {"groups": 32, "gamma": 0, "beta": 1, "normalize": True}}
    assert row.epochs == 77
    assert plain.attention.plain() == {} and plain.epochs != 77  # what another model's module is set to is not its own
    assert row.optimizer.momentum is None  # AdamW of the scale, not SGD of the recipe


def test_a_scale_has_settings_for_single_classifiers(project):
    own = {"*resnet101": {"epochs": 7}, "sge-resnet101": {"optimizer": {"lr": 0.5}}}
    project(DEMO, lambda scale: scale["classification"].update(models=own))
    found = {run.name: run.settings for run in load_replication("demo").runs.values() if run.task == "classification"}
    assert {name for name, settings in found.items() if settings.epochs == 7} == {
        name for name in found if name.endswith("resnet101")
    }
    assert [name for name, settings in found.items() if settings.optimizer.lr == 0.5] == ["sge-resnet101"]


def test_all_tables_are_42_runs(project):
    runs = load_replication("demo").runs
    assert sum(run.task == "classification" for run in runs.values()) == 21
    assert sum(run.task == "detection" for run in runs.values()) == 21
    names = {run.name for run in runs.values() if run.task == "classification" and run.name != run.model}
    groups = {f"sge-resnet50-g{groups}" for groups in (8, 16, 32, 128, 256)}
    starts = {f"sge-resnet50-gamma{gamma}-beta{beta}" for gamma, beta in ((0, 0), (1, 0), (1, 1))}
    assert names == groups | starts | {"sge-resnet50-no-norm"}
    sge = {name: runs[f"classification/{name}"].settings.attention.of("sge") for name in (*names, "sge-resnet50")}
    assert sge["sge-resnet50"] == {"groups": 64, "gamma": 0, "beta": 1, "normalize": True}
    assert sge["sge-resnet50-g8"]["groups"] == 8 and not sge["sge-resnet50-no-norm"]["normalize"]
    assert (sge["sge-resnet50-gamma1-beta0"]["gamma"], sge["sge-resnet50-gamma1-beta0"]["beta"]) == (1, 0)


def test_full_size_settings_leave_the_scale_out(project):
    replication = load_replication("demo")
    sizes = {run.id: run.network.width for run in replication.full_size()}
    bare = {run_id for run_id in sizes if run_id.startswith("complexity/")}
    assert set(sizes.values()) == {64} and sizes.keys() - bare == replication.runs.keys()
    assert len(bare) == 14 and "complexity/gc-resnet101" in bare
    plain = replication.plain_of()
    assert plain["complexity/sk-resnet101"] == "complexity/resnet101" and len(plain) == 12


def test_a_run_is_found_in_a_table_that_was_not_chosen(project):
    everything, chosen = load_replication("demo"), load_replication("demo", tables=["ablation-init"])
    detector = "detection/cascade-rcnn/resnet101"
    assert detector not in chosen.runs
    assert chosen.run(detector) == everything.run(detector)
    start = chosen.run(detector).starts_from
    assert start not in chosen.runs and chosen.run(start) == everything.run(start)


def test_a_chosen_table_decides_over_one_that_was_not_chosen(project):
    project(LOGS, lambda table: table["rows"][0].update(settings={"epochs": 7}))
    run_id = "classification/" + yaml.safe_load(Path(LOGS).read_text())["rows"][0]["run"]
    assert load_replication("demo", tables=["imagenet"]).run(run_id).settings.epochs != 7
    assert load_replication("demo", tables=["author-logs"]).run(run_id).settings.epochs == 7
    with pytest.raises(InputError, match=r"different settings in params/tables/author-logs.yaml and .*coco-"):
        load_replication("demo", tables=["ablation-init"]).run(run_id)


def test_an_invalid_table_that_was_not_chosen_matters_to_no_run_of_another(project):
    Path("params/tables/mine.yaml").write_text("rows: [")
    replication = load_replication("demo", tables=["ablation-init"])
    assert replication.run("classification/resnet101").model == "resnet101"
    with pytest.raises(
        InputError, match=r"did you mean classification/sge-resnet50\?; .*skipped: params/tables/mine.yaml: "
    ):
        replication.run("classification/sge-resnet5")


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("classification/sge-resnet5", "did you mean classification/sge-resnet50?"),
        ("classifications/sge-resnet101", "did you mean classification/sge-resnet101?"),
        ("resnet101", "did you mean classification/resnet101?"),
        ("retinanet/sge-resnet50", "did you mean detection/retinanet/sge-resnet50?"),
        ("detection/retinanet/sge-resnet05", "did you mean detection/retinanet/sge-resnet50?"),
        ("classification/mine", "expected <task>/<run>, with the `run` of a row there"),
        ("", "expected <task>/<run>, with the `run` of a row there"),
    ],
)
def test_the_nearest_run_is_suggested(project, unknown, meant):
    with pytest.raises(InputError) as error:
        load_replication("demo", tables=["ablation-init"]).run(unknown)
    assert str(error.value) == f"run: found {unknown!r}, no such run in params/tables/; {meant}"


def _set(*keys, to):
    def change(value):
        for key in keys[:-1]:
            value = value[key]
        value[keys[-1]] = to

    return change


BAD = [
    (
        PIPELINE,
        _set("scale", to="dmo"),
        r"pipeline.yaml or the command line: scale: found 'dmo', no such file in params/scales/; did you mean demo\?",
    ),
    (
        PIPELINE,
        _set("tables", to=["imagnet"]),
        r"tables: found 'imagnet', no such file in params/tables/; did you mean imagenet\?",
    ),
    (PIPELINE, _set("seeds", to="three"), r"params/pipeline.yaml: seeds: found 'three', expected an integer"),
    (PIPELINE, _set("seeds", to=0), r"params/pipeline.yaml: seeds: found 0, expected at least 1"),
    (PIPELINE, _set("sedes", to=1), r"params/pipeline.yaml: sedes: unknown key, did you mean seeds\?"),
    (PIPELINE, lambda value: value.pop("report"), r"params/pipeline.yaml: report: missing"),
    (
        DEMO,
        _set("classification", "epochs", to="ten"),
        r"demo.yaml: classification.epochs: found 'ten', expected an integer",
    ),
    (
        DEMO,
        _set("classification", "models", to={"resnet52": {}}),
        r"demo.yaml: classification.models: found 'resnet52', expected a model or a pattern that fits one",
    ),
    (
        DEMO,
        _set("classification", "models", to={"*resnet101": {"epoch": 1}}),
        r"demo.yaml: classification.models.\*resnet101.epoch: unknown key, did you mean epochs\?",
    ),
    (DEMO, _set("detection", "epoch", to=1), r"demo.yaml: detection.epoch: unknown key, did you mean epochs\?"),
    (DEMO, _set("detection", "detectors", "retinanet", "foo", to=1), r"detection.detectors.retinanet.foo: unknown key"),
    (
        DEMO,
        _set("detection", "detectors", "retina", to={}),
        r"demo.yaml: detection.detectors.retina: unknown key, did you mean retinanet",
    ),
    (DEMO, _set("data", "detection", "images", to=5), r"demo.yaml: data.detection.images: unknown key"),
    (
        DEMO,
        _set("data", "detection", "source", to="voc"),
        r"demo.yaml: data.detection.source: found 'voc', expected one of embedded",
    ),
    (DEMO, _set("device", to="tpu"), r"demo.yaml: device: found 'tpu', expected one of cpu, cuda, auto"),
    (DETECTION, _set("optimizer", "lr", to=-1), r"detection.yaml: optimizer.lr: found -1, expected"),
    (
        IMAGENET,
        _set("rows", 0, "publish", to={}),
        r"imagenet.yaml: rows.0.publish: unknown key, did you mean published\?",
    ),
    (IMAGENET, _set("rows", 0, "run", to="resnet51"), r"rows.0.run: found model 'resnet51', expected one of resnet18"),
    (IMAGENET, _set("rows", 1, "baseline", to="ResNet"), r"rows.1.baseline: found 'ResNet', expected the label"),
    (IMAGENET, _set("rows", 1, "label", to="ResNet50"), r"rows.1.label: 'ResNet50' is already in the table"),
    (IMAGENET, _set("rows", 0, "published", "ap", to={"value": 1, "source": ["H"]}), r"published.ap: no such column"),
    (IMAGENET, _set("rows", 0, "published", "top1", "source", to=["Z"]), r"top1.source: found 'Z', expected H, A"),
    (IMAGENET, _set("rows", 0, "settings", to={"epochs": 0}), r"rows.0.settings.epochs: found 0, expected at least 1"),
    (
        "params/tables/coco-retinanet.yaml",
        _set("rows", 0, "run", to="retina/resnet50"),
        r"rows.0.run: found 'retina/res",
    ),
]


BAD += [
    (PIPELINE, _set("scale", to=float("nan")), r"pipeline.yaml: scale: found nan, expected a finite number"),
    (PIPELINE, lambda value: value.update({1: 1}), r"line 20: found a key that YAML reads as int, expected text"),
    (PIPELINE, _set("seeds", to=2.0), r"pipeline.yaml: seeds: found 2.0, expected an integer"),
    (PIPELINE, _set("seeds", to=10**9), r"pipeline.yaml: seeds: found 1000000000, expected at most 1000"),
    (PIPELINE, _set("seeds", to=10**20), r"pipeline.yaml: seeds: found 1000.*, expected a number up to 9.*e.15"),
    (PIPELINE, _set("tables", to=[{} for _ in range(5000)]), r"pipeline.yaml: tables.\d+: found {}, expected text"),
    ("params/recipes/detection.yaml", lambda value: value.pop("detectors"), r"detection.yaml: detectors: missing"),
    (
        "params/recipes/detection.yaml",
        lambda value: value.pop("width"),
        r"detection.yaml: width: missing",
    ),
    (
        IMAGENET,
        _set("rows", 0, "settings", to={"attention": "sge"}),
        r"rows.0.settings.attention: found 'sge', expected",
    ),
    (DEMO, _set("classification", "attention", to={"sge": {"grups": 8}}), r"attention.sge.grups: unknown key, did you"),
    (DEMO, _set("classification", "attention", to={"sgee": {}}), r"attention.sgee: unknown key, did you mean sge\?"),
    (
        DEMO,
        _set("classification", "attention", to={"sk": {}}),
        r"sk.reduction: found 16, expected at most 8, the input channels",
    ),
    ("params/recipes/classification.yaml", _set("attention", "se", to={}), r"attention.se.reduction: missing"),
    (
        IMAGENET,
        _set("rows", 0, "settings", to={"attention": {"sge": {"groups": 8}}}),
        r"rows.0.settings.attention.sge: unknown key, resnet50 has no such module",
    ),
    (
        IMAGENET,
        _set("rows", 0, "run", to="sk-resnet18"),
        r"rows.0.run: .* sk is placed inside bottlenecks, expected sk-res",
    ),
    (
        DEMO,
        _set("classification", "attention", "sge", to={"groups": 7}),
        r"sge.groups: found 7, expected a divisor of 256.* and a multiple of 8, for whole groups at width 8",
    ),
    (DEMO, _set("classification", "batch_size", to=5000), r"classification.batch_size: found 5000, expected at most"),
    (DEMO, _set("classification", "optimizer", "momentum", to=0.9), r"optimizer.momentum: found with AdamW"),
    (IMAGENET, _set("columns", 2, "id", to="ap"), r"columns.2.id: found 'ap', which classification does not measure"),
    (IMAGENET, _set("columns", 0, "measured", to="trained"), r"columns.0.measured: found 'trained' for params"),
    (IMAGENET, _set("rows", 0, "run", to=".."), r"rows.0.run: found '..', expected pattern"),
    (IMAGENET, lambda value: value["rows"][0].pop("run"), r"imagenet.yaml: rows.0.run: missing"),
    (IMAGENET, _set("columns", 3, "id", to="top1"), r"columns.3.id: 'top1' is already in the table"),
    (COMPLEXITY, _set("rows", 1, "run", to="se-resnet50"), r"rows.1.run: found in a table of complexity, expected"),
    (COMPLEXITY, _set("rows", 1, "model", to="sa-resnet50"), r"rows.1.run: found model 'sa-resnet50', expected one"),
    (COMPLEXITY, _set("rows", 1, "settings", to={"epoch": 1}), r"rows.1.settings.epoch: unknown key, did you mean"),
    (COMPLEXITY, _set("columns", 0, to={"id": "top1", "label": "", "digits": 1}), r"'top1', which complexity does not"),
    (LOGS, _set("columns", 3, "audits", to="top5"), r"columns.3.audits: found 'top5' for readme_top1, expected"),
    (LOGS, _set("columns", 3, "measured", to="trained"), r"columns.3.measured: found 'trained' for readme_top1"),
    (TWO_STAGE, _set("columns", 5, "only", to=["mask-rcn"]), r"columns.5.only: found 'mask-rcn', which no row has"),
    (DEMO, _set("latency", "rounds", to=0), r"demo.yaml: latency.rounds: found 0, expected at least 1"),
]


CLASSIFICATION = "params/recipes/classification.yaml"
BAD += [
    (CLASSIFICATION, _set("schedule", to={"type": "step", "gamma": 0.1}), r"schedule.milestones: missing"),
    (CLASSIFICATION, _set("schedule", to={"type": "cosine", "gamma": 0.1}), r"schedule.gamma: found with cosine"),
    (CLASSIFICATION, _set("crop_scale", to=[0, 1]), r"crop_scale.0: found 0, expected more than 0"),
    (
        CLASSIFICATION,
        _set("crop_scale", to=[1, 0.5]),
        r"crop_scale: found \[1.0, 0.5\], expected the smaller one first",
    ),
    (CLASSIFICATION, _set("crop_scale", to=[0.5]), r"crop_scale: found \[0.5\], expected 2 entries"),
    (
        DETECTION,
        _set("detectors", "retinanet", "attention", to={"sgx": {}}),
        r"detectors.retinanet.attention.sgx: unknown key, did you mean sge",
    ),
    (
        DETECTION,
        _set("detectors", "retinanet", "models", "*resnet101", "attention", to={"sgx": {}}),
        r"detectors.retinanet.models.\*resnet101.attention.sgx: unknown key, did you mean sge",
    ),
    (DETECTION, _set("detectors", to=None), r"detection.yaml: detectors: found no value, expected one"),
    (DETECTION, _set("detectors", to={}), r"detection.yaml: detectors: missing"),
    (DETECTION, _set("rpn", to={}), r"detection.yaml: rpn: unknown key"),
    (DEMO, _set("detection", "detectors", "retinanet", to=None), r"detectors.retinanet: found no value, expected one"),
    (DEMO, _set("classification", "optimizer", "momentum", to=None), r"optimizer.momentum: found no value"),
    (IMAGENET, _set("rows", 1, "baseline", to=None), r"rows.1.baseline: found no value, expected one, or the key left"),
    (IMAGENET, _set("task", to="classify"), r"task: found 'classify', expected one of classification, detection"),
    (TWO_STAGE, _set("columns", 5, "only", to=[]), r"columns.5.only: found \[\], expected at least 1 entry"),
    (
        "params/tables/coco-retinanet.yaml",
        _set("rows", 0, "settings", to={"models": {"*resnet999": {"epochs": 1}}}),
        r"rows.0.settings.models: found '\*resnet999', expected a model or a pattern",
    ),
]


@pytest.mark.parametrize(("path", "change", "sentence"), BAD)
def test_bad_parameters_are_told_in_one_sentence(project, capsys, path, change, sentence):
    project(path, change)
    with pytest.raises(InputError, match=sentence) as error:
        load_replication()
    assert "\n" not in str(error.value)
    assert main(["complexity"]) == 2
    assert capsys.readouterr().err == f"sgenet: {error.value}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scale: [demo", "params/pipeline.yaml: line 1 is not YAML"),
        ("- demo", "params/pipeline.yaml: the whole file: found .* expected a mapping"),
        ("scale: !!python/object/apply:os.system ['true']", "params/pipeline.yaml: line 1 is not YAML"),
        ("seeds: 1\nseeds: 2", "params/pipeline.yaml: line 2: seeds is repeated, expected it once"),
        (None, "params/pipeline.yaml: cannot be read .no such file or directory., expected a YAML file"),
    ],
)
def test_unreadable_files_are_told_in_one_sentence(project, tmp_path, text, sentence):
    path = tmp_path / PIPELINE
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        load_replication()


def test_unknown_run_and_wrong_folder(project, tmp_path, monkeypatch, capsys):
    assert main(["train", "classification/resnet51"]) == 2
    error = capsys.readouterr().err
    assert (
        "run: found 'classification/resnet51', no such run in params/tables/; did you mean classification/res" in error
    )
    assert error.count("\n") == 1 and len(error) < 150
    monkeypatch.chdir("/")
    assert main(["report"]) == 2
    assert "found no params/pipeline.yaml" in capsys.readouterr().err
