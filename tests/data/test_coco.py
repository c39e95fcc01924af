"""COCO-format data as `prepare` leaves them: what is refused, what is left out, what is allowed."""

import json
import reprlib
import shutil

import pytest
from PIL import Image
from pycocotools.coco import COCO

from sgenet.data.splits import annotation_file, image_folder
from sgenet.errors import InputError

TRAIN, VAL = "annotations/instances_train2017.json", "annotations/instances_val2017.json"


def located(source, manifest):
    return manifest.model_copy(update={"root": source.root})


def used(source, prepare, manifest, split="train"):
    return json.loads(annotation_file(prepare.folder, located(source, manifest), split).read_text())


def test_sound_data_are_used_where_they_lie(source, prepare):
    source.coco()
    before = {path: path.read_bytes() for path in source.root.rglob("*") if path.is_file()}
    manifest = prepare("coco")
    assert (manifest.classes, manifest.category_ids, manifest.masks) == (["cell", "dot"], [7, 3], True)
    assert manifest.splits["train"].plain() == {
        "images": 2, "objects": 2, "crowds": 0, "per_class": {"cell": 2, "dot": 0},
        "per_size": {"small": 2, "medium": 0, "large": 0},
    }  # fmt: skip
    assert manifest.area_limits == (1024, 9216)
    assert annotation_file(prepare.folder, located(source, manifest), "train") == source.root / TRAIN
    assert image_folder(prepare.folder, located(source, manifest), "val") == source.root / "val2017"
    assert sorted(path.name for path in prepare.folder.iterdir()) == ["defects.txt", "train.csv", "val.csv"]
    assert {path: path.read_bytes() for path in source.root.rglob("*") if path.is_file()} == before


def test_another_json_is_another_fingerprint(source, prepare):
    source.coco()
    first = prepare("coco")
    assert prepare("coco") == first
    source.edit("train", lambda coco: coco["annotations"][0].update(bbox=[4, 5, 10, 21]))
    assert prepare("coco").fingerprint != first.fingerprint


def test_what_is_allowed(source, prepare):
    """An image without annotation, a crowd, gaps in ids, another order of categories, no iscrowd, a box a bit out."""
    source.coco()

    def change(coco):
        coco["annotations"][0]["image_id"] = 20
        coco["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": [32, 40], "counts": [100, 50, 1130]}}
        coco["annotations"][1] |= {"bbox": [30.5, 20, 10, 12.9], "segmentation": [[30.5, 20, 41, 20, 41, 33]]}
        del coco["annotations"][1]["iscrowd"]
        coco["annotations"][1]["id"] = 900

    source.edit("train", change)
    source.edit("val", lambda coco: coco["categories"].reverse())
    manifest = prepare("coco")
    assert manifest.defects.by_kind == {}
    assert (manifest.splits["train"].images, manifest.splits["train"].crowds) == (2, 1)
    assert manifest.category_ids == [7, 3]


def test_data_without_masks_say_so(source, prepare):
    source.coco()
    source.edit("val", lambda coco: coco["annotations"][0].pop("segmentation"))
    assert prepare("coco").masks is False


def first(key, value):
    """A change of the first annotation."""
    return lambda coco: coco["annotations"][0].update({key: value})


def drop(name, key):
    return lambda coco: coco[name][0].pop(key)


DEFECTS = {
    "unknown image": (
        first("image_id", 99),
        "annotations.0.image_id: found 99, expected an id that the annotation file lists",
    ),
    "unknown category": (
        first("category_id", 5),
        "annotations.0.category_id: found 5, expected an id that the annotation file lists",
    ),
    "zero width": (
        first("bbox", [4, 5, 0, 20]),
        "annotations.0.bbox: found [4, 5, 0, 20], expected a width and a height above 0",
    ),
    "zero height": (
        first("bbox", [4, 5, 9, 0.0]),
        "annotations.0.bbox: found [4, 5, 9, 0.0], expected a width and a height above 0",
    ),
    "zero area": (first("area", 0), "annotations.0.area: found 0, expected a number above 0"),
    "box outside": (
        first("bbox", [4, 5, 10, 29]),
        "annotations.0.bbox: found [4, 5, 10, 29], expected a box within 40 x 32 pixels",
    ),
    "box left of it": (
        first("bbox", [-1.5, 5, 10, 20]),
        "annotations.0.bbox: found [-1.5, 5, 10, 20], expected a box within 40 x 32 pixels",
    ),
    "odd crowd": (first("iscrowd", 2), "annotations.0.iscrowd: found 2, expected 0 or 1"),
    "a crowd of text": (first("iscrowd", "0"), "annotations.0.iscrowd: found '0', expected 0 or 1"),
    "an odd ignore": (first("ignore", 0.5), "annotations.0.ignore: found 0.5, expected 0 or 1"),
    "polygons outside": (
        first("segmentation", [[-9, -9, -4, -9, -4, -4]]),
        "annotations.0.segmentation: found polygons in the box [-9, -9, 5, 5], expected a part inside 40 x 32 pixels",
    ),
    "another box than that of its polygons": (
        first("segmentation", [[4, 5, 7, 5, 7, 25], [4, 5, 5, 5]]),
        "annotations.0.bbox: found [4, 5, 10, 20], expected about [4, 5, 3, 20], the box of its polygons",
    ),
    "no box": (
        drop("annotations", "bbox"),
        "annotations.0.bbox: missing, expected [x, y, width, height], numbers below 2^53",
    ),
    "no area": (drop("annotations", "area"), "annotations.0.area: missing, expected a finite number from 0 to 2^53"),
    "no id": (drop("annotations", "id"), "annotations.0.id: missing, expected a whole number from 0 to 2^63 - 1"),
    "a box of three": (
        first("bbox", [1, 2, 3]),
        "annotations.0.bbox: found [1, 2, 3], expected [x, y, width, height], numbers below 2^53",
    ),
    "an infinite box": (
        first("bbox", [1, 2, float("inf"), 3]),
        "annotations.0.bbox: found [1, 2, inf, 3], expected [x, y, width, height], numbers below 2^53",
    ),
    "no mapping": (
        lambda coco: coco["annotations"].__setitem__(0, "x"),
        "annotations.0: found 'x', expected a mapping",
    ),
    "a line as mask": (
        first("segmentation", [[1, 2, 3, 4]]),
        "annotations.0.segmentation: found [[1, 2, 3, 4]], expected polygons, or a run-length mask of height and width"
        " [32, 40]",
    ),
    "a mask of too few pixels": (
        first("segmentation", {"size": [32, 40], "counts": [10, 10]}),
        "annotations.0.segmentation: found {'counts': [10, 10], 'size': [32, 40]}, expected polygons, or a run-length"
        " mask of height and width [32, 40]",
    ),
    "a mask of odd text": (
        first("segmentation", {"size": [32, 40], "counts": "!!!!garbage"}),
        "annotations.0.segmentation: found {'counts': '!!!!garbage', 'size': [32, 40]}, expected polygons, or a"
        " run-length mask of height and width [32, 40]",
    ),
    "a list as id": (first("id", [1]), "annotations.0.id: found [1], expected a whole number from 0 to 2^63 - 1"),
    "a mapping as image": (
        first("image_id", {}),
        "annotations.0.image_id: found {}, expected a whole number from 0 to 2^63 - 1",
    ),
    "a huge area": (
        first("area", 10**20),
        "annotations.0.area: found 100000000000000000000, expected a finite number from 0 to 2^53",
    ),
    "a huge box": (
        first("bbox", [4, 5, 10**400, 20]),
        f"annotations.0.bbox: found {reprlib.repr([4, 5, 10**400, 20])}, expected [x, y, width, height], numbers below"
        " 2^53",
    ),
}


def check_both(source, prepare, texts):
    """What the defects are told as, under either policy; returns the manifest with what is left."""
    with pytest.raises(InputError) as refused:
        prepare("coco")
    assert str(refused.value).split("\n")[1:] == texts
    assert not prepare.folder.exists()
    manifest = prepare("coco", defects="skip")
    assert (prepare.folder / "defects.txt").read_text().splitlines() == texts
    return manifest


@pytest.mark.parametrize("what", DEFECTS)
def test_a_defective_annotation_is_told_or_left_out(source, prepare, what):
    change, text = DEFECTS[what]
    source.coco().edit("train", change)
    before = (source.root / TRAIN).read_bytes()
    manifest = check_both(source, prepare, [f"{TRAIN}: {text}"])
    assert (manifest.splits["train"].images, manifest.splits["train"].objects) == (2, 1)
    assert [entry["id"] for entry in used(source, prepare, manifest)["annotations"]] == [2]
    assert COCO(annotation_file(prepare.folder, located(source, manifest), "train")).getImgIds() == [10, 20]
    assert annotation_file(prepare.folder, located(source, manifest), "val") == source.root / VAL
    assert (source.root / TRAIN).read_bytes() == before


IMAGES = {
    "no width": (
        drop("images", "width"),
        f"{TRAIN}: images.0.width: missing, expected a whole number from 1 to 1,048,576",
    ),
    "no file name": (
        drop("images", "file_name"),
        f"{TRAIN}: images.0.file_name: missing, expected a name: UTF-8 text without control characters and line breaks",
    ),
    "another size": (
        lambda coco: coco["images"][0].update(width=41),
        f"{TRAIN}: images: id 10: found 41 x 32 pixels, expected the 40 x 32 of train2017/a.png",
    ),
    "no such file": (
        lambda coco: coco["images"][0].update(file_name="z.png"),
        f"{TRAIN}: images.0.file_name: found 'z.png', expected a file in train2017",
    ),
    "a long file name": (
        lambda coco: coco["images"][0].update(file_name="z" * 1000),
        f"{TRAIN}: images.0.file_name: found {'z' * 1000!r}, expected a file in train2017",
    ),
    "a list as id": (
        lambda coco: (coco["images"][0].update(id=[10]), coco["annotations"].pop(0)),
        f"{TRAIN}: images.0.id: found [10], expected a whole number from 0 to 2^63 - 1",
    ),
}


@pytest.mark.parametrize("what", IMAGES)
def test_a_defective_image_is_told_or_left_out_with_its_objects(source, prepare, what):
    change, text = IMAGES[what]
    source.coco().edit("train", change)
    manifest = check_both(source, prepare, [text])
    assert (manifest.splits["train"].images, manifest.splits["train"].objects) == (1, 1)
    content = used(source, prepare, manifest)
    assert [entry["id"] for entry in content["images"]] == [20]
    assert (prepare.folder / "train.csv").read_text().splitlines()[1].startswith("b.png,")


def test_a_truncated_image_is_told_or_left_out(source, prepare):
    path = source.coco().root / "train2017/b.png"
    path.write_bytes(path.read_bytes()[:500])
    text = "train2017/b.png: found a damaged or truncated image (image file is truncated), expected a whole one"
    assert check_both(source, prepare, [text]).splits["train"].objects == 1


def test_sizes_before_exif_turned_the_image_are_explained(source, prepare):
    exif = Image.Exif()
    exif[0x0112] = 8
    source.coco().image("train2017/a.png", size=(40, 32), exif=exif)
    text = (
        f"{TRAIN}: images: id 10: found 40 x 32 pixels, expected the 32 x 40 of train2017/a.png "
        "(rotated by its EXIF orientation, as in training)"
    )
    check_both(source, prepare, [text])
    source.edit("train", lambda coco: coco["images"][0].update(width=32, height=40))
    manifest = prepare("coco")
    assert manifest.rotated == {"train": 1, "val": 0}


def test_images_of_both_splits_leave_training(source, prepare):
    source.coco()
    shutil.copy(source.root / "val2017/c.png", source.root / "train2017/a.png")
    text = "train2017/a.png: found the content of val2017/c.png, expected images of one split only"
    manifest = check_both(source, prepare, [text])
    assert [entry["id"] for entry in used(source, prepare, manifest)["images"]] == [20]
    assert manifest.splits["val"].images == 1


def test_whole_floats_and_a_byte_order_mark(source, prepare):
    """As some tools write them; training gets a file without the mark."""
    source.coco().edit("train", lambda coco: coco["images"][0].update(width=40.0, height=32.0))
    source.bytes(TRAIN, b"\xef\xbb\xbf" + (source.root / TRAIN).read_bytes())
    manifest = prepare("coco")
    assert manifest.defects.by_kind == {}
    assert COCO(annotation_file(prepare.folder, located(source, manifest), "train")).getImgIds() == [10, 20]


def test_falling_area_limits(source, prepare):
    source.coco()
    with pytest.raises(InputError, match=r"data.detection.area_limits: found .* expected the smaller one first"):
        prepare("coco", area_limits=[96, 32])


def test_no_object_left(source, prepare):
    source.coco().edit("train", lambda coco: coco["annotations"].clear())
    with pytest.raises(InputError, match="found no usable object in train, expected at least one"):
        prepare("coco")


def test_no_image_left(source, prepare):
    source.coco().bytes("val2017/c.png", b"")
    with pytest.raises(InputError, match="found no usable image in val, expected at least one"):
        prepare("coco", defects="skip")


def test_a_defect_of_a_limited_set_has_its_place_in_the_file(source, prepare):
    source.coco()
    source.edit("train", lambda coco: coco["annotations"][1].update(area=0))
    with pytest.raises(InputError, match=r"annotations\.1\.area: found 0"):
        prepare("coco", train_images=1)
    source.edit("train", lambda coco: coco["images"][1].pop("width"))
    with pytest.raises(InputError, match=r"images\.1\.width: missing"):
        prepare("coco", train_images=1)


def test_more_categories_than_evaluation_accepts(source, prepare):
    source.coco()
    for split in ("train", "val"):
        more = [{"id": number, "name": str(number)} for number in range(100, 5100)]
        source.edit(split, lambda coco, more=more: coco["categories"].extend(more))
    with pytest.raises(InputError, match="val2017.json: found 5,002 categories and 1 images, expected at most 5,000"):
        prepare("coco")


def test_limits_take_images_evenly_with_their_objects(source, prepare):
    source.coco()
    manifest = prepare("coco", train_images=1)
    content = used(source, prepare, manifest)
    assert [entry["id"] for entry in content["images"]] == [20]
    assert [entry["image_id"] for entry in content["annotations"]] == [20]
    assert manifest.splits["train"].images == 1
    assert content["categories"] == json.loads((source.root / TRAIN).read_text())["categories"]
