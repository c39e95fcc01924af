"""The classifier as mmengine trains it, and its images as the loader gives them."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor
from torchvision.transforms import v2

from sgenet.data.packed import PackedImages
from sgenet.models.names import attention_settings
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.params import Settings


def build_network(model: str, settings: Settings, classes: int) -> AttentionResNet:
    """The network of a classification run, for that many classes."""
    attention = attention_settings(model, settings)
    network = create_resnet(model, attention=attention, width=settings["width"], num_classes=classes)
    network.set_residual_gain(settings["residual_gain"])
    return network


def build_dataset(folder: Path, split: str, settings: Settings, *, train: bool) -> PackedImages:
    """Images of a split as uint8 tensors (3, S, S) with their class index; random crops and flips in training."""
    size = settings["image_size"]
    steps: list[Any]
    if train:
        steps = [v2.RandomResizedCrop(size, scale=settings["crop_scale"]), v2.RandomHorizontalFlip(settings["flip"])]
    else:
        steps = [v2.Resize(settings["resize"]), v2.CenterCrop(size)]
    return PackedImages(folder, split, transform=v2.Compose([*steps, v2.PILToTensor()]))


class Classifier(BaseModel):
    """A network with its normalisation and loss.

    Args:
        network: images (N, 3, S, S) to logits (N, K).
        settings: `mean`, `std` and `label_smoothing` are used.
    """

    def __init__(self, network: AttentionResNet, settings: Settings) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # a sixth faster on CPU
        self.label_smoothing = settings["label_smoothing"]
        for name in ("mean", "std"):
            value = torch.tensor(settings[name]).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor, labels: Tensor, mode: str = "tensor") -> Any:
        """`images` uint8 (N, 3, S, S), `labels` (N,): the loss for mode "loss", otherwise the best classes first."""
        images = images.to(memory_format=torch.channels_last)  # as the network's weights
        logits = self.network((images.float() / 255 - self.mean) / self.std)
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}
        return logits.topk(min(5, logits.shape[1])).indices
