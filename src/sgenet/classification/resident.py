"""Resident images: decoded once, kept on the device, cropped and flipped in batches; for small images of one size.

At 64 x 64 pixels a GPU trains faster than CPU cores decode. mini-ImageNet (60,000 images) takes 737 MB in this form.
Random crops are distributed as in torchvision's RandomResizedCrop, but resampled bilinearly without its low-pass
filter. Crops should therefore not be reduced: set `image_size` to the size of the images or more.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from tqdm import tqdm

from sgenet.config.recipes import Classification
from sgenet.errors import InputError
from sgenet.training.batches import MicroBatchSampler, SizedDataset, derive_seed

_TRIES = 10  # as in torchvision, which then crops the full width or height
_RATIO = (3 / 4, 4 / 3)


class ResidentImages:
    """A split's images on the device, as batches like those of a DataLoader: (N, 3, S, S) and labels (N,).

    Args:
        dataset: of uint8 tensors (3, H, W), all of one shape, with their label; InputError otherwise.
        batches: indices of each batch.
        settings: of the run.
        device: that stores the images.
        seed: of the run, for random crops and flips; None for evaluation.
    """

    def __init__(
        self,
        dataset: SizedDataset,
        batches: MicroBatchSampler | list[list[int]],
        settings: Classification,
        device: str,
        seed: int | None = None,
    ) -> None:
        self.dataset = self  # mmengine and SeedHook use this attribute
        self.batch_sampler, self.settings, self.device, self.seed, self.epoch = batches, settings, device, seed, 0
        self.images, self.labels = load(dataset, settings.workers, device)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[Tensor]]:
        settings, size = self.settings, self.settings.image_size
        for number, indices in enumerate(self.batch_sampler):
            chosen = torch.tensor(indices, device=self.device)
            images, labels = self.images[chosen], self.labels[chosen]
            if self.seed is None:
                images = v2.functional.resize(images, [settings.resize])
                yield [v2.functional.center_crop(images, [size, size]), labels]
                continue
            assert isinstance(self.batch_sampler, MicroBatchSampler)
            micro_batch = number * self.batch_sampler.world + self.batch_sampler.rank
            random = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, micro_batch))
            yield [augment(images, size, settings.crop_scale, settings.flip, random), labels]


def load(dataset: Any, workers: int, device: str) -> tuple[Tensor, Tensor]:
    """Load all images, uint8 (N, 3, H, W), and labels, int64 (N,), to the device."""
    images, labels = None, torch.empty(len(dataset), dtype=torch.int64)
    loader = DataLoader(dataset, batch_size=64, num_workers=workers, collate_fn=list)
    done = 0
    for batch in tqdm(loader, desc="images to the device", disable=None, leave=False):
        for image, label in batch:
            if images is None:
                images = torch.empty((len(dataset), *image.shape), dtype=torch.uint8, device=device)
            if image.shape != images.shape[1:]:
                found, expected = (f"{shape[2]} x {shape[1]}" for shape in (image.shape, images.shape[1:]))
                found = f"found images of {expected} and of {found} pixels"
                raise InputError(f"resident: {found}, expected one size: set resident to false")
            images[done], labels[done] = image, label
            done += 1
    assert images is not None
    return images, labels.to(device)


def augment(images: Tensor, size: int, scale: tuple[float, float], flip: float, random: torch.Generator) -> Tensor:
    """Random crops resized to `size` and randomly mirrored.

    Args:
        images: uint8 (N, 3, H, W), on any device.
        size: side of the result in pixels.
        scale: smallest and largest area of a crop as a fraction of the image.
        flip: probability of mirroring.
        random: on the CPU, so that every device draws the same crops.

    Returns:
        float (N, 3, size, size), 0 to 255.
    """
    boxes = crops(len(images), images.shape[2], images.shape[3], scale, random)
    mirrored = torch.rand(len(images), generator=random) < flip
    top, left, height, width = boxes.T
    rows, columns = images.shape[2:]
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = width / columns * torch.where(mirrored, -1.0, 1.0)
    theta[:, 0, 2] = (2 * left + width) / columns - 1
    theta[:, 1, 1] = height / rows
    theta[:, 1, 2] = (2 * top + height) / rows - 1
    grid = F.affine_grid(theta.to(images.device), [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def crops(count: int, rows: int, columns: int, scale: tuple[float, float], random: torch.Generator) -> Tensor:
    """Top, left, height and width in pixels, (N, 4), distributed as in torchvision's RandomResizedCrop."""
    draws = torch.rand(count, _TRIES, 2, generator=random, dtype=torch.float64)
    area = rows * columns * (scale[0] + (scale[1] - scale[0]) * draws[..., 0])
    low, high = (math.log(ratio) for ratio in _RATIO)
    ratio = torch.exp(low + (high - low) * draws[..., 1])
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width > 0) & (width <= columns) & (height > 0) & (height <= rows)
    first = fits.double().argmax(dim=1, keepdim=True)  # the first try that fits
    size = torch.stack([height.gather(1, first), width.gather(1, first)], dim=-1).squeeze(1)
    whole = columns / rows
    fallback = [rows, round(rows * _RATIO[1])] if whole > _RATIO[1] else [round(columns / _RATIO[0]), columns]
    if _RATIO[0] <= whole <= _RATIO[1]:
        fallback = [rows, columns]
    size = torch.where(fits.any(dim=1, keepdim=True), size, torch.tensor(fallback, dtype=torch.float64))
    room = torch.tensor([rows, columns]) - size
    place = torch.floor(torch.rand(count, 2, generator=random, dtype=torch.float64) * (room + 1))
    place = torch.where(fits.any(dim=1, keepdim=True), place, torch.floor(room / 2))
    return torch.cat([place, size], dim=1)
