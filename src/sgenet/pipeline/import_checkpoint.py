"""`sgenet import-checkpoint`: convert released checkpoints to safetensors."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from sgenet.errors import InputError
from sgenet.models.released import create_classifier
from sgenet.weights.checkpoints import save_weights
from sgenet.weights.released import read_released


def import_checkpoint(
    source: str | Path, destination: str | Path, model: str, classes: Sequence[str] | None = None
) -> str:
    """Convert a released checkpoint to safetensors, strictly: every name and shape must be the model's.

    Args:
        source: file of torch.save.
        destination: name that ends in .safetensors; written atomically.
        model: a classifier (`sge-resnet50`) or a detector (`faster-rcnn/sge-resnet50`), full-size.
        classes: a detector's classes in the requested order; COCO's 80 by default.

    Returns:
        a one-line summary of the conversion.

    Raises:
        InputError: the file cannot be used, or does not fit the model.
    """
    if Path(destination).suffix != ".safetensors":
        raise InputError(f"{destination}: found as destination, expected a name that ends with .safetensors")
    released = read_released(source)
    network: nn.Module
    if "/" in model:
        from sgenet.detection.released import create_detector

        network = create_detector(model, released, source, classes)
    elif classes is not None:
        raise InputError(f"--classes: found with the classifier {model}, expected with a detector only")
    else:
        network = create_classifier(model, released.state, source)
    save_weights(network, destination)
    epoch, accuracy = ("unknown" if value is None else f"{value:g}" for value in (released.epoch, released.accuracy))
    details = f"epoch {epoch}, best accuracy {accuracy}, according to the file"
    if "/" in model and released.classes is None:
        details += "; classes not named, assumed to be COCO's 80 in the order of their ids"
    if released.unused:
        details += f"; not used: {', '.join(released.unused)}, which the file contains too"
    return f"{model}: {len(network.state_dict())} tensors; {details}; written to {destination}"
