"""Data as people bring them (tests/data/own_data): each case is read alike by every step, or reported by `prepare`.

The cases are named after those of public bug reports: detection sets, image folders, and ground truth with detections.
"""

import json
import shutil
import tarfile
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from sgenet.cli import main
from sgenet.data.images import read_pixels
from sgenet.data.splits import annotation_file, image_folder, open_split
from sgenet.data.tensors import read_tensor
from sgenet.detection.loading import LoadUprightImage
from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate
from support.sources import mmdet_set

CASES = Path(__file__).parent / "own_data"
SPLITS = {split: {"annotations": f"annotations/instances_{split}.json", "images": split} for split in ("train", "val")}


@pytest.fixture
def own(prepare, tmp_path):
    """Prepare a case; returns its manifest, whose root is set, and the folder of the case."""

    def run(case, **settings):
        folder = tmp_path / case
        if not folder.exists() and (CASES / case).exists():
            shutil.copytree(CASES / case, folder)
        if not folder.exists():
            with tarfile.open(CASES / "odd_names.tar.gz") as archive:
                archive.extractall(tmp_path, filter="data")
        kind = "coco" if (folder / "annotations").exists() else "folder"
        if kind == "coco":
            settings = {**SPLITS, **settings}
        return prepare(kind, root=str(folder), **settings).model_copy(update={"root": folder}), folder

    return run


def annotations(prepare, manifest, split):
    return json.loads(annotation_file(prepare.folder, manifest, split).read_text())


def dataset(prepare, manifest, split):
    """mmdet's data set of a split."""
    folder = prepare.folder
    return mmdet_set(annotation_file(folder, manifest, split), image_folder(folder, manifest, split), manifest.classes)


REFUSED = {
    "x08_val_png_cut": r"val/.*\.png: found a damaged or truncated image \(image file is truncated\)",
    "t02_normalised": "instances_train.json: annotations: boxes look normalised: all 16 lie within one pixel, expected",
    "m01_ignore": "found no usable object in train, expected at least one to train on besides crowds and objects with"
    " `ignore: 1`",
    "t03_val_without_objects": "found no usable object in val, expected at least one to evaluate",
    "m11_small": "all 4 images in train have a side below 32 px, expected larger ones: mmdet leaves these out",
    "m04_seg_outside": r"annotations.0.segmentation: found polygons in the box \[-60, -60, 20, 20\], expected a part",
    "c02_nfc_nfd": "val/.*: found a class that has no images in train.* Unicode normalisation only: NFC here, NFD ",
}


@pytest.mark.parametrize("case", REFUSED)
def test_reported_by_prepare(own, prepare, case):
    with pytest.raises(InputError, match=f"(?s){REFUSED[case]}"):
        own(case)
    assert not prepare.folder.exists()


@pytest.mark.parametrize("case", ["m04_seg_outside", "x08_val_png_cut"])
def test_all_defects_are_in_a_file_under_either_policy(own, prepare, case):
    with pytest.raises(InputError, match=f"; list: {prepare.refused}\n"):
        own(case)
    listed = prepare.refused.read_text().splitlines()
    if case == "m04_seg_outside":
        assert len(listed) == 12  # eight objects in train, four in val
        return
    manifest, _ = own(case, defects="skip")
    assert (prepare.folder / "defects.txt").read_text().splitlines() == listed
    assert not prepare.refused.exists()
    assert sum(manifest.defects.by_kind.values()) == len(listed) == 1


def test_text_ppm_is_read_by_every_step(own):
    manifest, folder = own("x05_ppm_text")
    path = folder / "train/003.ppm"
    numbers = [int(word) for word in path.read_text().split()[1:]]
    expected = np.array(numbers[3:]).reshape(numbers[1], numbers[0], 3)
    np.testing.assert_array_equal(read_pixels(path), expected)
    np.testing.assert_array_equal(LoadUprightImage().transform({"img_path": str(path)})["img"], expected[..., ::-1])
    assert manifest.splits["train"].images == 8


def test_exif_behind_xmp_is_applied_in_check_and_training(own, prepare):
    manifest, folder = own("x02_xmp_first")
    assert manifest.rotated == {"train": 8, "val": 4}
    listed = (prepare.folder / "train.csv").read_text().splitlines()
    assert listed[0].split(",")[-2:] == ["width", "height"] and listed[1].split(",")[-2:] == ["40", "60"]
    images = open_split(prepare.folder, manifest, "train")
    images.reader = read_tensor
    stored = cv2.imread(str(folder / "train/cat/0.jpg"), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(images[0][0].permute(1, 2, 0).numpy(), np.rot90(stored, -1))


@pytest.mark.parametrize("split", ["train", "val"])
def test_exif_as_long_turns_the_image_to_its_boxes(own, prepare, split):
    manifest, folder = own("x03_mm_long")
    content = annotations(prepare, manifest, split)
    assert manifest.rotated == {"train": 4, "val": 2}
    for entry in content["images"]:
        image = LoadUprightImage().transform({"img_path": str(folder / split / entry["file_name"])})["img"]
        assert image.shape[:2] == (entry["height"], entry["width"])
        inside = np.zeros(image.shape[:2], bool)
        for item in content["annotations"]:
            if item["image_id"] == entry["id"]:
                x, y, width, height = item["bbox"]
                inside[y : y + height, x : x + width] = True
        contrast = np.abs(image.astype(int) - np.median(image[~inside], axis=0)).mean(axis=2)
        assert contrast[inside].mean() > 2 * contrast[~inside].mean()  # the boxes lie on the objects


def test_crowds_as_false(own, prepare):
    manifest, _ = own("t01_iscrowd_false")
    assert manifest.splits["val"].crowds == 0
    objects = annotations(prepare, manifest, "val")["annotations"]
    detections = [{key: item[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.5} for item in objects]
    found = evaluate(annotation_file(prepare.folder, manifest, "val"), detections)
    assert found.metrics["ap"] == pytest.approx(100)
    instances = [item for image in dataset(prepare, manifest, "train") for item in image["instances"]]
    assert [item["ignore_flag"] for item in instances] == [0] * manifest.splits["train"].objects


def test_ignored_objects_are_crowds_in_every_step(own, prepare, tmp_path):
    shutil.copytree(CASES / "m01_ignore", tmp_path / "m01_ignore")
    for split in ("train", "val"):
        path = tmp_path / "m01_ignore" / SPLITS[split]["annotations"]
        content = json.loads(path.read_text())
        del content["annotations"][0]["ignore"]
        path.write_text(json.dumps(content))
    manifest, _ = own("m01_ignore")
    assert manifest.remarks == [
        "10 objects with `ignore: 1` will be treated as crowds are: not trained on, ignored in evaluation"
    ]
    for split, objects in (("train", 8), ("val", 4)):
        assert (manifest.splits[split].objects, manifest.splits[split].crowds) == (objects, objects - 1)
    trained = [item for image in dataset(prepare, manifest, "train") for item in image["instances"]]
    assert [item["ignore_flag"] for item in trained] == [0]
    objects = annotations(prepare, manifest, "val")["annotations"]
    detections = [
        {key: item[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9 if item.get("ignore") else 0.1}
        for item in objects
    ]
    found = evaluate(annotation_file(prepare.folder, manifest, "val"), detections)
    assert found.metrics["ap"] == pytest.approx(100)  # those of ignored objects are no false positives
    assert found.matches.truths[0].sum() == 1


def test_spaces_of_every_width_are_part_of_a_name(own, prepare):
    manifest, folder = own("d09_screenshot")
    names = [entry["file_name"] for entry in annotations(prepare, manifest, "train")["images"]]
    assert len(names) == 3 and all("\N{NARROW NO-BREAK SPACE}" in name for name in names)
    listed = (prepare.folder / "train.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in listed] == names
    assert [Path(image["img_path"]).name for image in dataset(prepare, manifest, "train")] == names


@pytest.mark.parametrize(
    "name",
    ["a\N{NO-BREAK SPACE}b", "\N{IDEOGRAPHIC SPACE}", "می\N{ZERO WIDTH NON-JOINER}خواهم", "👩\N{ZERO WIDTH JOINER}🔬"],
)
def test_classes_may_have_names_of_every_script(source, prepare, name):
    source.folders(**{f"train_{name}": 2, f"val_{name}": 1, "train_cat": 1, "val_cat": 1})
    manifest = prepare("folder")
    assert manifest.classes == sorted(["cat", name])
    images = open_split(prepare.folder, manifest.model_copy(update={"root": source.root}), "train")
    assert sorted(label for _, label in (images[place] for place in range(3))).count(manifest.classes.index(name)) == 2


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", "a\x85b", "a\N{LINE SEPARATOR}b"])
def test_control_characters_are_refused_for_what_they_are(source, prepare, name):
    source.folders(train_cat=1, val_cat=1).image(f"train/cat/{name}.png")
    with pytest.raises(InputError, match="found the name .*, expected UTF-8 text without control characters and line"):
        prepare("folder")


def test_two_forms_of_one_name_are_named_once(own):
    with pytest.raises(InputError) as refused:
        own("c02_nfc_nfd")
    told = str(refused.value).splitlines()[1:]
    assert len(told) == 1 and told[0].endswith("NFC here, NFD there")


def test_two_forms_of_the_name_of_a_category_or_a_file(source, prepare):
    source.coco()
    forms = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    source.image(f"train2017/{forms[1]}", size=(40, 32))
    source.edit("train", lambda coco: coco["images"][0].update(file_name=forms[0]))
    with pytest.raises(InputError, match="expected a file in train2017 .*normalisation only: NFC here, NFD there"):
        prepare("coco")
    for split, form in zip(("train", "val"), forms, strict=True):
        source.edit(split, lambda coco, form=form: coco["categories"][0].update(name=form))
    with pytest.raises(InputError, match="categories: id 7: .* Unicode normalisation only: NFD here, NFC there"):
        prepare("coco")


def test_thumbnails_of_network_storage_are_left_out_and_counted(own, prepare):
    manifest, _ = own("c11_eadir")
    assert manifest.splits["train"].per_class == {"cat": 4, "dog": 4}
    assert manifest.remarks == ["1 file in folders named @eaDir left out"]
    assert "eaDir" not in (prepare.folder / "train.csv").read_text()


@pytest.mark.parametrize(
    ("case", "iou_type", "ap"),
    [
        ("e08_id_17_digits", "bbox", 100),
        ("e22_nbsp_name", "bbox", 100),
        ("s03_raw_counts", "segm", 100),
    ],
)
def test_detections_equal_to_the_objects(case, iou_type, ap, capsys):
    files = [str(CASES / case / name) for name in ("gt.json", "dt.json")]
    arguments = ["coco-eval", "--annotations", files[0], "--detections", files[1], "--iou-type", iou_type]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap"] == pytest.approx(ap)


def test_ids_beyond_exact_floats_stay_apart():
    """The detections of one image do not count for the other, whose id is the same as a floating-point number."""
    files = CASES / "e08_id_17_digits"
    detections = json.loads((files / "dt.json").read_text())
    first, second = (detection["image_id"] for detection in detections)
    assert first != second and float(first) == float(second)
    both = [{**detection, "image_id": first} for detection in detections]
    assert evaluate(files / "gt.json", both).metrics["ar1"] == pytest.approx(50)
