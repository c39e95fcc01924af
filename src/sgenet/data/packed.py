"""Packed image sets: few large files instead of many small ones, fast to hash, copy and read.

{split}.bin        the encoded images, one after another
{split}_index.npy  int32 or int64 [N, 3]: offset and length in bytes, label
classes.txt        label<TAB>name[<TAB>more], one line per class, labels 0..K-1 in order

See also docs/data.md.
"""

import io
import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sgenet.data.images import read_image
from sgenet.data.names import is_name
from sgenet.errors import InputError
from sgenet.runtime.files import atomic_path, check_file, read_text, write_text

_LARGEST = 2**29  # bytes of an index, enough for 22 million images
_LARGEST_LIST = 2**24  # bytes of a list of classes
Reader = Callable[..., Any]  # read_image, or read_tensor of tensors.py


def write_packed(folder: Path, split: str, images: Iterable[Image.Image | bytes], labels: Sequence[int]) -> None:
    """Write `images` in order, with one label each: bytes unchanged, PIL images as lossless WebP."""
    rows, offset = [], 0
    with atomic_path(folder / f"{split}.bin") as path, open(path, "wb") as file:
        for image, label in zip(images, labels, strict=True):
            encoded = image if isinstance(image, bytes) else encode(image)
            rows.append((offset, len(encoded), label))
            offset += file.write(encoded)
        index = np.array(rows, dtype=np.int32 if offset < 2**31 else np.int64).reshape(-1, 3)
    content = io.BytesIO()  # numpy.save does not report a disk that is full at the end of the file
    np.save(content, index)
    with atomic_path(folder / f"{split}_index.npy") as path:
        path.write_bytes(content.getvalue())


def encode(image: Image.Image) -> bytes:
    """Encode an image as lossless WebP with the fastest settings."""
    encoded = io.BytesIO()
    image.save(encoded, format="WEBP", lossless=True, quality=0, method=0)
    return encoded.getvalue()


def write_classes(folder: Path, names: Sequence[str]) -> None:
    """Write classes.txt; the label of a class is its position in `names`."""
    write_text(folder / "classes.txt", "".join(f"{label}\t{name}\n" for label, name in enumerate(names)))


class PackedImages:
    """One split of a packed set as a map-style dataset of (RGB image, label), for torch's DataLoader.

    `transform` is applied to what `reader` returns. `targets` are the labels, int64 [N]; `classes` are the names.
    """

    def __init__(self, folder: str | Path, split: str, transform: Callable[[Any], Any] | None = None):
        self.path = Path(folder) / f"{split}.bin"
        self.transform = transform
        self.reader: Reader = read_image
        self.classes = _read_classes(Path(folder) / "classes.txt")
        self.index = _read_index(Path(folder) / f"{split}_index.npy", self.path, len(self.classes))
        self.targets = self.index[:, 2]
        self._bytes: mmap.mmap | None = None

    def select(self, positions: np.ndarray, targets: np.ndarray, classes: list[str], sizes: np.ndarray) -> None:
        """Keep only the images at `positions`, with these labels (int64 [N]) of these classes.

        Raises:
            InputError: the classes or sizes in bytes (int64 [N]) in the packed set differ from these.
        """
        again = "prepare the data again"
        if len(positions) and positions.max() >= len(self.index):
            found, expected = len(self.index), positions.max() + 1
            raise InputError(f"{self.path}: found {found} images, expected at least {expected}: {again}")
        index = self.index[positions]
        same = (index[:, 1] == sizes) & (np.array(self.classes)[index[:, 2]] == np.array(classes)[targets])
        if not same.all():
            text = f"image {positions[~same][0]} has another class or size than when it was checked"
            raise InputError(f"{self.path}: {text}: {again}")
        self.index, self.targets, self.classes = index, targets, classes

    def __len__(self) -> int:
        return len(self.index)

    def read(self, position: int) -> bytes:
        """Return the encoded bytes of an image."""
        offset, length, _ = self.index[position].tolist()
        if self._bytes is None:
            with open(self.path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._bytes[offset : offset + length]

    def __getitem__(self, position: int) -> tuple[Any, int]:
        offset, length, _ = self.index[position].tolist()
        image = self.reader(self.read(position), f"{self.path}: bytes {offset} to {offset + length}")
        return (self.transform(image) if self.transform else image), int(self.targets[position])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_bytes": None}  # each worker process maps the file itself


def _read_classes(path: Path) -> list[str]:
    try:
        lines = read_text(path, _LARGEST_LIST).splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read, expected the class list of a packed image set") from None
    names = []
    for number, line in enumerate(lines, 1):
        label, _, rest = line.partition("\t")
        name = rest.split("\t")[0]
        if label != str(number - 1) or not is_name(name):
            raise InputError(f"{path}: line {number} is {line!r}, expected the label {number - 1}, a tab and a name")
        names.append(name)
    return names


def _read_index(path: Path, images: Path, classes: int) -> np.ndarray:
    """Return the index, int64 [N, 3], after checking it against the images' file and the class list."""
    try:
        check_file(path, _LARGEST)
        index = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a false header allocates no memory
    except Exception as error:  # NumPy raises many kinds of exceptions for bad bytes
        reason = f" ({error.strerror.lower()})" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(f"{path}: cannot be read{reason}, expected an int32 or int64 array [N, 3]") from None
    if not isinstance(index, np.ndarray):
        raise InputError(f"{path}: found an archive, expected an int32 or int64 array [N, 3]")
    if index.dtype not in (np.int32, np.int64) or index.ndim != 2 or index.shape[1] != 3 or len(index) == 0:
        raise InputError(f"{path}: found {index.dtype} {list(index.shape)}, expected int32 or int64 [N, 3] with N > 0")
    if not images.is_file():
        raise InputError(f"{images}: not found, expected the {len(index)} images that {path.name} lists")
    index = index.astype(np.int64)
    if index[:, 0].min() < 0 or index[:, 1].min() < 1 or index[:, :2].max() > 2**62:  # no sum overflows
        raise InputError(f"{path}: found an invalid offset or an empty image, expected parts of {images.name}")
    found, expected = images.stat().st_size, int((index[:, 0] + index[:, 1]).max())
    if found != expected:
        raise InputError(f"{images}: found {found} bytes, expected {expected} by {path.name}")
    if index[:, 2].min() < 0 or index[:, 2].max() >= classes:
        raise InputError(
            f"{path}: found labels {index[:, 2].min()} to {index[:, 2].max()}, "
            f"expected 0 to {classes - 1} by classes.txt"
        )
    return index
