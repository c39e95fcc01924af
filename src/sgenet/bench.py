"""`sgenet bench`: what SGE, the loading of images and the pipeline's start-up cost in time; ratios within one run."""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgenet.files import atomic_path
from sgenet.provenance import cpu_name

REPEATS = 7
_STARTUPS = {
    "sgenet --help": [sys.executable, "-m", "sgenet.cli", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import for classification": [sys.executable, "-c", "import sgenet.classification.train"],
    "import for detection": [sys.executable, "-c", "import sgenet.detection.train"],
    "snakemake --dry-run": [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"],
}
_LOADED = [  # name, height and width, crop, images, format
    ("500 x 375", (375, 500), 224, 192, "jpg"),
    ("64 x 64", (64, 64), 64, 2048, "webp"),
]


def bench() -> int:
    """Measure, print, and write bench/results/<processor>.csv with medians and spreads in seconds."""
    rows = [*_loaders(), *_steps(), *_startups()]
    name = "".join(letter if letter.isalnum() else "-" for letter in cpu_name()).strip("-")
    path = Path("bench/results") / f"{name}.csv"
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "median_seconds", "lowest", "highest", "over_first", "per_second"])
        writer.writerows(rows)
    print(f"written to {path}")
    return 0


def _row(what: str, seconds: list[float], first: float | None) -> list[str]:
    median = statistics.median(seconds)
    row = [what, *(f"{value:.5f}" for value in (median, min(seconds), max(seconds)))]
    row += [f"{median / (first or median):.3f}", f"{1 / median:.1f}"]
    print(f"{what:55} {median:8.4f} s ({row[2]} to {row[3]}), {row[4]} of the first, {row[5]}/s", flush=True)
    return row


def _steps() -> list[list[str]]:
    """A training step of ResNet50 without and with SGE, turn by turn so that both see the same load."""
    import torch

    from sgenet.models.resnet import create_resnet

    images, labels = torch.randn(32, 3, 64, 64), torch.randint(1000, (32,))
    steps: dict[str, Callable[[], object]] = {}
    for model in ("resnet50", "sge-resnet50"):
        network = create_resnet(model).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

        steps[f"training step {model}, 64 px, batch 32"] = partial(_step, network, optimizer, images, labels)
    for step in steps.values():  # warm-up
        step()
    seconds: dict[str, list[float]] = {what: [] for what in steps}
    for _ in range(REPEATS):
        for what, step in steps.items():
            seconds[what].append(_time(step))
    first = statistics.median(next(iter(seconds.values())))
    return [_row(what, values, first) for what, values in seconds.items()]


def _step(network: Any, optimizer: Any, images: Any, labels: Any) -> None:
    import torch

    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()


def _loaders() -> list[list[str]]:
    """An epoch's batches with random crops: plain torchvision (ImageFolder, DataLoader), ours, and ours resident.

    Resident ones stand decoded on the GPU where there is one; that they are decoded once is not part of it.

    The images are smooth noise, which compresses about as photographs do.
    """
    from torch.utils.data import BatchSampler, DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from sgenet.batches import Order, own_pieces, train_loader
    from sgenet.classification.resident import ResidentImages
    from sgenet.data.splits import ImageFiles
    from sgenet.data.tensors import read_tensor
    from sgenet.devices import take

    device = take("auto")
    rows = []
    for name, sides, crop, count, ending in _LOADED:
        with tempfile.TemporaryDirectory() as folder:
            files = _draw_images(Path(folder), sides, count, ending)
            settings = {"workers": 2, "batch_size": 32, "device_batch_size": 32, "image_size": crop, "flip": 0.5}
            steps = [v2.RandomResizedCrop(crop), v2.RandomHorizontalFlip()]
            plain = ImageFolder(folder, v2.Compose([*steps, v2.PILToTensor()]))
            ours = ImageFiles(Path(folder), files, np.zeros(count, np.int64), ["c"], v2.Compose(steps))
            bare = ImageFiles(Path(folder), files, np.zeros(count, np.int64), ["c"])
            ours.reader = bare.reader = read_tensor
            pieces = BatchSampler(Order(ours, 0), 32, drop_last=True)
            loaders: dict[str, Any] = {
                "torchvision": DataLoader(plain, 32, shuffle=True, num_workers=2, drop_last=True),
                "ours": train_loader(pieces, settings, device, drop_last=True),
            }
            if sides[0] == crop:
                own = own_pieces(pieces, settings, True)
                crops = {**settings, "crop_scale": [0.08, 1.0]}
                loaders[f"ours, resident ({device})"] = ResidentImages(bare, own, crops, device, 0)
            seconds: dict[str, list[float]] = {what: [] for what in loaders}
            for _ in range(REPEATS):
                for what, loader in loaders.items():
                    seconds[what].append(_time(partial(_exhaust, loader, device)) / count)
            first = statistics.median(seconds["torchvision"])
            rows += [_row(f"an image of {name}, {what} loader", values, first) for what, values in seconds.items()]
    return rows


def _exhaust(loader: Any, device: str) -> None:
    """Bring all batches to the device."""
    import torch

    for images, _ in loader:
        images.to(device, non_blocking=True)
    if device == "cuda":
        torch.cuda.synchronize()


def _draw_images(folder: Path, sides: tuple[int, int], count: int, ending: str) -> list[str]:
    """Write images as files in one class folder; return their paths in `folder`."""
    from PIL import Image

    random = np.random.default_rng(0)
    (folder / "c").mkdir()
    for number in range(count):
        small = random.integers(0, 256, (sides[0] // 8, sides[1] // 8, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize(sides[::-1], Image.Resampling.BICUBIC)
        image.save(folder / "c" / f"{number}.{ending}", quality=85)
    return [f"c/{number}.{ending}" for number in range(count)]


def _startups() -> list[list[str]]:
    rows = []
    for what, command in _STARTUPS.items():
        run = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows.append(_row(what, [_time(run) for _ in range(3)], None))
    return rows


def _time(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
