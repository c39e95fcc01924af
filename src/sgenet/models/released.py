"""Full-size classifiers with weights that the authors released."""

from pathlib import Path

from torch import Tensor

from sgenet.errors import InputError
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.weights.released import fit_released


def create_classifier(model: str, state: dict[str, Tensor], path: str | Path) -> AttentionResNet:
    """Full-size classifier `model` with these tensors, from file `path`; the last layer gives the number of classes.

    Raises:
        InputError: the model is unknown, or names or shapes differ from the model's.
    """
    last = state.get("fc.weight")
    try:
        network = create_resnet(model, num_classes=1000 if last is None or last.dim() != 2 else len(last))
    except ValueError as error:
        raise InputError(f"model: {error}") from None
    fit_released(network, state, path)
    return network
