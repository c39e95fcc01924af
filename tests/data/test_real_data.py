"""Real data through the steps: settings, counts, what is told, and what training and evaluation then see."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.params import load_scale
from sgenet.config.replication import load_replication
from sgenet.data.splits import annotation_file, open_manifest, open_split
from sgenet.errors import InputError, message
from sgenet.pipeline import steps
from sgenet.pipeline.doctor import doctor
from sgenet.runtime import files
from sgenet.runtime.files import read_json


@pytest.fixture
def use(project, monkeypatch):
    """Let the smoke scale take other data; returns the replication."""

    def use(task, **settings):
        project("params/scales/smoke.yaml", lambda scale: scale["data"].update({task: settings}))
        return load_replication("smoke")

    monkeypatch.setenv("WANDB_MODE", "disabled")
    threads = torch.get_num_threads()
    yield use
    torch.set_num_threads(threads)


def manifest_of(replication, task):
    return open_manifest("smoke", task, replication.scale.data.of(task))


def shared_folder(shared, name, monkeypatch):
    folder = shared / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} at {folder}")
    monkeypatch.setenv("SGENET_DATA", str(folder))
    return folder


def test_packed_mini_imagenet(shared, use, monkeypatch):
    shared_folder(shared, "mini_imagenet100_64_pack", monkeypatch)
    limits = {"train_images": 500, "val_images": 100}
    replication = use("classification", source="packed", root="${SGENET_DATA}", **limits)
    steps.prepare(replication, "classification")
    manifest = manifest_of(replication, "classification")
    assert manifest.defects.by_kind == {}
    assert set(manifest.splits["train"].per_class.values()) == {5}
    images = open_split(paths.data_folder("smoke", "classification"), manifest, "val")
    assert (len(images), len(images.classes), np.unique(images.targets).size) == (100, 100, 100)
    assert images[99][0].size == (64, 64)


def test_blood_cells(shared, use, monkeypatch):
    folder = shared_folder(shared, "bccd", monkeypatch)
    places = {
        split: {"annotations": f"annotations/instances_{split}.json", "images": f"images/{split}"}
        for split in ("train", "val")
    }
    replication = use("detection", source="coco", root="${SGENET_DATA}", **places)
    steps.prepare(replication, "detection")
    manifest = manifest_of(replication, "detection")
    counts = {split: (entry.images, entry.objects) for split, entry in manifest.splits.items()}
    assert counts == {"train": (205, 2805), "val": (87, 1138)}  # SOURCE.txt
    assert sorted(manifest.classes) == ["Platelets", "RBC", "WBC"]
    assert manifest.masks is False
    assert str(folder) not in paths.manifest("smoke", "detection").read_text()
    run = replication.run("detection/mask-rcnn/sge-resnet50")
    from sgenet.detection.config import detector_config

    with pytest.raises(InputError, match="mask-rcnn/sge-resnet50: masks: found objects without a mask in data/smoke/"):
        detector_config(run, paths.data_folder("smoke", "detection"), manifest)


def test_coco(shared, use, monkeypatch):
    folder = shared_folder(shared, "coco200", monkeypatch)
    replication = use("detection", source="coco", root="${SGENET_DATA}")
    steps.prepare(replication, "detection")
    manifest = manifest_of(replication, "detection")
    assert (len(manifest.classes), manifest.category_ids[-1], manifest.masks) == (80, 90, True)
    for split, images, crowds in (("train", 120, 22), ("val", 80, 13)):  # SOURCE.txt
        entry = manifest.splits[split]
        truth = annotation_file(paths.data_folder("smoke", "detection"), manifest, split)
        assert truth == folder / f"annotations/instances_{split}2017.json"
        objects = json.loads(truth.read_text())["annotations"]
        assert (entry.images, entry.crowds, entry.objects) == (images, crowds, len(objects))
        sizes = Counter(
            "small" if item["area"] <= 1024 else "medium" if item["area"] <= 9216 else "large" for item in objects
        )
        assert entry.per_size == sizes
    with Image.open(paths.manifest("smoke", "detection").with_suffix(".png")) as sheet:
        assert min(sheet.size) > 300
    assert paths.manifest("smoke", "detection").stat().st_size < 20_000


def test_a_classifier_trains_on_a_folder(source, use):
    source.folders(train_ant=12, train_cat=12, val_ant=3, val_cat=3)
    replication = use("classification", source="folder", root=str(source.root))
    steps.prepare(replication, "classification")
    before = paths.manifest("smoke", "classification").read_bytes()
    assert str(source.root) not in before.decode()
    run = replication.run("classification/sge-resnet50")
    run = replace(run, settings=run.settings.model_copy(update={"epochs": 1, "workers": 2}))
    steps.train(replication, run, 0)
    steps.evaluate(replication, run, 0)
    assert read_json(paths.evaluation("smoke", run.id, 0) / "metrics.json")["metrics"]["images"] == 6
    with np.load(paths.evaluation("smoke", run.id, 0) / "predictions.npz") as found:
        assert found["label"].tolist() == [0] * 3 + [1] * 3
    steps.prepare(replication, "classification")
    assert paths.manifest("smoke", "classification").read_bytes() == before


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_an_image_that_was_damaged_after_the_check_is_named(source, use, task, workers):
    if task == "classification":
        source.folders(train_cat=12, train_dog=12, val_cat=1, val_dog=1)
        replication = use(task, source="folder", root=str(source.root))
        damaged, run_id = sorted(source.root.glob("train/*/*.png")), "classification/sge-resnet50"
    else:
        replication = use(task, source="coco", root=str(source.coco(size=(64, 64)).root))
        damaged, run_id = sorted(source.root.glob("train2017/*.png")), "detection/retinanet/sge-resnet50"
    steps.prepare(replication, task)
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    run = replication.run(run_id)
    run = replace(
        run, settings=run.settings.model_copy(update={"workers": workers, "batch_size": 2, "device_batch_size": 2})
    )
    from sgenet.classification.train import train as train_classifier
    from sgenet.detection.train import train as train_detector

    train = train_classifier if task == "classification" else train_detector
    data, folder = paths.data_folder("smoke", task), source.root.parent / "run"
    with pytest.raises(InputError) as refused:
        train(run, data, manifest_of(replication, task), folder=folder, output=folder, seed=0, device="cpu")
    told = message(refused.value)
    assert any(told.startswith(f"{path}: found a damaged or truncated image (image file is trunc") for path in damaged)
    assert "\n" not in told


def test_a_detector_trains_where_val_orders_categories_otherwise(source, use):
    """Detections carry the ids of the training file's categories, whatever the order of the other file."""
    source.coco(size=(64, 64))  # mmdet leaves out images below 32 pixels
    source.edit("val", lambda coco: coco["categories"].reverse())
    replication = use("detection", source="coco", root=str(source.root))
    steps.prepare(replication, "detection")
    manifest = manifest_of(replication, "detection")
    from sgenet.detection import evaluate as evaluation
    from sgenet.detection.train import train

    run = replication.run("detection/retinanet/sge-resnet50")
    changes = {"batch_size": 2, "device_batch_size": 2}
    changes["test"] = run.detection.test.model_copy(update={"score_threshold": 0.0})
    run = replace(run, settings=run.settings.model_copy(update=changes))
    data, folder = paths.data_folder("smoke", "detection"), source.root.parent / "run"
    train(run, data, manifest, folder=folder / "state", output=folder, seed=0, device="cpu")
    weights = folder / "last.safetensors"
    from safetensors.torch import load_file, save_file

    state = load_file(weights)
    bias = state["bbox_head.retina_cls.bias"].view(-1, 2)  # anchors, classes
    bias[:, 0] += 30  # sure of the first class, `cell`, everywhere
    save_file(state, weights)
    evaluation.evaluate(run, data, manifest, trained=folder, output=folder, device="cpu")
    best = max(json.loads((folder / "detections.json").read_text()), key=lambda found: found["score"])
    assert best["category_id"] == 7


@pytest.mark.parametrize("policy", ["strict", "skip"])
def test_the_command_lists_every_defect(source, use, capsys, policy):
    source.folders(train_cat=3, val_cat=2).bytes("train/cat/0.png", b"")
    source.bytes("train/cat/1.png", b"x")
    use("classification", source="folder", root=str(source.root), defects=policy)
    status = main(["prepare", "classification", "--scale", "smoke"])
    told = capsys.readouterr().err
    if policy == "strict":
        assert status == 2
        assert told.startswith("sgenet: data.classification: found 2 defects, expected none")
        listed = paths.refused_data("smoke", "classification")
        assert f"list: {listed}\n" in told and len(listed.read_text().splitlines()) == 2
        assert "train/cat/0.png: found an empty file" in told and "train/cat/1.png: found bytes of no" in told
        assert not paths.data_folder("smoke", "classification").exists()
        assert not paths.manifest("smoke", "classification").exists()
    else:
        assert status == 0
        assert "2 defects, which are left out:\ntrain/cat/0.png: found an empty file" in told
        manifest = read_json(paths.manifest("smoke", "classification"))
        assert manifest["defects"] == {"policy": "skip", "by_kind": {"unreadable image": 2}}


def test_what_is_used_otherwise_is_printed_with_its_count(source, use, capsys):
    exif = Image.Exif()
    exif[0x0112] = 3
    source.coco(size=(64, 64)).image("train2017/a.png", size=(64, 64), exif=exif)
    source.edit("train", lambda coco: coco["annotations"].pop())
    use("detection", source="coco", root=str(source.root))
    assert main(["prepare", "detection", "--scale", "smoke"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "detection: 1 train + 0 val images are turned upright by their EXIF orientation",
        "detection: 1 image will not be used in training: no object",
    ]


def test_a_check_continues_and_sees_changes(source, use, monkeypatch):
    from sgenet.data import checks, cores

    names, inspect = [], checks.inspect
    monkeypatch.setattr(cores, "count_cores", lambda: 1)
    monkeypatch.setattr(checks, "inspect", lambda found: names.append(found.name) or inspect(found))
    source.folders(train_cat=3, val_cat=1)
    replication = use("classification", source="folder", root=str(source.root))
    steps.prepare(replication, "classification")
    assert len(names) == 4
    source.image("train/cat/2.png", size=(20, 20))
    shutil.rmtree("data")
    steps.prepare(replication, "classification")
    assert names[4:] == ["train/cat/2.png"]


def test_data_of_another_source_are_told(source, use):
    source.folders(train_cat=1, val_cat=1)
    steps.prepare(use("classification", source="folder", root=str(source.root)), "classification")
    replication = use("classification", source="packed", root=str(source.root))
    with pytest.raises(InputError, match="source: found 'folder', expected 'packed' from `sgenet prepare class"):
        steps.train(replication, replication.run("classification/sge-resnet50"), 0)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("classification", {"source": "zip"}, "data.classification.source: found 'zip', expected one of embedded"),
        ("classification", {"source": "folder"}, "data.classification.root: missing"),
        (
            "classification",
            {"source": "folder", "root": "x", "trian": "y"},
            "data.classification.trian: unknown key, did you mean train",
        ),
        (
            "classification",
            {"source": "imagenet", "root": "x", "defects": "ask"},
            "data.classification.defects: found 'ask', expected one of strict, skip",
        ),
        ("classification", {"source": "folder", "root": "x", "val": "../y"}, "data.classification.val: found '../y'"),
        ("classification", {"source": "folder", "root": "x", "train": "/y"}, "data.classification.train: found '/y'"),
        ("classification", {"source": "folder", "root": "x", "val": "y\n"}, r"data.classification.val: found 'y\\n'"),
        ("detection", {"source": "coco", "root": "x", "train_images": 0}, "data.detection.train_images: found 0"),
        (
            "detection",
            {"source": "coco", "root": "x", "train": {"images": "y"}},
            "data.detection.train.annotations: missing",
        ),
        ("detection", {"source": "coco", "root": "x", "image_size": 9}, "data.detection.image_size: unknown key"),
        ("classification", {"source": "embedded", "root": "x"}, "data.classification.root: unknown key"),
    ],
)
def test_settings_are_held_against_the_schema_of_their_source(project, task, settings, message):
    project("params/scales/smoke.yaml", lambda scale: scale["data"].update({task: settings}))
    with pytest.raises(InputError, match=f"params/scales/smoke.yaml: {message}"):
        load_scale("smoke")


@pytest.mark.parametrize("place", ["../other", "/etc", "a/../../b", "C:\\x", "x\0"])
def test_prepared_data_do_not_lead_out_of_the_root(source, use, place):
    """A manifest and lists that came from elsewhere are held to what `prepare` would have written."""
    source.folders(train_cat=2, val_cat=1)
    replication = use("classification", source="folder", root=str(source.root))
    steps.prepare(replication, "classification")
    path, listed = paths.manifest("smoke", "classification"), paths.data_folder("smoke", "classification") / "val.csv"
    manifest, text = read_json(path), listed.read_text()
    path.write_text(json.dumps(manifest | {"settings": manifest["settings"] | {"val": place}}))
    with pytest.raises(InputError, match="classification.json: settings: found .*, expected a path below the root"):
        manifest_of(replication, "classification")
    path.write_text(json.dumps(manifest))
    manifest = manifest_of(replication, "classification")
    assert len(open_split(listed.parent, manifest, "val")) == 1
    listed.write_text(text.replace("cat/0.png", f"{place}/0.png"))
    if place != "C:\\x":  # here an ordinary name
        with pytest.raises(InputError, match="val.csv: found .*, expected paths below the root of the data"):
            open_split(listed.parent, manifest, "val")


@pytest.mark.parametrize("change", ["sound", "edited", "gone"])
def test_a_json_other_than_the_one_checked_is_refused(source, use, change):
    replication = use("detection", source="coco", root=str(source.coco(size=(64, 64)).root))
    steps.prepare(replication, "detection")
    if change == "edited":
        source.edit("val", lambda coco: coco["annotations"][0].update(area=201))
    elif change == "gone":
        (source.root / "annotations/instances_val2017.json").unlink()
    if change == "sound":
        assert manifest_of(replication, "detection").area_limits == (1024, 9216)
        return
    text = "instances_val2017.json: found changed content, .*: run `sgenet prepare detection --scale smoke`"
    with pytest.raises(InputError, match=text):
        steps.train(replication, replication.run("detection/retinanet/sge-resnet50"), 0)


def test_an_interrupted_step_leaves_no_old_manifest_beside_new_data(source, use, monkeypatch):
    source.folders(train_cat=3, val_cat=1)
    replication = use("classification", source="folder", root=str(source.root))
    steps.prepare(replication, "classification")
    manifest, folder = paths.manifest("smoke", "classification"), paths.data_folder("smoke", "classification")
    before = manifest.read_bytes(), (folder / "train.csv").read_bytes()
    source.image("train/cat/4.png")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sgenet.data.contact_sheet.draw_contact_sheet", interrupt)
        with pytest.raises(KeyboardInterrupt):
            steps.prepare(replication, "classification")
    assert (manifest.read_bytes(), (folder / "train.csv").read_bytes()) == before
    with monkeypatch.context() as patch:
        put = files.put
        patch.setattr(files, "put", lambda made, path: interrupt() if path == manifest else put(made, path))
        with pytest.raises(KeyboardInterrupt):
            steps.prepare(replication, "classification")
    assert not manifest.exists() and len((folder / "train.csv").read_text().splitlines()) == 5
    assert not list(folder.parent.glob(".*"))


def test_the_doctor_tells_where_data_are_looked_for(source, use, monkeypatch, capsys):
    use("classification", source="folder", root="${SGENET_IMAGES}")
    for value, told in (
        ("", "data in ${SGENET_IMAGES} (SGENET_IMAGES is not set)"),
        ("/no/such", "data in /no/such (no such folder)"),
        (str(source.root), f"data in {source.root} (not prepared yet)"),
    ):
        monkeypatch.setenv("SGENET_IMAGES", value)
        assert doctor() == 0  # another scale is chosen
        assert f"classification {told}" in capsys.readouterr().out


def test_the_doctor_misses_data_of_the_chosen_scale(source, use, project, monkeypatch, capsys):
    use("classification", source="folder", root="${SGENET_IMAGES}")
    project("params/pipeline.yaml", lambda pipeline: pipeline.update(scale="smoke"))
    monkeypatch.setenv("SGENET_IMAGES", "/no/such")
    assert doctor() == 1
    assert capsys.readouterr().out.endswith("\nnot ready: classification: /no/such: no such folder\n")
    monkeypatch.setenv("SGENET_IMAGES", str(source.root))
    assert doctor() == 0


def test_data_prepared_by_other_settings_than_the_scales_are_refused(source, use):
    source.folders(train_cat=3, train_dog=3, val_cat=1, val_dog=1)
    replication = use("classification", source="folder", root=str(source.root))
    steps.prepare(replication, "classification")
    assert manifest_of(replication, "classification").splits["train"].images == 6
    fewer = use("classification", source="folder", root=str(source.root), defects="skip")
    with pytest.raises(InputError, match="settings.defects: found 'strict', expected 'skip' from `sgenet prepare cl"):
        manifest_of(fewer, "classification")
