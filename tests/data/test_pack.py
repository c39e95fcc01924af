"""`sgenet data pack`: what was packed reads back as the image folder does."""

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from sgenet.cli import main
from sgenet.data import cores, pack
from sgenet.data.packed import PackedImages


@pytest.fixture
def folders(source):
    source.folders(train_cat=20, train_ant=21, val_cat=1, val_ant=2)
    source.image("train/cat/wide.jpg", size=(31, 18), format="JPEG")
    source.image("train/cat/high.jpg", size=(13, 40), format="JPEG")
    return source


@pytest.mark.parametrize("count", [1, 2])
def test_the_files_own_bytes(folders, prepare, tmp_path, capsys, monkeypatch, count):
    monkeypatch.setattr(cores, "count_cores", lambda: count)
    before = {path: path.stat().st_mtime_ns for path in folders.root.rglob("*")}
    assert main(["data", "pack", str(folders.root), str(tmp_path / "packed")]) == 0
    assert "43 train and 3 val images of 2 classes, read back and found equal" in capsys.readouterr().out
    for split in ("train", "val"):
        packed, original = PackedImages(tmp_path / "packed", split), ImageFolder(folders.root / split)
        assert (packed.classes, packed.targets.tolist()) == (original.classes, original.targets)
        for position, (path, _) in enumerate(original.samples):
            with open(path, "rb") as file:
                assert packed.read(position) == file.read()
    assert {path: path.stat().st_mtime_ns for path in folders.root.rglob("*")} == before
    assert np.load(tmp_path / "packed/train_index.npy").dtype == np.int32
    assert prepare("packed", root=str(tmp_path / "packed")).splits["train"].images == 43


@pytest.mark.parametrize("size", [12, 50])
def test_squares_as_torchvision_makes_them(folders, tmp_path, size):
    assert main(["data", "pack", str(folders.root), str(tmp_path / "packed"), "--size", str(size)]) == 0
    square = v2.Compose([v2.Resize(size), v2.CenterCrop(size)])
    packed, original = PackedImages(tmp_path / "packed", "train"), ImageFolder(folders.root / "train")
    for position in range(len(original)):
        np.testing.assert_array_equal(np.asarray(packed[position][0]), np.asarray(square(original[position][0])))


def test_whole_or_not_at_all(folders, tmp_path, capsys):
    folders.bytes("val/cat/broken.png", b"no image").with_name("empty.png").touch()
    assert main(["data", "pack", str(folders.root), str(tmp_path / "packed")]) == 2
    told = capsys.readouterr().err
    assert f"source: found 2 defects, expected none; list: {tmp_path / 'packed-defects.txt'}\n" in told
    assert "\nval/cat/broken.png: found bytes of no readable image" in told
    assert "\nval/cat/empty.png: found an empty file" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed-defects.txt", "source"]
    assert (tmp_path / "packed-defects.txt").read_text().splitlines() == told.splitlines()[1:]


def test_what_is_read_back_is_compared(folders, tmp_path, monkeypatch, capsys):
    write = pack.write_packed

    def write_badly(folder, split, images, labels):
        write(folder, split, images, labels)
        content = bytearray((folder / f"{split}.bin").read_bytes())
        content[-1] ^= 1
        (folder / f"{split}.bin").write_bytes(bytes(content))

    monkeypatch.setattr(pack, "write_packed", write_badly)
    assert main(["data", "pack", str(folders.root), str(tmp_path / "packed")]) == 2
    assert "train.bin: image 42: found other bytes when read back, expected those written" in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()


def test_places_that_hold_something_are_refused(folders, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    assert main(["data", "pack", str(folders.root), str(tmp_path / "full")]) == 2
    assert main(["data", "pack", str(folders.root), str(folders.root / "packed")]) == 2
    assert main(["data", "pack", str(folders.root), str(tmp_path / "full/thesis.tex/packed")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "full: found a file or a folder with files, expected a new or empty folder" in told[0]
    assert "packed: is inside" in told[1] and "the source must not change" in told[1]
    assert "thesis.tex/packed: cannot be made (" in told[2]
    assert not (folders.root / "packed").exists()


def test_defects_of_the_folder_are_told(source, tmp_path, capsys):
    source.folders(train_cat=1, train_ant=1, val_cat=1, val_dog=1)
    assert main(["data", "pack", str(source.root), str(tmp_path / "packed")]) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "val/dog: found a class that has no images in train, expected a class that has some",
        "val/ant: not found, expected every training class",
    ]


def test_a_long_thin_image_takes_no_more_than_its_square():
    """Both ways of making the square show the same, to within rounding."""
    strip = np.random.default_rng(0).integers(0, 256, (60_000, 2, 3), dtype=np.uint8)
    tall = pack.square(Image.fromarray(strip), 50)
    middle = Image.fromarray(strip[29_000:31_000])  # enlarged 25 times, it can be made as a whole
    difference = np.asarray(tall).astype(int) - np.asarray(pack.square(middle, 50))
    assert tall.size == (50, 50) and abs(difference).max() <= 1


def test_offsets_beyond_two_gib(tmp_path):
    """int64 where int32 is too small; the file is sparse."""
    content = pack.encode(Image.new("RGB", (4, 4), (1, 2, 3)))
    start = 2**31 + 5
    with open(tmp_path / "train.bin", "wb") as file:
        file.seek(start)
        file.write(content)
    np.save(tmp_path / "train_index.npy", np.array([[start, len(content), 0]], dtype=np.int64))
    (tmp_path / "classes.txt").write_text("0\tblue\n")
    assert PackedImages(tmp_path, "train")[0][0].getpixel((0, 0)) == (1, 2, 3)
