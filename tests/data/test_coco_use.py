"""What mmdet leaves out of training, and what evaluation ignores, is counted as mmdet and pycocotools treat it."""

import json
import random
from pathlib import Path

import pytest
from pycocotools import mask

from sgenet.cli import main
from sgenet.config.replication import load_replication
from sgenet.config.tasks import Task
from sgenet.data.coco_objects import MIN_SIDE
from sgenet.data.manifest import Manifest
from sgenet.data.splits import annotation_file
from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate
from support.sources import mmdet_set


def test_the_smallest_side_is_that_of_the_configs(project):
    from sgenet.detection.config import detector_config

    run = next(run for run in load_replication("smoke").runs.values() if run.task is Task.DETECTION)
    config = detector_config(run, Path("data"), Manifest.of_classes(["a"]))
    assert config.train_dataloader.dataset.filter_cfg == {"filter_empty_gt": True, "min_size": MIN_SIDE}


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_mmdet(source, prepare, seed):
    """Images of random sizes around the limit, with no object, crowds, and boxes at their edges and of any width."""
    chance, images, objects = random.Random(seed), [], []
    for number in range(1, 31):
        width, height = chance.randint(30, 50), chance.randint(31, 40)
        source.image(f"train2017/{number}.png", size=(width, height))
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for _ in range(chance.choice([0, 1, 3])):
            box = [chance.choice([-1, 0, 5.5, width - 0.5]), chance.choice([0, 3, height])]
            box += [chance.choice([0.5, 1, 1.4]), chance.choice([0.9, 1])]
            objects.append({
                "id": len(objects) + 1, "image_id": number, "category_id": 7, "bbox": box, "area": 1,
                "iscrowd": chance.choice([0, 0, 1, True]), "ignore": chance.choice([0, False, None, 1]),
            })  # fmt: skip
    source.coco()
    source.edit("train", lambda coco: coco.update(images=images, annotations=objects))
    manifest = prepare("coco")
    path = annotation_file(prepare.folder, manifest.model_copy(update={"root": source.root}), "train")
    folder, classes = source.root / "train2017", ["cell", "dot"]
    trained = mmdet_set(path, folder, classes)
    kept = {image["img_id"] for image in trained}
    counts = {remark.partition(" will ")[2].partition(": ")[2]: int(remark.split()[0]) for remark in manifest.remarks}
    assert counts["no object"] + counts[f"a side below {MIN_SIDE} px"] == 30 - len(kept)
    unfiltered = {image["img_id"]: len(image["instances"]) for image in trained.load_data_list()}
    ignored = sum(bool(item["ignore"]) for item in objects)
    assert any(remark.startswith(f"{ignored} object") and "`ignore: 1`" in remark for remark in manifest.remarks)
    for item in objects:
        item["ignore"] = 0
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": objects}))
    thin = len(objects) - sum(len(image["instances"]) for image in mmdet_set(path, folder, classes).load_data_list())
    assert counts["a box of less than 1 px, or outside its image"] == thin > 0
    assert sum(unfiltered.values()) <= len(objects) - ignored


@pytest.mark.parametrize(
    ("size", "box", "text"),
    [
        ((31, 64), [1, 1, 9, 9], "all 2 images in train have a side below 32 px, expected larger ones"),
        ((64, 64), [1, 1, 0.9, 9], "found no object in train of at least 1 x 1 px, in an image whose sides are 32 px"),
    ],
)
@pytest.mark.parametrize("policy", ["strict", "skip"])
def test_nothing_to_train_on_is_refused_before_images_are_read(source, prepare, monkeypatch, size, box, text, policy):
    monkeypatch.setattr("sgenet.data.checks.inspect", lambda _: pytest.fail("read"))
    source.coco(size=size)
    source.edit("train", lambda coco: [item.update(bbox=box, segmentation=[]) for item in coco["annotations"]])
    with pytest.raises(InputError, match=text):
        prepare("coco", defects=policy)
    assert not prepare.folder.exists()


def test_polygons_of_two_points_are_left_out_next_to_others(source, prepare):
    source.coco()
    for split in ("train", "val"):
        source.edit(split, lambda coco: coco["annotations"][0]["segmentation"].insert(0, [30, 30, 31, 31]))
    manifest = prepare("coco").model_copy(update={"root": source.root})
    assert manifest.remarks == ["2 objects will be used without polygons of less than three points"]
    assert manifest.masks and manifest.defects.by_kind == {}
    for split, given in (("train", "train2017"), ("val", "val2017")):
        path = annotation_file(prepare.folder, manifest, split)
        assert path.is_relative_to(prepare.folder)
        objects = json.loads(path.read_text())["annotations"]
        assert all(item["segmentation"] == [[4, 5, 14, 5, 14, 25, 4, 25]] for item in objects)
        found = mask.frPyObjects(objects[0]["segmentation"], 32, 40)[0]
        found["counts"] = found["counts"].decode()
        detection = {"image_id": 10, "category_id": 7, "score": 0.5, "segmentation": found}
        for truth in (path, source.root / f"annotations/instances_{given}.json"):
            assert evaluate(truth, [detection], "segm").metrics["ar1"] == pytest.approx(100 / len(objects))


def test_two_categories_of_one_name_are_refused_with_advice(source, prepare):
    source.coco()
    for split in ("train", "val"):
        source.edit(split, lambda coco: coco["categories"][1].update(name="cell"))
    with pytest.raises(
        InputError, match="found 'cell' again, expected a unique name, .*: rename one category, or merge"
    ):
        prepare("coco", defects="skip")


@pytest.mark.parametrize(("share", "warned"), [(1, True), (0.6, True), (0.4, False)])
def test_detections_given_by_corners_are_warned_of(tmp_path, capsys, share, warned):
    boxes = [[100 + number, 90, 40, 50] for number in range(10)]
    truth = {
        "images": [{"id": 1, "width": 200, "height": 150}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": 2000}
            for number, box in enumerate(boxes)
        ],
    }
    corners = [[x, y, x + width, y + height] for x, y, width, height in boxes]
    found = corners[: round(10 * share)] + boxes[round(10 * share) :]
    detections = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.5} for box in found]
    files = {"truth.json": truth, "found.json": detections}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    names = [str(tmp_path / name) for name in files]
    assert main(["coco-eval", "--annotations", names[0], "--detections", names[1], "--json"]) == 0
    text = f"warning: {names[1]}: {round(10 * share)} of 10 boxes leave their image, as [x1, y1, x2, y2] would"
    assert capsys.readouterr().err == (f"{text}; expected [x, y, width, height]\n" if warned else "")
