"""Packed image sets: what is written comes back, and damage is told in one sentence."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from sgenet.data.packed import PackedImages, write_classes, write_packed
from sgenet.errors import InputError

LABELS = [1, 0, 2, 1]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (len(LABELS), 9, 7, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pixels):
    write_packed(tmp_path, "train", map(Image.fromarray, pixels), LABELS)
    write_classes(tmp_path, ["ant", "bee", "cat"])
    return tmp_path


def test_round_trip(folder, pixels):
    images = PackedImages(folder, "train")
    assert images.classes == ["ant", "bee", "cat"]
    assert images.targets.tolist() == LABELS
    assert len(images) == len(LABELS)
    for position, (image, label) in enumerate(images[k] for k in range(len(images))):
        assert (image.mode, label) == ("RGB", LABELS[position])
        np.testing.assert_array_equal(np.asarray(image), pixels[position])


def test_transform_sees_the_image(folder):
    assert PackedImages(folder, "train", transform=lambda image: image.size)[2] == ((7, 9), 2)


def test_ends_like_a_sequence(folder):
    with pytest.raises(IndexError):
        PackedImages(folder, "train")[len(LABELS)]


def test_can_be_sent_to_a_worker_process(folder):
    images = PackedImages(folder, "train")
    images[0]
    assert pickle.loads(pickle.dumps(images))[1][1] == 0


def test_loads_without_torch(folder):
    import subprocess
    import sys

    code = "import sys, sgenet.data.packed; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", ["train.bin", "train_index.npy", "classes.txt"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: .*expected"):
        PackedImages(folder, "train")


def test_truncated_images(folder):
    path = folder / "train.bin"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=rf"train.bin: found {size - 5} bytes, expected {size} by train_index.npy"):
        PackedImages(folder, "train")


def test_truncated_index(folder):
    path = folder / "train_index.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"train_index.npy: cannot be read, expected an int32 or int64 array \[N, 3\]"):
        PackedImages(folder, "train")


def header(shape):
    """What NumPy writes before an int32 array of that shape, and nothing behind it."""
    text = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"", header((2**45, 3)), header("(1, [")])
def test_an_index_of_odd_bytes(folder, content):
    (folder / "train_index.npy").write_bytes(content)
    with pytest.raises(InputError, match="train_index.npy: cannot be read, expected an int32 or int64 array"):
        PackedImages(folder, "train")


def test_a_class_list_with_a_byte_order_mark(folder):
    (folder / "classes.txt").write_text("0\tant\n1\tbee\n2\tcat\n", encoding="utf-8-sig")
    assert PackedImages(folder, "train").classes == ["ant", "bee", "cat"]


@pytest.mark.parametrize(
    ("index", "found"),
    [
        (np.zeros((4, 2), np.int32), r"int32 \[4, 2\]"),
        (np.zeros((4, 3), np.float32), r"float32 \[4, 3\]"),
        (np.zeros((0, 3), np.int32), r"int32 \[0, 3\]"),
        (np.zeros((4, 3), np.int32), "an empty image"),
        (np.array([[-1, 1, 0]], np.int32), "an invalid offset"),
        (np.array([[2**63 - 1, 9, 0]], np.int64), "an invalid offset"),
    ],
)
def test_wrong_index(folder, index, found):
    np.save(folder / "train_index.npy", index)
    with pytest.raises(InputError, match=rf"train_index.npy: found .*{found}.*, expected"):
        PackedImages(folder, "train")


def test_index_of_other_images(folder, pixels):
    write_packed(folder, "other", map(Image.fromarray, pixels[:3]), LABELS[:3])
    shutil.copy(folder / "other_index.npy", folder / "train_index.npy")
    with pytest.raises(InputError, match="train.bin: found .* bytes, expected .* by train_index.npy"):
        PackedImages(folder, "train")


def test_label_without_a_class(folder):
    write_classes(folder, ["ant", "bee"])
    with pytest.raises(InputError, match="train_index.npy: found labels 0 to 2, expected 0 to 1 by classes.txt"):
        PackedImages(folder, "train")


def test_class_list_out_of_order(folder):
    (folder / "classes.txt").write_text("0\tant\n2\tbee\n")
    with pytest.raises(InputError, match="classes.txt: line 2 is .*expected the label 1, a tab and a name"):
        PackedImages(folder, "train")


def test_damaged_image(folder):
    path = folder / "train.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(InputError, match=r"train.bin: bytes 0 to \d+: found bytes of no readable image"):
        PackedImages(folder, "train")[0]


def test_failed_writing_leaves_nothing(tmp_path, pixels):
    with pytest.raises(ValueError, match="argument 2 is shorter than argument 1"):
        write_packed(tmp_path, "train", map(Image.fromarray, pixels), LABELS[:-1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("split", "count"), [("train", 50_000), ("val", 10_000)])
def test_reads_the_shared_mini_imagenet(shared, split, count):
    folder = shared / "data" / "mini_imagenet100_64_pack"
    if not folder.is_dir():
        pytest.skip(f"no packed mini-ImageNet at {folder}")
    images = PackedImages(folder, split)
    assert (len(images), len(images.classes)) == (count, 100)
    assert np.bincount(images.targets).tolist() == [count // 100] * 100
    image, label = images[count - 1]
    assert (image.size, image.mode, label) == ((64, 64), "RGB", 99)
