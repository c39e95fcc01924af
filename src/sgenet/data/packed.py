"""Packed image sets: few large files instead of many small ones, quick to hash, copy and read.

{split}.bin        the encoded images (WebP, PNG or JPEG), one after another
{split}_index.npy  int32 [N, 3]: offset and length in bytes, label
classes.txt        label<TAB>name[<TAB>more], one line a class, labels 0..K-1 in order
"""

import io
import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sgenet.files import InputError, atomic_path, write_text


def write_packed(folder: Path, split: str, images: Iterable[Image.Image], labels: Sequence[int]) -> None:
    """Write `images` as lossless WebP, in their order, with one label each; at most 2 GiB in all."""
    rows, offset = [], 0
    with atomic_path(folder / f"{split}.bin") as path, open(path, "wb") as file:
        for image, label in zip(images, labels, strict=True):
            encoded = io.BytesIO()
            image.save(encoded, format="WEBP", lossless=True, quality=0, method=0)
            rows.append((offset, encoded.tell(), label))
            offset += file.write(encoded.getvalue())
        if offset >= 2**31:
            raise ValueError(f"{split}: {offset} bytes of images, but the index counts to 2**31 only")
        index = np.array(rows, dtype=np.int32).reshape(-1, 3)
    with atomic_path(folder / f"{split}_index.npy") as path:
        np.save(path, index)


def write_classes(folder: Path, names: Sequence[str]) -> None:
    """Write classes.txt; the label of a class is its position in `names`."""
    write_text(folder / "classes.txt", "".join(f"{label}\t{name}\n" for label, name in enumerate(names)))


class PackedImages:
    """One split of a packed set as a map-style dataset of (RGB image, label), for torch's DataLoader.

    `transform` is applied to the PIL image. `targets` are the labels, int64 [N]; `classes` are the names.
    """

    def __init__(self, folder: str | Path, split: str, transform: Callable[[Image.Image], Any] | None = None):
        self.path = Path(folder) / f"{split}.bin"
        self.transform = transform
        self.classes = _read_classes(Path(folder) / "classes.txt")
        self._index = _read_index(Path(folder) / f"{split}_index.npy", self.path, len(self.classes))
        self.targets = self._index[:, 2]
        self._bytes: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> tuple[Any, int]:
        offset, length, label = self._index[position].tolist()
        if self._bytes is None:
            with open(self.path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            encoded = io.BytesIO(self._bytes[offset : offset + length])
            image = Image.open(encoded, formats=("WEBP", "PNG", "JPEG")).convert("RGB")
        except OSError:
            raise InputError(
                f"{self.path}: bytes {offset} to {offset + length} (image {position}) are no readable image"
            ) from None
        return (self.transform(image) if self.transform else image), label

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_bytes": None}  # each worker process maps the file itself


def _read_classes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read, expected the class list of a packed image set") from None
    names = []
    for number, line in enumerate(lines, 1):
        label, _, rest = line.partition("\t")
        if label != str(number - 1) or not rest:
            raise InputError(f"{path}: line {number} is {line!r}, expected the label {number - 1}, a tab and a name")
        names.append(rest.split("\t")[0])
    return names


def _read_index(path: Path, images: Path, classes: int) -> np.ndarray:
    """Return the index, int64 [N, 3], after checking it against the images' file and the class list."""
    try:
        index = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path}: cannot be read, expected an int32 array [N, 3]") from None
    if index.dtype != np.int32 or index.ndim != 2 or index.shape[1] != 3 or len(index) == 0:
        raise InputError(f"{path}: found {index.dtype} {list(index.shape)}, expected int32 [N, 3] with N > 0")
    if not images.is_file():
        raise InputError(f"{images}: not found, expected the {len(index)} images that {path.name} lists")
    index = index.astype(np.int64)
    if index[:, 0].min() < 0 or index[:, 1].min() < 1:
        raise InputError(f"{path}: found a negative offset or an empty image, expected pieces of {images.name}")
    found, expected = images.stat().st_size, int((index[:, 0] + index[:, 1]).max())
    if found != expected:
        raise InputError(f"{images}: found {found} bytes, expected {expected} by {path.name}")
    if index[:, 2].min() < 0 or index[:, 2].max() >= classes:
        raise InputError(
            f"{path}: found labels {index[:, 2].min()} to {index[:, 2].max()}, "
            f"expected 0 to {classes - 1} by classes.txt"
        )
    return index
