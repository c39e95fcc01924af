"""`sgenet plan`: hours and bytes by a closed form, groups, images not prepared, runs that are done; a calibration."""

import json
import math
from dataclasses import dataclass

import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.pipeline import calibration, plan
from sgenet.pipeline.plan_text import to_text
from sgenet.runtime.files import write_json, write_text

MEASURED = {
    "device": "cpu",
    "wanted": "cpu",
    "name": "a processor",
    "networks": ["a", "b"],
    "steps": 3,
    "ways": [],
}


@dataclass
class Cost:
    train: float = 0.5
    test: float = 0.25
    weights: int = 1000
    checkpoint: int = 3000


def manifest(**changes):
    """A manifest of images with other entries, without those that are None."""
    made = {"task": "classification", "source": "embedded", "fingerprint": "f", "settings": {}, "classes": ["a"]}
    made |= {"splits": {"train": {"images": 3}, "val": {"images": 3}}, "files": []} | changes
    return {key: value for key, value in made.items() if value is not None}


def make(replication, **costs):
    """The plan at given costs, otherwise the usual ones, by model."""
    runs = plan.remaining(replication)
    found = {run.id: costs.get(run.model.replace("-", "_"), Cost()) for run in runs}
    return plan.make(replication, plan.images_of(replication), found, MEASURED)


def rows(made):
    return {(row["task"], row["detector"], row["model"]): row for row in made["work"]}


def finish(replication, run, seed, *, evaluated=False, **settings):
    """Leave the record of a finished training, and of its evaluation."""
    record = {"command": "sgenet train", "settings": {**run.identity, **settings}, "data": {"fingerprint": "f"}}
    folder = paths.training(replication.scale_name, run.id, seed)
    write_json(folder / "training.json", record)
    for name in ("history.csv", *run.task.weights):
        write_text(folder / name, "")
    if evaluated:
        for path in paths.evaluated_files(replication.scale_name, run.id, seed).values():
            write_text(path, "")
        evaluation = {"command": "sgenet evaluate", "settings": {}, "data": {"fingerprint": "f"}}
        metrics = paths.evaluation(replication.scale_name, run.id, seed) / "metrics.json"
        write_json(metrics, {"origin": {"train": record, "evaluate": evaluation}})
        metrics.with_name("timing.json").write_text("{}")


def test_hours_and_bytes_are_the_closed_form(project):
    # smoke: 64 + 40 images, 2 epochs, validated after each; 16 + 12 images, 1 epoch
    project("params/scales/smoke.yaml", lambda scale: scale.update(devices=2))
    made = make(load_replication("smoke", 3, ["coco-retinanet"]), sge_resnet50=Cost(train=2.0))
    found = rows(made)
    plain, sge = found["classification", None, "resnet50"], found["classification", None, "sge-resnet50"]
    assert plain["training_hours"] == pytest.approx(3 * 2 * (64 * 0.5 + 40 * 0.25) / 3600)
    assert sge["training_hours"] == pytest.approx(3 * 2 * (64 * 2.0 + 40 * 0.25) / 3600)
    assert plain["evaluation_hours"] == pytest.approx(3 * 2 * 40 * 0.25 / 3600)  # best and last weights
    detector = found["detection", "retinanet", "sge-resnet50"]
    assert detector["training_hours"] == pytest.approx(3 * 16 * 2.0 / 3600)
    assert detector["evaluation_hours"] == pytest.approx(3 * 12 * 0.25 / 3600)
    assert detector["hours"] == pytest.approx(detector["training_hours"] / 2 + detector["evaluation_hours"])
    assert made["total"]["device_hours"] == pytest.approx(math.fsum(row["device_hours"] for row in made["work"]))
    classifiers = [row["runs"] for row in made["work"] if row["task"] == "classification"]
    assert made["total"]["runs"] == 2 * sum(classifiers)  # as many detectors, each from one of its own
    weights = 1000 * sum(classifiers) * (2 + 1)
    detections = sum(classifiers) * 12 * 100 * plan.BOX
    assert made["disk"] | {"free": 0} == {
        "weights": weights, "detections": detections, "cache": weights + detections, "checkpoint": 3000,
        "used": 0, "free": 0,
    }  # fmt: skip
    assert plain["training_seconds"] == pytest.approx(plain["training_hours"] * 3600 / 3)  # of one seed
    assert detector["evaluation_seconds"] == pytest.approx(12 * 0.25)


def test_runs_of_a_model_are_one_kind_of_work(project):
    replication = load_replication("smoke", 2, ["imagenet", "ablation-groups"])
    made = make(replication)
    models = [run.model for run in replication.runs.values()]
    found = {row["model"]: row["runs"] for row in made["work"]}
    assert found == {model: 2 * models.count(model) for model in set(models)} and found["sge-resnet50"] > 2


def test_a_run_with_more_seeds_than_others_costs_more(project):
    run_id = "detection/retinanet/sge-resnet50"
    project("params/scales/smoke.yaml", lambda scale: scale.update(seeds={run_id: 4}))
    replication = load_replication("smoke", 1, ["coco-retinanet"])
    made = make(replication)
    found = rows(made)
    kinds = {kind: row["runs"] for kind, row in found.items() if row["runs"] > 1}
    assert kinds == {("classification", None, "sge-resnet50"): 4, ("detection", "retinanet", "sge-resnet50"): 4}
    assert made["total"]["runs"] == len(replication.runs) + 2 * 3
    hours = [found["detection", "retinanet", model]["device_hours"] for model in ("sge-resnet50", "resnet50")]
    assert hours[0] == pytest.approx(4 * hours[1])
    assert (made["seeds"], made["most_seeds"]) == (1, 4) and "1 to 4 trainings a run" in to_text(made)


def test_a_mask_takes_room_beside_its_box(project):
    replication = load_replication("smoke", 1, ["coco-two-stage"])
    detectors = [run.detector for run in replication.runs.values() if run.detector]
    boxes = 12 * 100 * plan.BOX * len(detectors)
    assert make(replication)["disk"]["detections"] == boxes + 12 * 100 * plan.MASK * detectors.count("mask-rcnn")


def test_trainings_that_are_done_are_not_counted(project):
    replication = load_replication("smoke", 2, ["imagenet"])
    run, whole = replication.run("classification/resnet50"), make(replication)
    finish(replication, run, 0, evaluated=True)
    finish(replication, run, 1, evaluated=True, epochs=7)  # other settings than the present ones
    half = rows(make(replication))["classification", None, "resnet50"]
    before = rows(whole)["classification", None, "resnet50"]
    assert (half["runs"], half["done"]) == (2, 1)
    assert half["device_hours"] == pytest.approx(before["device_hours"] / 2)
    (paths.evaluation("smoke", run.id, 0) / "metrics.json").unlink()
    row = rows(make(replication))["classification", None, "resnet50"]
    assert row["evaluation_hours"] == pytest.approx(before["evaluation_hours"])
    assert row["training_hours"] == pytest.approx(before["training_hours"] / 2)
    for seed in (0, 1):
        finish(replication, run, seed, evaluated=True)
    assert run not in plan.remaining(replication)
    made = make(replication)
    row = rows(made)["classification", None, "resnet50"]
    assert row["device_hours"] == 0 and row["seconds_per_image"] is None
    assert "classification resnet50" in to_text(made)
    write_json(paths.manifest("smoke", "classification"), manifest(fingerprint="other data"))
    assert run in plan.remaining(replication)


@pytest.mark.parametrize("training", [[], {}, {"settings": {}}, {"settings": {}, "data": {}}, {"data": "x"}, None])
def test_a_training_that_tells_nothing_is_repeated(project, training):
    replication = load_replication("smoke", 1, ["ablation-groups"])
    path = paths.training("smoke", "classification/sge-resnet50", 0) / "training.json"
    write_json(path, training)
    assert replication.run("classification/sge-resnet50") in plan.remaining(replication)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "the whole file: found .., expected a mapping"),
        (manifest(splits=None), "splits: missing"),
        (manifest(splits={"train": {"images": 3}}), "splits.val: missing"),
        (manifest(splits={"train": {"images": 3}, "val": {}}), "splits.val.images: missing"),
        (
            manifest(splits={"train": {"images": 3}, "val": {"images": "many"}}),
            "splits.val.images: found 'many', expect",
        ),
        (manifest(classes=[1]), "classes.0: found 1, expected"),
    ],
)
def test_a_manifest_that_tells_no_images_is_told_of(project, content, sentence):
    write_json(paths.manifest("smoke", "classification"), content)
    with pytest.raises(InputError, match=f"data/smoke/classification.json: {sentence}"):
        plan.images_of(load_replication("smoke", 1, ["ablation-groups"]))


def test_images_are_those_of_the_manifest_where_there_is_one(project):
    replication = load_replication("smoke", 1, ["ablation-groups"])
    splits = {"train": {"images": 7}, "val": {"images": 5}}
    write_json(paths.manifest("smoke", "classification"), manifest(splits=splits, classes=["a", "b"]))
    images = plan.images_of(replication)
    assert list(images) == ["classification"]
    assert images["classification"] == plan.Images(7, 5, 2, "data/smoke/classification.json")


def test_imagenet_and_coco_are_known_before_they_are_prepared(project):
    images = plan.images_of(load_replication("paper", 1, ["coco-retinanet"]))
    assert (images["classification"].train, images["classification"].val) == (1281167, 50000)
    assert (images["detection"].train, images["detection"].val) == (118287, 5000)
    project("params/scales/paper.yaml", lambda scale: scale["data"]["detection"].update(train_images=500))
    limited = plan.images_of(load_replication("paper", 1, ["coco-retinanet"]))["detection"]
    assert (limited.train, limited.val) == (500, 5000)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_other_data_must_be_prepared_first(project, capsys, task):
    project("params/scales/paper.yaml", lambda scale: scale["data"].update({task: DATA[task]}))
    with pytest.raises(InputError, match=rf"paper.yaml: data.{task}: .*expected `sgenet prepare {task} --scale paper`"):
        plan.images_of(load_replication("paper", 1, ["coco-retinanet"]))
    assert main(["plan", "--scale", "paper", "--tables", "coco-retinanet"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


SPLITS = {name: {"annotations": f"{name}.json", "images": name} for name in ("train", "val")}
DATA = {
    "classification": {"source": "folder", "root": "images"},
    "detection": {"source": "coco", "root": "scenes", **SPLITS},
}


def test_real_calibration_covers_every_run(project, capsys):
    def keep_one(table):
        table["rows"] = [row for row in table["rows"] if row["run"] == "mask-rcnn/resnet50"]

    project("params/tables/coco-two-stage.yaml", keep_one)
    tables = ["ablation-init", "coco-two-stage"]
    arguments = ["plan", "--scale", "smoke", "--tables", ",".join(tables)]
    assert main([*arguments, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["estimate"] is True and made["tables"] == tables
    assert made["total"]["runs"] == len(load_replication("smoke", 1, made["tables"]).runs)
    for row in made["work"]:
        assert 0 < row["seconds_per_image"] < math.inf and 0 < row["device_hours"] < math.inf
    assert made["measured"]["networks"] == ["classification/resnet50", "detection/mask-rcnn/resnet50"]
    assert made["disk"]["weights"] > 0 and made["disk"]["checkpoint"] > 0
    assert json.loads(paths.plan("smoke").read_text()) == made


def test_costs_of_networks_that_were_not_measured_follow_their_operations(monkeypatch):
    """Counts of torchvision's networks (4.09 and 7.80 GMACs of products, 25.557 and 44.549 million parameters)."""
    runs = list(load_replication("paper", tables=["imagenet"]).runs.values())
    plain = calibration.Cost(1.0, 0.5, 102_000_000, 204_000_000, 2, 112, 112)
    monkeypatch.setattr(calibration, "measure", lambda run, classes, device: plain)
    costs, measured = calibration.calibrate(runs, {"classification": 1000}, "cpu")
    assert measured["networks"] == ["classification/resnet50"] and len(costs) == len(runs)
    deeper = costs["classification/resnet101"]
    assert costs["classification/resnet50"] == plain
    assert deeper.train == pytest.approx(7.80 / 4.09, rel=0.02) and deeper.test == deeper.train / 2
    assert deeper.weights - plain.weights == 4 * (44_549_160 - 25_557_032)
    assert deeper.checkpoint == 2 * deeper.weights


@pytest.mark.parametrize(
    ("batch", "size", "device", "least", "expected"),
    [
        (256, (224, 224), "cuda", 2, (256, 224, 224)),
        (16, (32, 32), "cpu", 2, (16, 32, 32)),
        (32, (224, 224), "cpu", 2, (3, 112, 112)),
        (2, (800, 1333), "cpu", 1, (2, 100, 166)),
        (1, (800, 1333), "cpu", 2, (1, 100, 166)),
    ],
)
def test_a_cpu_is_timed_on_fewer_pixels(batch, size, device, least, expected):
    from sgenet.pipeline.calibration import CPU_PIXELS, timed_shape

    assert timed_shape(batch, size, device, least) == expected
    assert device == "cuda" or math.prod(expected) <= CPU_PIXELS


def test_plan_states_what_the_scale_uses(project):
    for folder, count in (("data", 3), ("results", 4), (".resume", 5)):
        write_text(f"{folder}/smoke/a/file", "x" * count * 2**20)
        write_text(f"{folder}/demo/file", "x")
    made = make(load_replication("smoke", 1, ["ablation-groups"]))
    assert made["disk"]["used"] == 12 * 2**20 and "12 MiB used by this scale now" in to_text(made)


def test_plan_calls_itself_an_estimate(project):
    text = to_text(make(load_replication("smoke", 1, ["ablation-groups"])))
    assert text.startswith("ESTIMATE for the scale smoke")
    for expected in ("total", "order", "disk", "DVC's cache", "measured", "a processor"):
        assert expected in text
