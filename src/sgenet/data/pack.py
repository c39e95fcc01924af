"""`sgenet data pack`: conversion of an image folder into a packed image set."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import xxhash
from PIL import Image

from sgenet.config.scales import ImageData
from sgenet.data.checks import Source, read_source
from sgenet.data.class_folders import list_folders
from sgenet.data.classified import choose_classes
from sgenet.data.cores import map_on_cores
from sgenet.data.defects import Defect, refuse_all
from sgenet.data.folders import SPLITS, fresh_folder
from sgenet.data.images import read_image
from sgenet.data.packed import PackedImages, encode, write_classes, write_packed
from sgenet.data.progress import progress
from sgenet.errors import InputError

_LARGEST = 2**26  # pixels of an image that is resized as a whole


def pack(source: Path, destination: Path, size: int | None = None) -> str:
    """Pack source/{train,val}/<class>/ into the new folder `destination`, atomically; return a line that describes it.

    Args:
        source: an image folder; it is not changed.
        destination: a new or empty folder.
        size: length in pixels to which the shorter side is resized; the image is then cropped around its centre to a
            square and stored as lossless WebP. None stores the bytes of each file unchanged.

    Raises:
        InputError: the image folder has defects, or the destination is not empty.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise InputError(f"{destination}: found a file or a folder with files, expected a new or empty folder")
    if destination.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{destination}: is inside {source}, expected a folder outside it: the source must not change")
    listed = destination.with_name(f"{destination.name}-defects.txt")
    listing, defects = list_folders(source, {split: split for split in SPLITS}), list[Defect]()
    classes = choose_classes(listing, ImageData(source="folder", root=str(source), train="train", val="val"))
    refuse_all(listing.defects, source, listed)
    with fresh_folder(destination) as folder:
        write_classes(folder, classes)
        images = {split: _flatten(listing.splits[split], classes) for split in SPLITS}
        digests: dict[str, list[str]] = {split: [] for split in SPLITS}
        for split, (sources, labels) in images.items():
            write_packed(folder, split, _encoded(sources, size, split, digests[split], defects), labels)
        refuse_all(defects, source, listed)
        for split, (_, labels) in images.items():
            _compare(folder, split, digests[split], labels, decoded=size is not None)
    listed.unlink(missing_ok=True)  # of an earlier attempt
    counts = " and ".join(f"{len(labels):,} {split}" for split, (_, labels) in images.items())
    return f"{destination}: {counts} images of {len(classes):,} classes, read back and found equal"


def square(image: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side of an image to `size` pixels, then crop the square around its centre."""
    short = min(image.size)
    width, height = (size * side // short for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if width * height > _LARGEST:  # long and thin: resize only the square
        across, down = image.width / width, image.height / height
        box = (left * across, top * down, (left + size) * across, (top + size) * down)
        return image.resize((size, size), Image.Resampling.BILINEAR, box)
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))


def _flatten(found: dict[str, list[tuple[str, Source]]], classes: list[str]) -> tuple[list[Source], list[int]]:
    """Return the images in the order of their classes, and their labels."""
    sources, labels = [], []
    for label, name in enumerate(classes):
        sources += [source for _, source in found[name]]
        labels += [label] * len(found[name])
    return sources, labels


def _encoded(
    sources: list[Source], size: int | None, split: str, digests: list[str], defects: list[Defect]
) -> Iterator[bytes]:
    """Yield the bytes stored for each image; no bytes if it cannot be read.

    The expected digest of each image is appended to `digests`, any problem to `defects`.
    """
    encoded = map_on_cores(partial(_encode, size=size), sources)
    for content, digest, problem in progress(encoded, f"pack {split}", "image", len(sources)):
        if problem:
            defects.append(Defect("unreadable image", problem))
        digests.append(digest)
        yield content


def _encode(source: Source, size: int | None) -> tuple[bytes, str, str]:
    """Return the bytes stored for an image, the digest expected when it is read back, and any problem."""
    try:
        content = read_source(source)
        image = read_image(content, source.name)
    except InputError as error:
        return b"", "", str(error)
    if size is None:
        return content, xxhash.xxh3_128_hexdigest(content), ""
    image = square(image, size)
    return encode(image), xxhash.xxh3_128_hexdigest(image.tobytes()), ""


def _compare(folder: Path, split: str, digests: list[str], labels: list[int], *, decoded: bool) -> None:
    """Read the written files back; InputError if labels or images differ."""
    packed = PackedImages(folder, split)
    if packed.targets.tolist() != labels or len(digests) != len(labels):
        raise InputError(f"{split}_index.npy: found other labels when read back, expected those written")
    for position, digest in enumerate(progress(digests, f"compare {split}", "image", len(digests))):
        content = packed[position][0].tobytes() if decoded else packed.read(position)
        if xxhash.xxh3_128_hexdigest(content) != digest:
            found = f"{split}.bin: image {position}: found other bytes when read back"
            raise InputError(f"{found}, expected those written; check the disk for errors")
