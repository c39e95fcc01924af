"""ImageNet as distributed by ILSVRC: images in folders by synset, or flat validation images with the devkit."""

import gzip
import io
import re
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from sgenet.data.checks import Source
from sgenet.data.class_folders import NO_CLASSES, Listing, list_classes, list_files
from sgenet.data.defects import Defect
from sgenet.errors import InputError

FOLDERS = {"train": ("train", "ILSVRC2012_img_train"), "val": ("val", "ILSVRC2012_img_val")}
DEVKIT = "ILSVRC2012_devkit_t12"
_META, _TRUTH = f"{DEVKIT}/data/meta.mat", f"{DEVKIT}/data/ILSVRC2012_validation_ground_truth.txt"
_SYNSET = re.compile(r"n\d{8}")
_LARGEST = 2**26  # bytes of the unzipped archive; ILSVRC's has about 10 million


def list_imagenet(root: Path, folders: dict[str, str]) -> Listing:
    """List the images by class. Classes are synsets, named as in WordNet (n01440764), and are labelled in sorted order.

    Args:
        root: of the data.
        folders: split -> its folder, relative to `root`.
    """
    listing = Listing({})
    listing.splits["train"] = _synsets(root, folders["train"], listing)
    val = root / folders["val"]
    if not val.is_dir():
        raise InputError(f"{val}: not found, expected ILSVRC's validation images")
    if any(path.is_dir() and not path.name.startswith(".") and path.name not in NO_CLASSES for path in val.iterdir()):
        listing.splits["val"] = _synsets(root, folders["val"], listing)
    else:
        listing.flat.add("val")
        images = list_files(root, folders["val"], listing)
        listing.splits["val"] = _by_truth(images, folders["val"], read_devkit(root), listing.defects)
    return listing


def read_devkit(root: Path) -> list[str]:
    """Return the synset of each validation image, from the devkit in `root`: a folder, or ILSVRC's archive."""
    archive = root / f"{DEVKIT}.tar.gz"
    if (root / DEVKIT).is_dir():
        places = [str(root / name) for name in (_META, _TRUTH)]
        contents = [_read(Path(place)) for place in places]
    elif archive.is_file():
        places = [f"{archive}: {name}" for name in (_META, _TRUTH)]
        members = _read_members(archive)
        contents = [members[name] for name in (_META, _TRUTH)]
    else:
        found = f"found neither the folder {DEVKIT} nor {archive.name}"
        raise InputError(f"{root}: {found}, expected one of them for the classes of flat validation images")
    synsets = _synset_of_id(contents[0], places[0])
    labels = []
    for number, line in enumerate(contents[1].decode("ascii", "replace").split("\n"), 1):
        if line.strip():
            key = int(line) if line.strip().isdecimal() else -1
            if key not in synsets:
                raise InputError(f"{places[1]}: line {number}: found {line!r}, expected an ILSVRC2012_ID of {_META}")
            labels.append(synsets[key])
    return labels


def _synsets(root: Path, folder: str, listing: Listing) -> dict[str, list[tuple[str, Source]]]:
    classes = list_classes(root, folder, listing)
    for name in classes:
        if not _SYNSET.fullmatch(name):
            raise InputError(f"{root / folder}: found the folder {name!r}, expected synsets such as n01440764")
    return classes


def _by_truth(
    images: dict[str, Source], folder: str, labels: list[str], defects: list[Defect]
) -> dict[str, list[tuple[str, Source]]]:
    """Group flat validation images by class; the image with number k has the k-th label."""
    classes: dict[str, list[tuple[str, Source]]] = {}
    for number, label in enumerate(labels, 1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        source = images.pop(name, None)
        if source is None:
            defects.append(Defect("missing image", f"{folder}/{name}: not found, expected by {_TRUTH}"))
        else:
            classes.setdefault(label, []).append((name, source))
    for name in images:
        text = f"{folder}/{name}: no image of {_TRUTH}, expected ILSVRC2012_val_00000001.JPEG to"
        defects.append(Defect("stray file", f"{text} ILSVRC2012_val_{len(labels):08d}.JPEG"))
    return classes


def _synset_of_id(content: bytes, place: str) -> dict[int, str]:
    """Return ILSVRC2012_ID -> synset for the 1000 classes, which are the synsets without children."""
    from scipy.io import loadmat

    try:
        rows: Any = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"].reshape(-1)
        leaves = [row for row in rows if int(row["num_children"]) == 0]
        synsets = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in leaves}
    except Exception as error:  # scipy raises every kind of exception for bad bytes
        raise InputError(
            f"{place}: cannot be read ({type(error).__name__}), expected ILSVRC's table of synsets"
        ) from None
    if not synsets or not all(map(_SYNSET.fullmatch, synsets.values())):
        raise InputError(f"{place}: found no synset, or one with an invalid name, expected ILSVRC's table of synsets")
    return synsets


def _read_members(archive: Path) -> dict[str, bytes]:
    """Read the two files from the devkit's archive; no file is written, and no member may point outside the archive."""
    contents = {}
    try:
        with gzip.open(archive) as file:
            unzipped = file.read(_LARGEST + 1)
        if len(unzipped) > _LARGEST:
            raise InputError(f"{archive}: found more than {_LARGEST:,} bytes when unzipped, expected ILSVRC's devkit")
        with tarfile.open(fileobj=io.BytesIO(unzipped), mode="r:") as members:
            for member in members:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                    expected = "expected only files and folders inside the archive"
                    raise InputError(f"{archive}: found {member.name!r}, {_kind(member)}, {expected}")
                if not 0 <= member.size <= len(unzipped):  # a sparse file may state a larger size
                    found = f"{member.name}: found a size of {member.size:,} bytes"
                    raise InputError(f"{archive}: {found}, expected at most the {len(unzipped):,} of the archive")
                if name.as_posix() in (_META, _TRUTH) and (content := members.extractfile(member)):
                    contents[name.as_posix()] = content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{archive}: cannot be read ({error}), expected ILSVRC's devkit") from None
    for wanted in (_META, _TRUTH):
        if wanted not in contents:
            raise InputError(f"{archive}: {wanted}: missing, expected in ILSVRC's devkit")
    return contents


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!r}"
    return "a name that leaves it" if member.isfile() or member.isdir() else "a device"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise InputError(f"{path}: cannot be read, expected a file of ILSVRC's devkit") from None
