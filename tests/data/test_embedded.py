"""The embedded data: the same bytes from the same settings, honest splits, annotations that fit the pixels."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coding
from pycocotools.coco import COCO

from sgenet.config.model import validate
from sgenet.config.scales import EmbeddedImages, EmbeddedScenes
from sgenet.data import embedded, scenes
from sgenet.data.contact_sheet import draw_contact_sheet
from sgenet.data.embedded import CLASSES, make_classification, make_detection
from sgenet.data.packed import PackedImages
from sgenet.data.sizes import size_of
from sgenet.errors import InputError

MAKERS = {"classification": make_classification, "detection": make_detection}
SMALL = {
    "classification": EmbeddedImages(source="embedded", train_images=40, val_images=20, seed=3),
    "detection": EmbeddedScenes(source="embedded", train_images=24, val_images=12, seed=3),
}


def of_size(task, train, val):
    """Settings of a set of any size."""
    return SMALL[task].model_copy(update={"train_images": train, "val_images": val})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder and manifest of one small set of each task; not to be changed by a test."""
    root = tmp_path_factory.mktemp("embedded")
    return {task: (root / task, make(root / task, SMALL[task])) for task, make in MAKERS.items()}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def annotations(folder, split):
    return json.loads((folder / "annotations" / f"{split}.json").read_text())


def test_same_settings_give_the_same_bytes_in_another_process_and_order(made, tmp_path):
    code = (
        "import json, sys; from pathlib import Path; from sgenet.config.scales import Data\n"
        "from sgenet.data import embedded\n"
        "small = Data.model_validate_json(sys.argv[1])\n"
        "tasks = ('detection', 'classification')\n"
        "made = {task: getattr(embedded, 'make_' + task)(Path(task), small.of(task)) for task in tasks}\n"
        "print(json.dumps({task: manifest.plain() for task, manifest in made.items()}))"
    )
    command = [sys.executable, "-c", code, json.dumps({task: settings.plain() for task, settings in SMALL.items()})]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    for task, manifest in json.loads(again.stdout).items():
        assert manifest == made[task][1].plain()
        assert contents(tmp_path / task) == contents(made[task][0])


@pytest.mark.parametrize("task", MAKERS)
def test_another_seed_gives_other_data(made, tmp_path, task):
    other = MAKERS[task](tmp_path / task, SMALL[task].model_copy(update={"seed": 4}))
    assert other.fingerprint != made[task][1].fingerprint


@pytest.mark.parametrize("task", MAKERS)
def test_manifest_lists_every_file(made, task):
    folder, manifest = made[task]
    assert {file.path: file.size for file in manifest.files} == {
        path.as_posix(): len(content) for path, content in contents(folder).items()
    }
    assert embedded.describe_files(folder) == (manifest.files, manifest.fingerprint)
    assert str(folder.parent) not in json.dumps(manifest.plain())
    assert manifest.settings == SMALL[task].plain()


def test_no_handwritten_sample_is_in_both_splits():
    train, val = ({image.tobytes() for image in scenes.load_samples(split).images} for split in ("train", "val"))
    assert not train & val
    assert len(train) + len(val) == 1797  # the whole set, no two alike


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize("changed", ["train", "val"])
def test_scenes_come_from_the_samples_of_their_split_only(made, monkeypatch, tmp_path, task, changed):
    """With the samples of one split mirrored, the other split's files stay as they were, and only these."""
    load = scenes.load_samples

    def load_changed(split):
        samples = load(split)
        return scenes.Samples(samples.images[:, :, ::-1], samples.positions) if split == changed else samples

    monkeypatch.setattr(scenes, "load_samples", load_changed)
    MAKERS[task](tmp_path / task, SMALL[task])
    before, after = contents(made[task][0]), contents(tmp_path / task)
    images = [path for path in before if path.suffix in (".bin", ".png")]
    assert images
    for path in images:
        assert (before[path] == after[path]) == (changed not in str(path))


def test_classification_is_balanced_and_readable(made):
    folder, manifest = made["classification"]
    for split, count in (("train", 40), ("val", 20)):
        images = PackedImages(folder, split)
        assert images.classes == list(CLASSES)
        assert images[0][0].size == (64, 64)
        assert np.bincount(images.targets).tolist() == [count // 10] * 10
        assert manifest.splits[split].per_class == dict.fromkeys(CLASSES, count // 10)


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_and_areas_are_those_of_the_masks(made, split):
    folder, _ = made["detection"]
    coco = annotations(folder, split)
    assert coco["annotations"]
    for item in coco["annotations"]:
        assert isinstance(item["segmentation"]["counts"], str)
        mask = coding.decode(item["segmentation"]).astype(bool)
        rows, columns = np.nonzero(mask)
        x, y, width, height = item["bbox"]
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert item["area"] == mask.sum() == coding.area(item["segmentation"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_are_disjoint_and_boxes_overlap_little(made, split):
    folder, manifest = made["detection"]
    coco = annotations(folder, split)
    for image in coco["images"]:
        items = [item for item in coco["annotations"] if item["image_id"] == image["id"]]
        assert 1 <= len(items) <= manifest.settings["objects"][1]
        assert sum(coding.decode(item["segmentation"]) for item in items).max() == 1
        for one, other in combinations(items, 2):
            assert coding.iou([one["bbox"]], [other["bbox"]], [0])[0, 0] < 0.3


@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_and_sizes_are_balanced(made, split):
    folder, manifest = made["detection"]
    items = annotations(folder, split)["annotations"]
    told = manifest.splits[split].plain()
    assert told["objects"] == len(items)
    assert told["per_class"] == Counter(CLASSES[item["category_id"] - 1] for item in items)
    assert max(told["per_class"].values()) - min(told["per_class"].values()) <= 2
    assert told["per_size"] == Counter(size_of(item["area"], manifest.area_limits) for item in items)
    assert min(told["per_size"].values()) > 0.2 * len(items)


@pytest.mark.parametrize("split", ["train", "val"])
def test_pycocotools_reads_it(made, split):
    folder, manifest = made["detection"]
    coco = COCO(folder / "annotations" / f"{split}.json")
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert coco.dataset["info"]["area_limits"] == list(manifest.area_limits)
    for image in coco.loadImgs(coco.getImgIds()):
        with Image.open(folder / split / image["file_name"]) as file:
            assert file.size == (image["width"], image["height"])
    item = coco.loadAnns(coco.getAnnIds())[0]
    assert coco.annToMask(item).sum() == item["area"]


def test_digits_stand_out_from_what_they_are_painted_on(made):
    """A mask that fits its digit covers pixels brighter than those around it, on the mean of the set."""
    folder, _ = made["detection"]
    coco, inside, around = annotations(folder, "train"), [], []
    for item in coco["annotations"]:
        grey = np.asarray(Image.open(folder / "train" / f"{item['image_id']:06d}.png").convert("L"))
        mask = coding.decode(item["segmentation"]).astype(bool)
        x, y, width, height = item["bbox"]
        box = np.s_[y : y + height, x : x + width]
        inside.append(grey[box][mask[box]].mean())
        around.append(grey[box][~mask[box]].mean())
    assert np.mean(inside) > np.mean(around) + 50


def test_replaces_old_data_and_leaves_no_other_file(tmp_path):
    folder = tmp_path / "set"
    make_classification(folder, of_size("classification", 10, 10))
    (folder / ".snakemake_timestamp").touch()
    make_classification(folder, of_size("classification", 20, 10))
    assert len(PackedImages(folder, "train")) == 20
    assert len(list(folder.iterdir())) == 5
    assert list(tmp_path.iterdir()) == [folder]


def test_failure_leaves_the_old_data(monkeypatch, tmp_path):
    folder = tmp_path / "set"
    make_detection(folder, of_size("detection", 2, 2))
    before = contents(folder)
    monkeypatch.setattr(embedded, "_summary", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_detection(folder, of_size("detection", 3, 2))
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_refuses_to_replace_what_is_no_embedded_data(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="found thesis.tex, which is not prepared data"):
        make_detection(tmp_path, SMALL["detection"])
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("classification", {"colour": 1}, "colour: unknown key, did you mean clutter"),
        ("classification", {"seed": "0"}, "seed: found '0', expected an integer"),
        ("classification", {"train_images": 0}, "train_images: found 0, expected at least 10"),
        ("classification", {"image_size": 32}, r"digit_height: found \[26.*, 48.*\], expected .* from 8 to 24 pixels"),
        ("detection", {"objects": 3}, "objects: found 3, expected a list"),
        ("detection", {"objects": [4, 2]}, r"objects: found \[4, 2\], expected the smaller number first"),
        ("detection", {"area_limits": [400, 150]}, r"found the areas \[50.*, 400.*, 150.*, 1200.*\], expected incr"),
        ("detection", {"image_size": 64}, "expected increasing ones from 20 to 682.667 square pixels"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(task, settings, message):
    with pytest.raises(InputError, match=f"^scale.yaml: data.{task}.*{message}"):
        validate(type(SMALL[task]), {"source": "embedded", **settings}, "scale.yaml", ("data", task))


@pytest.mark.parametrize("task", MAKERS)
def test_contact_sheet(made, tmp_path, task):
    draw_contact_sheet(*made[task], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size < 400 * 1024
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 300
