"""`sgenet predict`: the same classes and detections as the evaluation, files for other programs, and refusals."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from sgenet.cli import main
from sgenet.config import paths
from sgenet.data.packed import PackedImages
from sgenet.errors import InputError
from sgenet.pipeline import predict
from sgenet.pipeline.trained import read_trained
from sgenet.runtime.files import read_json

CLASSIFIER, DETECTOR = "classification/resnet50", "detection/mask-rcnn/resnet50"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prepared):
    """A checkout with a classifier and a detector, trained and evaluated at scale `smoke`."""
    root, folder = Path(__file__).parents[2], tmp_path_factory.mktemp("trained")
    for part in ("params", "workflow"):
        shutil.copytree(root / part, folder / part)
    shutil.copytree(prepared, folder / "data")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "disabled")
        for run in (CLASSIFIER, DETECTOR):
            for step in ("train", "evaluate"):
                options = ["--set", "test.score_threshold=0.0"] if run == DETECTOR else []
                assert main([step, run, "--scale", "smoke", *options]) == 0
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def weights(trained, monkeypatch):
    """The weights by run, with the checkout as working directory."""
    monkeypatch.chdir(trained)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the scale's: the order of sums depends on it
    tried = "tries/detection/mask-rcnn/resnet50/test.score_threshold=0.0"
    yield {
        CLASSIFIER: paths.training("smoke", CLASSIFIER, 0) / paths.BEST,
        DETECTOR: paths.training("smoke", tried, 0) / paths.LAST,
    }
    torch.set_num_threads(threads)


@pytest.fixture
def photos(tmp_path):
    """The validation images of the classifier as files, in a folder with a subfolder."""
    folder = tmp_path / "photos"
    images = PackedImages(Path("data/smoke/classification"), "val")
    for position in range(len(images)):
        path = folder / ("a" if position % 2 else "b") / f"{position:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images[position][0].save(path)
    return folder


def test_classes_are_those_of_the_evaluation_also_outside_of_the_checkout(
    weights, photos, tmp_path, capsys, monkeypatch
):
    out, file = tmp_path / "out", weights[CLASSIFIER].resolve()
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        assert main(["predict", str(file), str(photos), "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["predictions.csv"]
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert len(rows) == 40 and [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    classes = read_json("data/smoke/classification.json")["classes"]
    with np.load(paths.evaluation("smoke", CLASSIFIER, 0) / "predictions.npz") as arrays:
        top5 = arrays["best_top5"]
    for row in rows:
        named = [row[f"class{place}"] for place in ("", "_2", "_3", "_4", "_5")]
        shares = [float(row[f"probability{place}"]) for place in ("", "_2", "_3", "_4", "_5")]
        assert named == [classes[label] for label in top5[int(Path(row["file"]).stem)]]
        assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1 + 1e-5
    assert capsys.readouterr().out == f"{out}: 40 images, {CLASSIFIER}\n"


def test_detections_are_those_of_the_evaluation(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "LEAST_SCORE", 0.0)
    out, source = tmp_path / "out", Path("data/smoke/detection/val")
    assert main(["predict", str(weights[DETECTOR]), str(source), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"detections.json", "images.json", "pictures"}
    images = {one["id"]: one for one in read_json(out / "images.json")["images"]}
    evaluated = json.loads((weights[DETECTOR].parent / "detections.json").read_text())
    truth = json.loads(Path("data/smoke/detection/annotations/val.json").read_text())
    names = {one["id"]: one["file_name"] for one in truth["images"]}

    def by_file(detections, names):
        return sorted(
            (names[one["image_id"]], one["category_id"], one["score"], *one["bbox"], one["segmentation"]["counts"])
            for one in detections
        )

    found = json.loads((out / "detections.json").read_text())
    files = {number: one["file_name"] for number, one in images.items()}
    assert found and by_file(found, files) == by_file(evaluated, names)
    api = COCO()
    api.dataset = {**read_json(out / "images.json"), "annotations": []}
    api.createIndex()
    assert len(api.loadRes(str(out / "detections.json")).anns) == len(found)
    for one in images.values():
        drawn, original = out / "pictures" / f"{one['file_name']}.jpg", source / one["file_name"]
        with Image.open(drawn) as picture, Image.open(original) as image:
            assert picture.size == image.size == (one["width"], one["height"])
            if any(entry["image_id"] == one["id"] for entry in found):
                assert np.abs(np.asarray(picture, int) - np.asarray(image.convert("RGB"), int)).max() > 60


def test_a_detector_needs_the_recipe_of_a_checkout(weights, tmp_path, monkeypatch):
    file = weights[DETECTOR].resolve()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="params/recipes/detection.yaml: not found, expected the repository's root"):
        read_trained(file)


def test_what_cannot_be_read_is_left_out_and_named(weights, photos, tmp_path, capsys):
    (photos / "notes.txt").write_text("no image")
    whole = (photos / "b/000.png").read_bytes()
    (photos / "b/000.png").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    assert main(["predict", str(weights[CLASSIFIER]), str(photos), "--out", str(out)]) == 1
    told = (out / "left_out.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in told] == [str(photos / "b/000.png"), str(photos / "notes.txt")]
    shown = capsys.readouterr()
    assert shown.out == f"{out}: 39 images, {CLASSIFIER}; 2 files were left out, see {out / 'left_out.txt'}\n"
    assert [line.removeprefix("sgenet: left out: ") for line in shown.err.splitlines() if "left out" in line] == told
    assert "000.png" not in [Path(row["file"]).name for row in csv.DictReader((out / "predictions.csv").open())]


def test_the_classes_of_a_training_of_version_0_1_are_those_of_its_data(weights, tmp_path, monkeypatch):
    classes = read_trained(weights[CLASSIFIER]).classes
    folder = shutil.copytree(weights[CLASSIFIER].parent, tmp_path / "copied")
    record = read_json(folder / "training.json")
    assert record.pop("classes") == classes and len(classes) == 10
    (folder / "training.json").write_text(json.dumps(record))
    assert read_trained(folder / paths.BEST).classes == classes
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="training.json: classes: missing, expected them there, or data/smoke/classif"):
        read_trained(folder / paths.BEST)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda case: case.update(weights="results/none.safetensors"), "none.safetensors: expected a file of weights"),
        (lambda case: case.update(weights="lone.safetensors"), "found no training.json in its folder"),
        (lambda case: case.update(folder="nowhere"), "nowhere: not found, expected a folder of images"),
        (lambda case: case.update(folder="empty"), "empty: found no file, expected images"),
        (lambda case: case.update(folder="texts"), "texts: found no image that can be read: texts/a.txt: found bytes"),
        (lambda case: case.update(out="texts"), "texts: found a file or a folder with files, expected a new or empty"),
        (lambda case: case.update(folder="texts", out="texts/out"), "texts/out: is inside texts, expected a folder"),
    ],
)
def test_refusals_leave_nothing(weights, capsys, change, sentence):
    case = {"weights": str(weights[CLASSIFIER]), "folder": "data/smoke/detection/val", "out": "made"}
    for folder in ("empty", "texts"):
        Path(folder).mkdir(exist_ok=True)
    Path("texts/a.txt").write_text("no image")
    Path("lone.safetensors").write_bytes(b"")
    change(case)
    assert main(["predict", case["weights"], case["folder"], "--out", case["out"]]) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not Path("made").exists() and not Path("texts/out").exists()
