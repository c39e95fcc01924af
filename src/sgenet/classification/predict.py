"""Predict the classes of images that belong to no prepared data."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from sgenet.classification.classifier import Classifier, build_network, test_transform
from sgenet.config.runs import Run
from sgenet.weights.checkpoints import load_weights

_AT_ONCE = 32  # images


def predict(
    run: Run, classes: int, images: Iterable[tuple[str, Tensor]], *, weights: Path, device: str
) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield for each image its name and its five most probable classes with their probabilities, in order.

    Args:
        run: a classification run.
        classes: number of classes.
        images: name and uint8 pixels (3, H, W) of each; they are resized and cropped as in the evaluation.
        weights: of the network.
        device: `cpu` or `cuda`.
    """
    settings = run.classification
    classifier = Classifier(build_network(run.model, settings, classes), settings).to(device).eval()
    load_weights(classifier.network, weights)
    transform, remaining = test_transform(settings), iter(images)
    while batch := [(name, transform(image)) for name, image in islice(remaining, _AT_ONCE)]:
        pixels = torch.stack([image for _, image in batch])
        with torch.inference_mode():
            shares = classifier.logits(pixels.to(device)).softmax(1)
        best = shares.topk(min(5, classes))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        for (name, _), (indices, values) in zip(batch, pairs, strict=True):
            yield name, list(zip(indices, values, strict=True))
