"""COCO-format files that are refused as a whole, whatever the policy: nothing in them could be left out."""

import shutil

import pytest

from sgenet.errors import InputError

STRANGE = ("\0c.png", "a:http://b/c.png")  # no name, and what mmengine takes for an address
TRAIN, VAL = "annotations/instances_train2017.json", "annotations/instances_val2017.json"


def drop(name, key):
    return lambda coco: coco[name][0].pop(key)


def twice(name, key="id"):
    return lambda coco: coco[name].append({**coco[name][0], **({} if key == "id" else {"id": 77})})


REFUSED = {
    "images missing": (lambda coco: coco.pop("images"), f"{TRAIN}: images: missing, expected a list"),
    "annotations missing": (lambda coco: coco.pop("annotations"), f"{TRAIN}: annotations: missing, expected a list"),
    "categories missing": (lambda coco: coco.pop("categories"), f"{TRAIN}: categories: missing, expected a list"),
    "no images": (lambda coco: coco["images"].clear(), f"{TRAIN}: images: found an empty list, expected at least one"),
    "image twice": (twice("images"), f"{TRAIN}: images.2.id: found 10 again, expected a unique id"),
    "annotation twice": (twice("annotations"), f"{TRAIN}: annotations.2.id: found 1 again, expected a unique id"),
    "category twice": (twice("categories"), f"{TRAIN}: categories.2.id: found 7 again, expected a unique id"),
    "name twice": (twice("categories", "name"), f"{TRAIN}: categories.2.name: found 'cell' again, expected a unique"),
    "file twice": (
        lambda coco: coco["images"][1].update(file_name="./a.png"),
        f"{TRAIN}: images.1.file_name: found './a.png' again, expected a different file for each image",
    ),
    "a list as category": (
        lambda coco: coco["categories"][0].update(id=[7]),
        f"{TRAIN}: categories.0.id: found [7], expected a whole number from 0 to 2^63 - 1",
    ),
    "no name": (drop("categories", "name"), f"{TRAIN}: categories.0.name: missing, expected a name"),
    "category in one split": (
        lambda coco: coco["categories"].append({"id": 9, "name": "new"}),
        f"{VAL}: categories: id 9: found none, expected 'new' as in {TRAIN}",
    ),
    "other name": (
        lambda coco: coco["categories"][0].update(name="sell"),
        f"{VAL}: categories: id 7: found 'cell', expected 'sell' as in {TRAIN}",
    ),
    **{
        f"leaves by {name}": (
            lambda coco, name=name: coco["images"][1].update(file_name=name),
            f"{TRAIN}: images.1.file_name: found {name!r}, expected a path inside the folder of images",
        )
        for name in ("/etc/passwd", "../val2017/c.png", "x/../../y.png", "..\\c.png", "C:\\c.png", *STRANGE)
    },
}


@pytest.mark.parametrize("policy", ["strict", "skip"])
@pytest.mark.parametrize("what", REFUSED)
def test_refused_whatever_the_policy(source, prepare, what, policy):
    change, text = REFUSED[what]
    source.coco().edit("train", change)
    with pytest.raises(InputError) as refused:
        prepare("coco", defects=policy)
    assert str(refused.value).startswith(text)
    assert not prepare.folder.exists()


def test_no_json_and_nothing_there(source, prepare):
    source.coco().bytes(TRAIN, b'{"images": [')
    with pytest.raises(InputError, match="instances_train2017.json: line 1 is not JSON"):
        prepare("coco")
    (source.root / TRAIN).unlink()
    with pytest.raises(InputError, match="instances_train2017.json: cannot be read"):
        prepare("coco")
    shutil.rmtree(source.root / "train2017")
    with pytest.raises(InputError, match="train2017: not found, expected the folder of the images of annotations"):
        prepare("coco")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"images": ' + b"9" * 5000 + b"}"], ids=["deep", "long"])
def test_json_that_python_cannot_read(source, prepare, content):
    source.coco().bytes(TRAIN, content)
    with pytest.raises(InputError, match="instances_train2017.json: found lists nested too deeply, or a number"):
        prepare("coco")
