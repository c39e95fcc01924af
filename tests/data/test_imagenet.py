"""ImageNet as ILSVRC ships it, small and made up: both forms of the validation images, both forms of the devkit."""

import io
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from sgenet.data.imagenet import DEVKIT, read_devkit
from sgenet.errors import InputError

SYNSETS = ["n00000003", "n00000001", "n00000002"]  # by ILSVRC2012_ID, which is in no order of names
TRUTH = [2, 1, 3, 2]
TRUTH_NAME, META_NAME = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"


@pytest.fixture
def devkit():
    """The devkit's two files; ID 4 is an ancestor, as ILSVRC's table holds them too."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O"), ("children", "O")]
    table = np.empty((4, 1), dtype=fields)
    for row, name in enumerate([*SYNSETS, "n99999999"]):
        children = np.array([[1, 2, 3]]) if row == 3 else np.empty((0, 0))
        table[row, 0] = (float(row + 1), name, "some words", float(3 if row == 3 else 0), children)
    file = io.BytesIO()
    savemat(file, {"synsets": table})
    truth = "".join(f"{number}\n" for number in TRUTH)
    return {f"{DEVKIT}/data/{META_NAME}": file.getvalue(), f"{DEVKIT}/data/{TRUTH_NAME}": truth.encode()}


def pack(source, files, *odd):
    """Write the devkit's archive with further, odd members."""
    with tarfile.open(source.root / f"{DEVKIT}.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in odd:
            archive.addfile(member)


@pytest.fixture
def flat(source):
    """Training images by synset, four flat validation images; no devkit yet."""
    source.folders(**{f"train_{name}": 2 for name in SYNSETS})
    for number in range(1, 5):
        source.image(f"val/ILSVRC2012_val_{number:08d}.JPEG", format="JPEG")
    return source


def labels(prepare):
    lines = (prepare.folder / "val.csv").read_text().splitlines()[1:]
    return {line.split(",")[0]: int(line.split(",")[1]) for line in lines}


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_flat_validation_images_get_the_synsets_of_the_devkit(flat, prepare, devkit, form):
    if form == "archive":
        pack(flat, devkit)
    else:
        for name, content in devkit.items():
            flat.bytes(name, content)
    manifest = prepare("imagenet")
    assert manifest.classes == sorted(SYNSETS)
    expected = {f"ILSVRC2012_val_{k:08d}.JPEG": sorted(SYNSETS).index(SYNSETS[i - 1]) for k, i in enumerate(TRUTH, 1)}
    assert labels(prepare) == expected
    assert sorted(path.name for path in flat.root.iterdir()) == sorted(
        ["train", "val", DEVKIT + (".tar.gz" if form == "archive" else "")]
    )  # nothing was unpacked


def test_names_of_ilsvrcs_archives_are_found(flat, prepare, devkit):
    pack(flat, devkit)
    (flat.root / "train").rename(flat.root / "ILSVRC2012_img_train")
    (flat.root / "val").rename(flat.root / "ILSVRC2012_img_val")
    settings = prepare("imagenet").settings
    assert (settings["train"], settings["val"]) == ("ILSVRC2012_img_train", "ILSVRC2012_img_val")


def test_validation_images_by_synset_need_no_devkit(source, prepare):
    source.folders(**{f"{split}_{name}": 1 for split in ("train", "val") for name in SYNSETS})
    assert prepare("imagenet").splits["val"].per_class == dict.fromkeys(sorted(SYNSETS), 1)


def test_missing_and_odd_validation_images_are_defects(flat, prepare, devkit):
    pack(flat, devkit)
    (flat.root / "val/ILSVRC2012_val_00000003.JPEG").rename(flat.root / "val/ILSVRC2012_val_00000009.JPEG")
    with pytest.raises(InputError) as refused:
        prepare("imagenet")
    truth = f"{DEVKIT}/data/{TRUTH_NAME}"
    assert str(refused.value).split("\n")[1:3] == [
        f"val/ILSVRC2012_val_00000003.JPEG: not found, expected by {truth}",
        f"val/ILSVRC2012_val_00000009.JPEG: no image of {truth}, expected ILSVRC2012_val_00000001.JPEG to"
        " ILSVRC2012_val_00000004.JPEG",
    ]
    manifest = prepare("imagenet", defects="skip")
    assert manifest.splits["val"].images == 3
    assert manifest.defects.by_kind["missing image"] == 1


def test_no_folder_is_named_that_the_layout_lacks(flat, prepare, devkit):
    pack(flat, devkit | {f"{DEVKIT}/data/{TRUTH_NAME}": b"2\n2\n2\n2\n"})
    with pytest.raises(InputError) as refused:
        prepare("imagenet")
    text = "not found, expected every training class"
    assert str(refused.value).split("\n")[1:3] == [f"val: class {name}: {text}" for name in ("n00000002", "n00000003")]


@pytest.mark.parametrize("split", ["train", "val"])
def test_without_a_folder_of_images_both_names_are_given(flat, prepare, devkit, split):
    pack(flat, devkit)
    (flat.root / split).rename(flat.root / "other")
    found = f"found neither the folder {split} nor ILSVRC2012_img_{split}, expected one of them"
    with pytest.raises(InputError, match=found):
        prepare("imagenet")


def member(name, kind=tarfile.REGTYPE, link=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (member("/etc/passwd"), "found '/etc/passwd', a name that leaves it"),
        (member(f"{DEVKIT}/../../x"), "found 'ILSVRC2012_devkit_t12/../../x', a name that leaves it"),
        (member("a", tarfile.SYMTYPE, "/etc/passwd"), "found 'a', a link to '/etc/passwd'"),
        (member("b", tarfile.LNKTYPE, "../c"), "found 'b', a link to '../c'"),
        (member("d", tarfile.CHRTYPE), "found 'd', a device"),
    ],
)
def test_archives_that_point_out_of_themselves_are_refused(flat, prepare, devkit, odd, message):
    pack(flat, devkit, odd)
    with pytest.raises(InputError, match=f"t12.tar.gz: {message}, expected only files and folders inside the archive"):
        prepare("imagenet", defects="skip")


def test_a_huge_archive_is_refused_before_it_is_read(flat, devkit, monkeypatch):
    monkeypatch.setattr("sgenet.data.imagenet._LARGEST", 100)
    pack(flat, devkit)
    with pytest.raises(InputError, match="t12.tar.gz: found more than 100 bytes when unzipped, expected ILSVRC"):
        read_devkit(flat.root)


@pytest.mark.parametrize("size", [2**40, -(2**40)])
def test_members_that_tell_odd_sizes_are_refused(flat, devkit, size):
    odd = tarfile.TarInfo("holes")
    odd.type, odd.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(odd.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"\xff" * 12 if size < 0 else size.to_bytes(12, "big")  # real size, base 256
    block[483] = 0xFF if size < 0 else 0x80
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    with tarfile.open(flat.root / f"{DEVKIT}.tar.gz", "w:gz") as archive:
        archive.fileobj.write(bytes(block))
        archive.offset += len(block)
    with pytest.raises(InputError, match="holes: found a size of -?[0-9,]+ bytes, expected at most the [0-9,]+ of"):
        read_devkit(flat.root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (META_NAME, b"no table", "meta.mat: cannot be read .*, expected ILSVRC's table of synsets"),
        (TRUTH_NAME, b"2\nx\n", "ground_truth.txt: line 2: found 'x', expected an ILSVRC2012_ID"),
        (TRUTH_NAME, b"4\n", "ground_truth.txt: line 1: found '4', expected an ILSVRC2012_ID"),  # an ancestor
        (TRUTH_NAME, None, "ground_truth.txt: missing, expected in ILSVRC's devkit"),
    ],
)
def test_a_damaged_devkit_is_told(flat, devkit, name, content, message):
    files = devkit | {f"{DEVKIT}/data/{name}": content}
    pack(flat, {key: value for key, value in files.items() if value is not None})
    with pytest.raises(InputError, match=message):
        read_devkit(flat.root)


def test_no_archive_and_no_devkit(flat, prepare):
    with pytest.raises(InputError, match="found neither the folder ILSVRC2012_devkit_t12 nor ILSVRC2012_devkit"):
        prepare("imagenet")
    flat.bytes(f"{DEVKIT}.tar.gz", b"no archive")
    with pytest.raises(InputError, match="t12.tar.gz: cannot be read .*, expected ILSVRC's devkit"):
        prepare("imagenet")


def test_folders_that_are_no_synsets(source, prepare):
    source.folders(train_cat=1, val_cat=1)
    with pytest.raises(InputError, match="train: found the folder 'cat', expected synsets such as n01440764"):
        prepare("imagenet")
