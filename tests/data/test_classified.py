"""Image folders and packed sets as `prepare` leaves them: lists, defects, manifest; under both policies."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from sgenet.data import checks, cores
from sgenet.data.limits import pick, spread
from sgenet.data.packed import PackedImages, write_classes, write_packed
from sgenet.data.splits import open_split
from sgenet.errors import InputError


def rows(prepare, split):
    with open(prepare.folder / f"{split}.csv", newline="") as file:
        return list(csv.DictReader(file))


def check_both(prepare, kind, texts, **settings):
    """What the defects are told as, under either policy; returns the manifest with what is left."""
    with pytest.raises(InputError) as refused:
        prepare(kind, **settings)
    told = str(refused.value).split("\n")
    assert f"found {len(texts)} defect" in told[0]
    assert told[1:] == texts
    assert not prepare.folder.exists()
    manifest = prepare(kind, defects="skip", **settings)
    assert (prepare.folder / "defects.txt").read_text().splitlines() == texts
    assert sum(manifest.defects.by_kind.values()) == len(texts)
    return manifest


def test_a_folder_as_torchvision_sees_it(source, prepare):
    source.folders(train_cat=3, train_ant=2, val_cat=1, val_ant=1)
    source.image("train/cat/deep/er.jpg", format="JPEG")
    source.bytes("train/cat/.hidden", b"not looked at")
    manifest = prepare("folder")
    assert manifest.classes == ["ant", "cat"]
    assert manifest.splits["train"].plain() == {"images": 6, "per_class": {"ant": 2, "cat": 4}}
    assert manifest.defects.plain() == {"policy": "strict", "by_kind": {}}
    located = manifest.model_copy(update={"root": source.root})
    for split in ("train", "val"):
        ours, theirs = open_split(prepare.folder, located, split), ImageFolder(source.root / split)
        assert (ours.classes, ours.targets.tolist(), len(ours)) == (theirs.classes, theirs.targets, len(theirs))
        for position, (image, label) in enumerate(ours[k] for k in range(len(ours))):
            assert label == theirs[position][1]
            np.testing.assert_array_equal(np.asarray(image), np.asarray(theirs[position][0]))
        with pytest.raises(IndexError):
            ours[len(ours)]
        for row, (path, label) in zip(rows(prepare, split), theirs.samples, strict=True):
            with Image.open(path) as image:
                assert (int(row["width"]), int(row["height"])) == image.size
            assert (source.root / split / row["path"], int(row["label"])) == (source.root / path, label)


def test_the_same_data_leave_the_same_bytes_wherever_they_stand(source, prepare, tmp_path, monkeypatch):
    def left():
        return {path.name: path.read_bytes() for path in prepare.folder.iterdir()}

    source.folders(train_cat=3, train_ant=2, val_cat=1, val_ant=1)
    manifest, files = json.dumps(prepare("folder").plain()), left()
    assert json.dumps(prepare("folder").plain()) == manifest and left() == files
    source.root = source.root.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("ELSEWHERE", str(tmp_path))
    shutil.rmtree(tmp_path / "state")
    assert json.dumps(prepare("folder", root="${ELSEWHERE}/elsewhere").plain()) == manifest and left() == files
    assert str(tmp_path) not in manifest + "".join(str(content) for content in files.values())
    source.image("train/cat/0.png")
    changed = prepare("folder")
    assert changed.fingerprint != json.loads(manifest)["fingerprint"]


def test_unreadable_truncated_and_other_files(source, prepare):
    source.folders(train_cat=3, val_cat=2)
    whole = source.image("train/cat/whole.jpg", size=(64, 64), format="JPEG").read_bytes()
    source.bytes("train/cat/cut.jpg", whole[: len(whole) // 2])
    source.bytes("train/cat/text.jpg", b"hello, world")
    source.bytes("train/stray.txt", b"notes")
    (source.root / "val/cat/1.png").write_bytes(b"")
    (source.root / "val/cat/gone.png").symlink_to(source.root / "nowhere")
    expected = "expected JPEG, PNG, WEBP, BMP, PPM or TIFF"
    texts = [
        "train/stray.txt: found a file next to the class folders, expected it in one",
        "val/cat/gone.png: found a broken link, expected an image",
        "train/cat/cut.jpg: found a damaged or truncated image (image file is truncated), expected a whole one",
        f"train/cat/text.jpg: found bytes of no readable image (they begin with b'hello, w'), {expected}",
        f"val/cat/1.png: found an empty file, {expected}",
    ]
    manifest = check_both(prepare, "folder", texts)
    assert [row["path"] for row in rows(prepare, "train")] == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/whole.jpg"]
    assert [row["path"] for row in rows(prepare, "val")] == ["cat/0.png"]
    assert manifest.defects.by_kind == {"stray file": 1, "unreadable image": 4}


def test_classes_of_one_split(source, prepare):
    source.folders(train_ant=1, train_bee=0, train_cat=1, val_ant=1, val_bee=1, val_dog=2)
    texts = [
        "train/bee: found no image, expected at least one",
        "val/bee: found a class that has no images in train, expected a class that has some",
        "val/dog: found a class that has no images in train, expected a class that has some",
        "val/cat: not found, expected every training class",
    ]
    manifest = check_both(prepare, "folder", texts)
    assert manifest.classes == ["ant", "cat"]
    assert manifest.splits["val"].per_class == {"ant": 1, "cat": 0}


def test_images_of_both_splits_leave_training(source, prepare):
    source.folders(train_cat=2, train_dog=1, val_cat=1, val_dog=1)
    shutil.copy(source.root / "val/dog/0.png", source.root / "train/cat/1.png")
    text = "train/cat/1.png: found the content of val/dog/0.png, expected images of one split only"
    manifest = check_both(prepare, "folder", [text])
    assert [row["path"] for row in rows(prepare, "train")] == ["cat/0.png", "dog/0.png"]
    assert manifest.splits["val"].images == 2
    assert manifest.defects.plain() == {"policy": "skip", "by_kind": {"image in both splits": 1}}


def test_exif_and_odd_modes_are_counted_not_refused(source, prepare):
    source.folders(train_cat=1, val_cat=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    source.image("train/cat/turned.jpg", size=(8, 6), format="JPEG", exif=exif)
    for name, image in {
        "grey.png": Image.new("L", (4, 4), 9),
        "cmyk.jpg": Image.new("CMYK", (4, 4), (1, 2, 3, 4)),
        "deep.png": Image.fromarray(np.full((4, 4), 40_000, np.uint16)),
    }.items():
        image.save(source.root / "train/cat" / name)
    manifest = prepare("folder")
    assert manifest.rotated == {"train": 1, "val": 0}
    sizes = {row["path"]: (row["width"], row["height"]) for row in rows(prepare, "train")}
    assert sizes["cat/turned.jpg"] == ("6", "8")
    images = open_split(prepare.folder, manifest.model_copy(update={"root": source.root}), "train")
    assert {image.mode for image, _ in (images[k] for k in range(len(images)))} == {"RGB"}


@pytest.mark.parametrize("policy", ["strict", "skip"])
@pytest.mark.parametrize(
    ("classes", "broken", "message"),
    [
        ({"train_cat": 1, "val_cat": 1}, "train/cat/0.png", "found no usable image in train, expected at least one"),
        ({"train_cat": 1, "val_cat": 1}, "val/cat/0.png", "found no usable image in val, expected at least one"),
        (
            {"train_ant": 1, "train_cat": 1, "val_cat": 1, "val_ant": 1},
            "train/cat/0.png",
            "found no usable image of class cat in train, expected at least one",
        ),
    ],
)
def test_nothing_left_is_refused_whatever_the_policy(source, prepare, classes, broken, message, policy):
    source.folders(**classes).bytes(broken, b"")
    with pytest.raises(InputError, match=message if policy == "skip" else f"{broken}: found an empty file"):
        prepare("folder", defects=policy)
    assert not prepare.folder.exists()


def test_missing_folders_are_named(source, prepare):
    with pytest.raises(InputError, match="source/train: not found, expected a folder with a folder for each class"):
        prepare("folder")
    with pytest.raises(InputError, match="data.classification.root: environment variable NO_SUCH is not set, expected"):
        prepare("folder", root="${NO_SUCH}/x")
    with pytest.raises(InputError, match="data.classification.root: found '/no/such', expected an existing folder"):
        prepare("folder", root="/no/such")


def test_links_in_a_circle_end(source, prepare):
    source.folders(train_cat=1, val_cat=1)
    (source.root / "train/cat/again").symlink_to(source.root / "train")
    text = "train/cat/again: found a link to one of its parent folders, expected files"
    with pytest.raises(InputError, match=f"1 defect, .*\n{text}$"):
        prepare("folder")


def test_names_that_no_list_can_hold(source, prepare):
    source.folders(train_cat=1, val_cat=1)
    source.image("train/cat/two\nlines.png")
    check_both(
        prepare,
        "folder",
        ["train/cat: found the name 'two\\nlines.png', expected UTF-8 text without control characters and line breaks"],
    )


def test_limits_take_evenly_and_always_the_same(source, prepare):
    source.folders(train_ant=9, train_bee=1, train_cat=6, val_ant=2, val_bee=2, val_cat=2)
    manifest = prepare("folder", train_images=7, val_images=2)
    assert manifest.splits["train"].plain() == {"images": 7, "per_class": {"ant": 3, "bee": 1, "cat": 3}}
    assert [row["path"] for row in rows(prepare, "train")][:3] == ["ant/1.png", "ant/4.png", "ant/7.png"]
    assert manifest.splits["val"].images == 2
    with pytest.raises(InputError, match="train_images: found 2, expected at least one for each of the 3 classes"):
        prepare("folder", train_images=2)


@pytest.mark.parametrize("limit", [*range(24), None])
def test_shares_are_as_even_as_the_counts_allow(limit):
    counts = [3, 0, 9, 5, 5]
    shares = spread(counts, limit)
    assert sum(shares) == min(sum(counts), sum(counts) if limit is None else limit)
    assert all(share <= count for share, count in zip(shares, counts, strict=True))
    short = [share for share, count in zip(shares, counts, strict=True) if share < count]
    assert not short or max(shares) - min(short) <= 1


@pytest.mark.parametrize(("count", "wanted"), [(10, 10), (10, 3), (7, 1), (1000, 999), (5, 0)])
def test_picked_positions_are_distinct_and_spread(count, wanted):
    positions = pick(count, wanted)
    assert len(set(positions)) == wanted and all(0 <= position < count for position in positions)
    gaps = np.diff(positions)
    assert not gaps.size or gaps.max() - gaps.min() <= 1


@pytest.fixture
def packed(source):
    """A packed set of three classes, labels in no order, its second training image broken."""
    rng = np.random.default_rng(0)
    for split, labels in (("train", [2, 0, 1, 0]), ("val", [1, 0, 2])):
        images = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in labels]
        write_packed(source.root, split, images, labels)
    write_classes(source.root, ["zebra", "ant", "cat"])
    return source


def test_a_packed_set_keeps_its_order_of_classes(packed, prepare):
    manifest = prepare("packed")
    assert manifest.classes == ["zebra", "ant", "cat"]
    images = open_split(prepare.folder, manifest.model_copy(update={"root": packed.root}), "train")
    whole = PackedImages(packed.root, "train")
    order = [1, 3, 2, 0]  # by class
    assert images.targets.tolist() == [0, 0, 1, 2]
    for position, original in enumerate(order):
        np.testing.assert_array_equal(np.asarray(images[position][0]), np.asarray(whole[original][0]))
        assert images[position][1] == whole[original][1]


def test_a_broken_image_in_a_packed_set(packed, prepare):
    index = np.load(packed.root / "train_index.npy")
    content = bytearray((packed.root / "train.bin").read_bytes())
    offset, length, _ = index[3].tolist()
    content[offset : offset + length] = bytes(length)
    (packed.root / "train.bin").write_bytes(bytes(content))
    text = (
        f"train.bin: image 3: found bytes of no readable image (they begin with {bytes(8)!r}), "
        "expected JPEG, PNG, WEBP, BMP, PPM or TIFF"
    )
    manifest = check_both(prepare, "packed", [text])
    assert [row["position"] for row in rows(prepare, "train")] == ["1", "2", "0"]
    assert manifest.splits["train"].per_class == {"zebra": 1, "ant": 1, "cat": 1}


def test_a_class_of_a_packed_set_without_images(packed, prepare):
    write_classes(packed.root, ["zebra", "ant", "cat", "dog"])
    texts = [f"{split}.bin: class dog: found no image, expected at least one" for split in ("train", "val")]
    assert check_both(prepare, "packed", texts).classes == ["zebra", "ant", "cat"]


def test_a_packed_set_is_read_once(packed, prepare, monkeypatch):
    prepare("packed")
    monkeypatch.setattr(cores, "count_cores", lambda: 1)
    monkeypatch.setattr(checks, "inspect", lambda source: pytest.fail(f"{source.name} was read again"))
    prepare("packed")


def test_a_packed_set_that_changed_since_is_refused(packed, prepare):
    manifest = prepare("packed").model_copy(update={"root": packed.root})
    write_packed(packed.root, "train", [Image.new("RGB", (4, 4))], [0])
    with pytest.raises(InputError, match="train.bin: found 1 images, expected at least 4"):
        open_split(prepare.folder, manifest, "train")


@pytest.mark.parametrize("change", ["labels", "classes", "sizes"])
def test_other_labels_than_those_checked_are_refused(packed, prepare, change):
    manifest = prepare("packed").model_copy(update={"root": packed.root})
    index = np.load(packed.root / "train_index.npy")
    if change == "labels":
        index[[0, 1], 2] = index[[1, 0], 2]
    elif change == "sizes":
        index[2] += (1, -1, 0)
    else:
        write_classes(packed.root, ["ant", "zebra", "cat"])
    np.save(packed.root / "train_index.npy", index)
    with pytest.raises(InputError, match=r"train.bin: image \d has another class or size than when it was checked"):
        open_split(prepare.folder, manifest, "train")


def test_the_root_may_be_below_home(source, prepare, monkeypatch):
    source.folders(train_cat=1, val_cat=1)
    monkeypatch.setenv("HOME", str(source.root.parent))
    assert prepare("folder", root=f"~/{source.root.name}").splits["train"].images == 1
