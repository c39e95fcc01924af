"""Opening prepared data for training and evaluation, with one interface for every kind of source."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sgenet.config import paths
from sgenet.config.scales import CocoData, EmbeddedImages, EmbeddedScenes, ImageData
from sgenet.data.folders import SPLITS, describe_file
from sgenet.data.images import read_image
from sgenet.data.manifest import Manifest, read_manifest
from sgenet.data.packed import PackedImages, Reader
from sgenet.data.roots import resolve_root, stays_below
from sgenet.errors import InputError
from sgenet.runtime.files import check_file

Source = EmbeddedImages | ImageData | EmbeddedScenes | CocoData
Transform = Callable[[Any], Any]
_LARGEST_LIST = 2**31  # bytes; ImageNet's has 110 million


def open_manifest(scale: str, task: str, settings: Source) -> Manifest:
    """Read the manifest of prepared data and add `root`, the folder of real data.

    `root` is not in the file, so that the manifest does not change when the data are moved.

    Args:
        scale: name of the scale.
        task: `classification` or `detection`.
        settings: the scale's `data` of the task.
    """
    again = f"sgenet prepare {task} --scale {scale}"
    path = paths.require(paths.manifest(scale, task), again)
    manifest = read_manifest(path)
    if manifest.source != settings.source:
        raise InputError(f"{path}: source: found {manifest.source!r}, expected {settings.source!r} from `{again}`")
    if task == "detection" and (manifest.category_ids is None or manifest.area_limits is None):
        raise InputError(f"{path}: category_ids and area_limits: missing, expected from `{again}`")
    asked = settings.plain()
    for key in sorted(asked.keys() & manifest.settings.keys()):
        if (found := manifest.settings[key]) != asked[key]:
            raise InputError(f"{path}: settings.{key}: found {found!r}, expected {asked[key]!r} from `{again}`")
    for place in _places(manifest):
        if not isinstance(place, str) or not stays_below(place):
            expected = f"a path below the root of the data, from `{again}`"
            raise InputError(f"{path}: settings: found {place!r}, expected {expected}")
    located = locate(manifest, settings, f"params/scales/{scale}.yaml: data.{task}.root")
    if manifest.source == "coco":
        _refuse_changed(paths.data_folder(scale, task), located, again)
    return located


def _places(manifest: Manifest) -> list[Any]:
    """Return the paths of the splits of real data relative to their root, as given by the manifest."""
    found = [manifest.settings[split] for split in SPLITS if split in manifest.settings]
    both = [list(place.values()) if isinstance(place, dict) else [place] for place in found]
    return [place for of_split in both for place in of_split]


def locate(manifest: Manifest, settings: Source, place: str) -> Manifest:
    """Return the manifest with the root of the data as given by `settings`; unchanged if the data are not real."""
    if isinstance(settings, ImageData | CocoData):
        return manifest.model_copy(update={"root": resolve_root(settings.root, place)})
    return manifest


def _root(manifest: Manifest) -> Path:
    assert manifest.root is not None, "the manifest of real data is opened by open_manifest"
    return manifest.root


class ImageFiles:
    """Image files as a map-style dataset of (RGB image, label), for torch's DataLoader.

    `transform` is applied to what `reader` returns. `targets` are the labels, int64 [N]; `classes` are the names.
    """

    def __init__(
        self, root: Path, paths: list[str], targets: np.ndarray, classes: list[str], transform: Transform | None = None
    ):
        self.root, self.targets, self.classes, self.transform = root, targets, classes, transform
        self.reader: Reader = read_image
        # One array instead of a million objects, so that worker processes share it without copying.
        self._paths = np.frombuffer("".join(paths).encode(), dtype=np.uint8)
        self._ends = np.cumsum([0] + [len(path.encode()) for path in paths])

    def __len__(self) -> int:
        return len(self.targets)

    def path(self, position: int) -> Path:
        """Return the path of an image."""
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self.root / self._paths[self._ends[position] : self._ends[position + 1]].tobytes().decode()

    def __getitem__(self, position: int) -> tuple[Any, int]:
        image = self.reader(self.path(position))
        return (self.transform(image) if self.transform else image), int(self.targets[position])


def open_split(
    folder: Path, manifest: Manifest, split: str, transform: Transform | None = None
) -> PackedImages | ImageFiles:
    """Open a split of classified images: `.targets` (int64 [N]), `.classes`, len(), and [i] -> (RGB image, label).

    Args:
        folder: of the prepared data.
        manifest: of the data, as returned by `open_manifest`.
        split: `train` or `val`.
        transform: applied to each image.
    """
    if manifest.source == "embedded":
        return PackedImages(folder, split, transform)
    root, place, classes = _root(manifest), manifest.settings[split], manifest.classes
    path = folder / f"{split}.csv"
    names, targets, sizes = _read_list(path, len(classes))
    if manifest.source == "packed":
        images = PackedImages(root, place, transform)
        if not all(name.isdecimal() and len(name) < 10 for name in names):
            raise InputError(f"{path}: found a position that is not an integer, expected positions in {images.path}")
        images.select(np.array(names, dtype=np.int64), targets, classes, sizes)
        return images
    return ImageFiles(root / place, names, targets, classes, transform)


def annotation_file(folder: Path, manifest: Manifest, split: str) -> Path:
    """Return the COCO-format annotations of a split: the data's own file, or the one written by `prepare`."""
    made = folder / "annotations" / f"{split}.json"
    if manifest.source == "embedded" or made.exists():
        return made
    return _root(manifest) / manifest.settings[split]["annotations"]


def image_folder(folder: Path, manifest: Manifest, split: str) -> Path:
    """Return the folder that the file names in the annotations are relative to."""
    if manifest.source == "embedded":
        return folder / split
    return _root(manifest) / manifest.settings[split]["images"]


def _refuse_changed(folder: Path, manifest: Manifest, again: str) -> None:
    """Raise an InputError if the annotations of a split are not the file that was checked."""
    for split in SPLITS:
        path = annotation_file(folder, manifest, split)
        made = path.parent == folder / "annotations"
        name = path.relative_to(folder).as_posix() if made else manifest.settings[split]["annotations"]
        if not path.is_file() or describe_file(path, name) not in manifest.files:
            raise InputError(f"{path}: found changed content, expected the file that was checked: run `{again}`")


def _read_list(path: Path, classes: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the first column of a split's list, the labels (0 to classes - 1), and the sizes in bytes."""
    try:
        check_file(path, _LARGEST_LIST)
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            head = next(rows)
            label, size = head.index("label"), head.index("size")
            images = [(row[0], int(row[label]), int(row[size])) for row in rows]
        numbers = np.array([image[1:] for image in images], dtype=np.int64).reshape(-1, 2)
    except (OSError, ValueError, IndexError, StopIteration, OverflowError, csv.Error):
        raise InputError(f"{path}: cannot be read, expected a list of images written by `sgenet prepare`") from None
    if not len(images) or numbers[:, 0].min() < 0 or numbers[:, 0].max() >= classes:
        raise InputError(f"{path}: found no image or an unknown label, expected labels from 0 to {classes - 1}")
    names = [name for name, _, _ in images]
    for name in names:
        if name.startswith("/") or ("\0" in name or ".." in name) and not stays_below(name):
            raise InputError(f"{path}: found {name!r}, expected paths below the root of the data")
    return names, numbers[:, 0].copy(), numbers[:, 1].copy()
