"""Image loading: batches with random crops, by torchvision and by sgenet."""

import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.common import Row, device_name, finish, row, take_turns
from bench.output import write
from sgenet.classification.resident import ResidentImages
from sgenet.config import params
from sgenet.config.recipes import Classification
from sgenet.data.splits import ImageFiles
from sgenet.data.tensors import read_tensor
from sgenet.training import devices
from sgenet.training.batches import MicroBatchSampler, SeededSampler, train_loader

TURNS = 5
_RECIPE = Path(__file__).parents[1] / params.PARAMS / "recipes/classification.yaml"
IMAGES = {  # what -> height and width, side of the crop, number of images, format
    "500 x 375 px as JPEG, crops of 224 px": ((375, 500), 224, 192, "jpg"),
    "64 x 64 px as WebP, crops of 64 px": ((64, 64), 64, 2048, "webp"),
}


def bench() -> None:
    """Measure an epoch with two workers, and write the results."""
    device = devices.acquire("auto")
    rows = [
        row
        for what, (sides, crop, count, ending) in IMAGES.items()
        for row in measure(what, sides, crop, count, ending, device)
    ]
    title = "loading of images: seconds per image, ratio to torchvision"
    write("loader", rows, title, device=device_name(device), packages=["torch", "torchvision"])


def measure(what: str, sides: tuple[int, int], crop: int, count: int, ending: str, device: str) -> list[Row]:
    """Compare an epoch of torchvision (ImageFolder, DataLoader), of sgenet's loader, and of resident images.

    Resident images are decoded once and kept on the GPU, if there is one; the decoding is not timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = _draw_images(Path(folder), sides, count, ending)
        epochs = {
            name: partial(_exhaust, loader, device)
            for name, loader in _loaders(Path(folder), files, sides, crop, device).items()
        }
        seconds = {name: [value / count for value in own] for name, own in take_turns(epochs, TURNS).items()}
    rows = []
    for name, own in seconds.items():
        rate = 1 / median(own)
        rows.append(row(what, name, seconds, {"images_per_second": rate}, f"{rate:.0f} images/s"))
    return rows


def _loaders(folder: Path, files: list[str], sides: tuple[int, int], crop: int, device: str) -> dict[str, Any]:
    changes = {"workers": 2, "batch_size": 32, "device_batch_size": 32, "image_size": crop, "flip": 0.5}
    settings = params.load(_RECIPE, Classification).model_copy(update=changes)
    steps = [v2.RandomResizedCrop(crop), v2.RandomHorizontalFlip()]
    plain = ImageFolder(folder, v2.Compose([*steps, v2.PILToTensor()]))
    labels = np.zeros(len(files), np.int64)
    images, bare = ImageFiles(folder, files, labels, ["c"], v2.Compose(steps)), ImageFiles(folder, files, labels, ["c"])
    images.reader = bare.reader = read_tensor
    micro_batches = BatchSampler(SeededSampler(images, 0), 32, drop_last=True)
    loaders: dict[str, Any] = {
        "torchvision": DataLoader(plain, 32, shuffle=True, num_workers=2, drop_last=True),
        "ours": train_loader(micro_batches, settings, device, drop_last=True),
    }
    if sides == (crop, crop):
        own = MicroBatchSampler(micro_batches, 1, drop_last=True)
        loaders[f"ours, resident ({device})"] = ResidentImages(bare, own, settings, device, 0)
    return loaders


def _exhaust(loader: Any, device: str) -> None:
    """Copy all batches to the device."""
    for images, _ in loader:
        images.to(device, non_blocking=True)
    finish(device)


def _draw_images(folder: Path, sides: tuple[int, int], count: int, ending: str) -> list[str]:
    """Write image files to one class folder; return their paths relative to `folder`.

    The images are smooth noise, which compresses about as well as photographs.
    """
    random = np.random.default_rng(0)
    (folder / "c").mkdir()
    for number in range(count):
        small = random.integers(0, 256, (sides[0] // 8, sides[1] // 8, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize(sides[::-1], Image.Resampling.BICUBIC)
        image.save(folder / "c" / f"{number}.{ending}", quality=85)
    return [f"c/{number}.{ending}" for number in range(count)]
