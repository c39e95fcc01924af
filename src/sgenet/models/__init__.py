"""ResNets with attention: the classifier in `resnet`, the backbone for mmdet in `backbone`, their names in `names`."""

from pathlib import Path
from typing import TYPE_CHECKING

from sgenet.runtime import packages

if TYPE_CHECKING:
    from sgenet.models.resnet import AttentionResNet

packages.require(__name__, "torchvision")


def load_classifier(name: str, weights: str | Path) -> "AttentionResNet":
    """The paper's full-size classifier with weights, in eval mode.

    Args:
        name: a model name such as `sge-resnet50`.
        weights: a safetensors file, or an unmodified released checkpoint (.pth.tar); its last layer gives the number
            of classes.

    Raises:
        InputError: the model is unknown, or the file cannot be read or does not fit it.
    """
    from sgenet.models.released import create_classifier
    from sgenet.models.start import read_state  # imported here: model names must be available without torch

    return create_classifier(name, read_state(weights), weights).eval()
