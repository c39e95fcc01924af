"""The classifier as an mmengine model, and loaders of its images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Subset
from torchvision.transforms import v2

from sgenet.classification.resident import ResidentImages
from sgenet.config.names import attention_settings
from sgenet.config.recipes import Classification
from sgenet.data.manifest import Manifest
from sgenet.data.packed import PackedImages
from sgenet.data.splits import ImageFiles, open_split
from sgenet.data.tensors import read_tensor
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.training.batches import MicroBatchSampler, SeededSampler, micro_batches_per_step, test_loader, train_loader

Loader: TypeAlias = DataLoader[Any] | ResidentImages


def build_network(model: str, settings: Classification, classes: int) -> AttentionResNet:
    """Build the network of a classification run for `classes` classes."""
    attention = attention_settings(model, settings)
    network = create_resnet(
        model, attention=attention, width=settings.width, num_classes=classes, max_pool=settings.max_pool
    )
    network.set_residual_gain(settings.residual_gain)
    return network


def build_dataset(
    folder: Path, manifest: Manifest, split: str, settings: Classification, *, train: bool
) -> PackedImages | ImageFiles:
    """Images of a split as uint8 tensors (3, S, S) with their class index; training adds random crops and flips.

    Resident images are decoded only, without a transform: (3, H, W).
    """
    size = settings.image_size
    if settings.resident:
        transform = None
    elif train:
        crop = v2.RandomResizedCrop(size, scale=settings.crop_scale)
        transform = v2.Compose([crop, v2.RandomHorizontalFlip(settings.flip)])
    else:
        transform = test_transform(settings)
    images = open_split(folder, manifest, split, transform)
    images.reader = read_tensor
    return images


def test_transform(settings: Classification) -> v2.Compose:
    """The transform of an image for evaluation: uint8 (3, H, W) to (3, S, S)."""
    return v2.Compose([v2.Resize(settings.resize), v2.CenterCrop(settings.image_size)])


def build_loaders(
    folder: Path, manifest: Manifest, settings: Classification, seed: int, device: str
) -> tuple[Loader, Loader]:
    """Loaders of this process's share of the training images, and of the validation images."""
    images = build_dataset(folder, manifest, "train", settings, train=True)
    drop_last = settings.drop_last
    micro_batches = BatchSampler(SeededSampler(images, seed), settings.device_batch_size, drop_last)
    loader: Loader
    if settings.resident:
        own = MicroBatchSampler(micro_batches, micro_batches_per_step(settings), drop_last)
        loader = ResidentImages(images, own, settings, device, seed)
    else:
        loader = train_loader(micro_batches, settings, device, drop_last=drop_last)
    return loader, build_test_loader(folder, manifest, settings, device)


def build_test_loader(
    folder: Path, manifest: Manifest, settings: Classification, device: str, chosen: Sequence[int] | None = None
) -> Loader:
    """Loader of the validation images in order, or of those at the positions `chosen`."""
    images: Any = build_dataset(folder, manifest, "val", settings, train=False)
    if chosen is not None:
        images = Subset(images, chosen)
    if settings.resident:
        rank, world = get_dist_info()
        batches = BatchSampler(range(rank, len(images), world), settings.batch_size, drop_last=False)
        return ResidentImages(images, list(batches), settings, device)
    return test_loader(images, settings, device)


class Classifier(BaseModel):
    """A network with the normalisation of its input and its loss.

    Args:
        network: images (N, 3, S, S) to logits (N, K).
        settings: of the run; `mean`, `std`, `label_smoothing`, `precision` and `compile` are used.
    """

    def __init__(self, network: AttentionResNet, settings: Classification) -> None:
        super().__init__(BaseDataPreprocessor(non_blocking=True))
        self.network = network.to(memory_format=torch.channels_last)  # a sixth faster on CPU
        if settings.compile:
            network.compile()
        self.precision = settings.precision
        self.label_smoothing = settings.label_smoothing
        for name in ("mean", "std"):
            value = torch.tensor(getattr(settings, name)).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor, labels: Tensor, mode: str = "tensor") -> Any:
        """Loss in mode "loss", otherwise the top five classes; `images` uint8 (N, 3, S, S), `labels` (N,)."""
        logits = self.logits(images)
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}
        return logits.topk(min(5, logits.shape[1])).indices

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) of uint8 images (N, 3, S, S)."""
        images = images.to(memory_format=torch.channels_last)  # the memory format of the weights
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.network((images.float() / 255 - self.mean) / self.std).float()
