"""A packed image set and the list that `prepare` makes of it, mutated; the images themselves too."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.data.packed import PackedImages, write_classes, write_packed
from sgenet.data.splits import open_split
from sgenet.data.tensors import read_tensor
from sgenet.errors import InputError
from support.mutations import forms, fuzz, mutated_bytes, mutated_documents, refused

FILES = ("train_index.npy", "classes.txt", "train.bin", "train.csv")
MANIFEST = Manifest(
    task="classification",
    source="packed",
    fingerprint="f",
    settings={"train": "train"},
    classes=["ant", "bee", "cat"],
    splits={split: SplitCounts(images=3) for split in ("train", "val")},
    files=[],
)
LIST = "position,label,size,xxhash,width,height\n0,0,{},ab,8,6\n1,1,{},cd,8,6\n3,2,{},ef,8,6\n"


def encoded(number, **how):
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **how)
    return file.getvalue()


@pytest.fixture
def packed(tmp_path):
    """The whole files; a function puts one in place of another and reads all images by PIL's and torchvision's way."""
    images = [encoded(0, format="PNG"), encoded(1, format="JPEG"), encoded(2, format="BMP"), encoded(3, format="WEBP")]
    write_packed(tmp_path, "train", images, [0, 1, 0, 2])
    write_classes(tmp_path, MANIFEST.classes)
    (tmp_path / "train.csv").write_text(LIST.format(*(len(images[place]) for place in (0, 1, 3))))
    whole = {name: (tmp_path / name).read_bytes() for name in FILES}

    def run(name, content):
        for other in FILES:
            (tmp_path / other).write_bytes(content if other == name else whole[other])
        return all([taken(lambda: PackedImages(tmp_path, "train")), taken(open_listed)])

    def open_listed():
        return open_split(tmp_path, MANIFEST.model_copy(update={"root": tmp_path}), "train")

    def taken(opened):
        images = refused(opened, *FILES)
        if images is None:
            return False
        assert len(images) == len(images.targets) and set(images.targets.tolist()) <= set(range(len(images.classes)))
        for reader in (images.reader, read_tensor):
            images.reader = reader
            for position in range(min(len(images), 5)):
                refused(lambda position=position: images[position], "train.bin")
        return True

    return whole, run


FOUND = {  # what once ended with another exception
    "train.csv": [
        LIST.replace("\n1,1", "\nx,1").format(9, 9, 9).encode(),
        LIST.replace("\n1,1", "\n1,2147483648").format(9, 9, 9).encode(),
        LIST.format(9, 9, 10**20).encode(),
        LIST.format(9, 9, "9" * 200_000).encode(),
    ],
    "classes.txt": [b"0\tant\n1\tbee\n" + b"9" * 5000, b"0\tant\n1\t\x1b[2J\n2\tcat\n"],
}


@pytest.mark.parametrize("name", FILES)
@forms(40, 2500)
def test_bytes(packed, name, form):
    whole, run = packed
    assert run(name, whole[name])
    also = FOUND.get(name, [])
    assert not any(run(name, content) for content in also)
    fuzz(mutated_bytes(whole[name]), lambda content: run(name, content), form)


@forms(60, 2500)
def test_structure_of_the_index(packed, form):
    whole, run = packed
    rows = np.load(io.BytesIO(whole["train_index.npy"])).tolist()

    def check(value):
        file = io.BytesIO()
        try:
            np.save(file, np.array(value))
        except (ValueError, OverflowError):  # no array at all
            np.save(file, np.array([value, None], dtype=object), allow_pickle=True)
        return run("train_index.npy", file.getvalue())

    fuzz(mutated_documents(rows), check, form)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_size_that_no_memory_holds_is_refused_by_its_head(format):
    """torchvision would take 13 GB for the first."""
    content = encoded(0, format=format, **({"lossless": True} if format == "WEBP" else {}))
    if format == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content = content[:place] + struct.pack(">HH", 65500, 65500) + content[place + 4 :]
    else:
        place = content.index(b"VP8L") + 9
        content = content[:place] + b"\xff\xff\xff\x0f" + content[place + 4 :]
    with pytest.raises(InputError, match="huge: found .* pixels, expected at most"):
        read_tensor(content, "huge")
