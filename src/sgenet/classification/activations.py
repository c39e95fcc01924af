"""Figures 2, 3 and 4 of the paper: how SGE changes the feature vectors of a trained classifier.

The SGE module of a stage's last block maps a group's feature vector x_i at position i to x_i * sigmoid(a_i). The length
of the vector is measured before and after: as maps of a few images (figure 2), as a histogram (figure 3) and, for each
group, as its variance over the positions of an image (figure 4).

The paper does not define the variance of the activation values in figure 4. Here it is the variance of the lengths. A
gate below 1 nearly always reduces the variance of the values themselves, because batch normalisation keeps their mean
near 0, while the variance of the lengths may grow or shrink. A constant gate reduces it too, so the relative variance
(variance over squared mean length), which a constant gate does not change, is reported as well.

The background is, for each group, the half of an image's positions whose vectors are shortest before SGE. Defining it
as the positions unlike the group's mean vector would be circular: SGE damps these wherever gamma is above 0.
"""

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sgenet.attention import SpatialGroupEnhance
from sgenet.classification.classifier import Classifier, build_dataset, build_network
from sgenet.config.runs import Run
from sgenet.config.scales import FigureSettings
from sgenet.data.manifest import Manifest
from sgenet.data.packed import PackedImages
from sgenet.data.splits import ImageFiles
from sgenet.errors import InputError
from sgenet.training.batches import test_loader
from sgenet.weights.checkpoints import load_weights

BINS = 256  # at least half of the bins are used
SAMPLES = 1000  # bootstrap resamples of the images for an interval
CONFIDENCE = 0.95
SIDES = ("before", "after")
PIXELS = 128  # longest side of an image in the report

DESCRIPTIONS = {
    "variance_ratio": "variance of a group's vector length over an image's positions, mean over images, after over"
    " before SGE, geometric mean over groups; a gate that is equal everywhere lowers it",
    "relative_variance_ratio": "relative variance, that is variance over squared mean, of a group's vector length over"
    " an image's positions, after over before SGE, geometric mean over groups; a gate that is equal everywhere leaves"
    " it at 1",
    "growing_groups": "share of the groups whose relative variance is larger after than before SGE",
    "background_length_change": "mean length after minus before SGE at background positions, the half of an image's"
    " positions with the group's shortest vectors before SGE; a gate is below 1 and shortens every vector",
    "background_over_foreground_change": "mean length after over before SGE at background positions, over the same at"
    " the other positions; below 1 the background is shortened more",
}


def measure(
    run: Run, data: Path, manifest: Manifest, *, weights: Path, figures: FigureSettings, device: str
) -> dict[str, Any]:
    """Measure the SGE module of a stage's last block on the validation images.

    Args:
        run: a classification run of an SGE network.
        data: folder of the prepared images.
        manifest: of the prepared images.
        weights: of the trained network.
        figures: `stage`; `groups` and number of `images` of figure 2.
        device: `cpu` or `cuda`.

    Returns:
        stage, number of groups, positions [H, W], number of images, maps, histogram, variance and statistics, for
        figures 2, 3, 4 and the claims; lengths are in the units of the activations.
    """
    settings = run.classification
    dataset = build_dataset(
        data, manifest, "val", settings.model_copy(update={"resident": False}), train=False
    )  # read once
    loader = test_loader(dataset, settings, device)
    classifier = Classifier(build_network(run.model, settings, len(manifest.classes)), settings).to(device).eval()
    load_weights(classifier.network, weights)
    module = getattr(classifier.network, f"layer{figures.stage}")[-1].sge
    histogram, batches = PairedHistogram(), []
    for images, labels in tqdm(loader, desc="activations", disable=None, leave=False):
        lengths = lengths_around(module, classifier, images.to(device), labels)
        if not np.isfinite(lengths).all():
            raise InputError(f"{weights}: found activations that are not finite, expected those of a trained network")
        histogram.add(lengths)
        batches.append(summarise(lengths))
    means, variances, halves = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    try:
        found = statistics(means, variances, halves)
    except ValueError as error:
        raise InputError(f"{weights}: {error}, expected the activations of a trained network") from None
    counts = histogram.counts[:, : np.flatnonzero(histogram.counts.any(0))[-1] + 1]
    return {
        "stage": figures.stage,
        "groups": module.groups,
        "positions": list(lengths.shape[-2:]),
        "images": len(dataset),
        "maps": _maps(dataset, figures, lambda images: lengths_around(module, classifier, images.to(device), None)),
        "histogram": {
            "bin_width": histogram.width,  # bin k holds lengths from k to k + 1 widths
            **dict(zip(SIDES, counts.tolist(), strict=True)),
            "mean": dict(zip(SIDES, means.mean((0, 2)).tolist(), strict=True)),
        },
        "variance": {
            side: {"mean": _short(variances[:, index].mean(0)), "std": _short(variances[:, index].std(0))}
            for index, side in enumerate(SIDES)
        },
        "statistics": found,
    }


@torch.inference_mode()
def lengths_around(module: SpatialGroupEnhance, network: Callable[..., Any], *inputs: Any) -> NDArray[np.float64]:
    """Lengths of each group's feature vectors before and after `module` in a forward pass of `network`.

    Returns:
        (2, N, G, H, W)
    """
    lengths: list[Tensor] = []

    def record(_: Any, given: tuple[Tensor, ...]) -> None:
        # Immediately, since later layers may work in place; without the shortcut, which the block passes to the module.
        for features in (given[0], module.forward(given[0])):
            lengths.append(features.unflatten(1, (module.groups, -1)).norm(dim=2))

    hook = module.register_forward_pre_hook(record)
    try:
        network(*inputs)
    finally:
        hook.remove()
    return torch.stack(lengths).double().cpu().numpy()


class PairedHistogram:
    """Histograms of the lengths before and after SGE, with common bins from 0 up.

    The bin width doubles until all lengths fit. Widths are powers of two, so the result does not depend on the order
    of the images. `counts` is (2, BINS).
    """

    def __init__(self) -> None:
        self.width = 2.0**-30
        self.counts = np.zeros((2, BINS), dtype=np.int64)

    def add(self, lengths: NDArray[np.float64]) -> None:
        """Count `lengths`, (2, ...), finite and not negative."""
        while lengths.max() >= BINS * self.width:
            self.width *= 2
            self.counts = np.pad(self.counts.reshape(2, -1, 2).sum(2), ((0, 0), (0, BINS // 2)))
        for row, side in zip(self.counts, lengths, strict=True):
            row += np.bincount((side / self.width).astype(np.int64).ravel(), minlength=BINS)


def summarise(lengths: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Summarise each image for the statistics, so that 50,000 images fit into memory.

    Args:
        lengths: (2, N, G, H, W), H * W above 1.

    Returns:
        mean and variance over the positions, (N, 2, G) each, and the means over all groups of the background and of
        the other positions, (N, 2, 2). If the number of positions is odd, the middle one is not background; among
        equal lengths, the first positions are background.
    """
    flat = np.moveaxis(lengths.reshape(*lengths.shape[:3], -1), 0, 1)  # (N, 2, G, H*W)
    order = flat[:, :1].argsort(axis=3, kind="stable")
    ranked = np.take_along_axis(flat, np.broadcast_to(order, flat.shape), axis=3)
    half = flat.shape[3] // 2
    halves = [ranked[..., :half].mean((2, 3)), ranked[..., half:].mean((2, 3))]
    return flat.mean(3), flat.var(3), np.stack(halves, axis=2)


def statistics(
    means: NDArray[np.float64], variances: NDArray[np.float64], halves: NDArray[np.float64]
) -> dict[str, dict[str, Any]]:
    """The statistics of DESCRIPTIONS, from the output of `summarise`; groups that are constant before SGE are left out.

    Intervals are percentiles of a bootstrap over whole images, with the same images for before and after.

    Raises:
        ValueError: no group varies, or all vectors have length 0.
    """
    varying = variances[:, 0].any(0)
    variance, mean, half = resampled_means(variances[..., varying], means[..., varying], halves)
    if not varying.any() or not half.all():
        raise ValueError("found feature vectors that have no length or are equally long everywhere")
    relative = variance / mean**2
    change = half[:, 1] / half[:, 0]
    values = {
        "variance_ratio": _geometric_mean(variance[:, 1] / variance[:, 0]),
        "relative_variance_ratio": _geometric_mean(relative[:, 1] / relative[:, 0]),
        "growing_groups": (relative[:, 1] > relative[:, 0]).mean(1),
        "background_length_change": half[:, 1, 0] - half[:, 0, 0],
        "background_over_foreground_change": change[:, 0] / change[:, 1],
    }
    return {name: _interval(value, len(means), DESCRIPTIONS[name]) for name, value in values.items()}


def resampled_means(*arrays: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Means over the images, the first axis of each array, in SAMPLES bootstrap resamples common to all arrays.

    Each result is (1 + SAMPLES, ...): first the mean of the original images, then those of the resamples. The draw is
    deterministic.
    """
    rng, n = np.random.default_rng(0), len(arrays[0])
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(SAMPLES))
    means = [[np.tensordot(weights / n, array, axes=1) for array in arrays] for weights in chain([np.ones(n)], drawn)]
    return [np.stack(resamples) for resamples in zip(*means, strict=True)]


def first_of_each_class(labels: Sequence[int], count: int) -> list[int]:
    """Positions of `count` images: the first of each class, class by class, then the second of each, and so on."""
    seen: Counter[int] = Counter()
    order = []
    for position, label in enumerate(labels):
        order.append((seen[label], label, position))
        seen[label] += 1
    return [position for _, _, position in sorted(order)[:count]]


def _maps(
    dataset: PackedImages | ImageFiles, figures: FigureSettings, lengths_of: Callable[[Tensor], NDArray[np.float64]]
) -> dict[str, Any]:
    """Figure 2: images with the maps of the chosen groups, one (H, W) per group before and after SGE."""
    positions = first_of_each_class(dataset.targets.tolist(), figures.images)
    images = torch.stack([dataset[position][0] for position in positions])
    lengths = np.moveaxis(lengths_of(images)[:, :, figures.groups], 0, 1)
    return {
        "groups": figures.groups,
        "images": [
            {
                "index": position,
                "class": dataset.classes[dataset.targets[position]],
                "pixels": _encode(image),
                **{side: _short(maps) for side, maps in zip(SIDES, pair, strict=True)},
            }
            for position, image, pair in zip(positions, images, lengths, strict=True)
        ],
    }


def _encode(image: Tensor) -> str:
    """Encode an image (3, H, W), uint8, as a data URL, reduced for a page of the report."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((PIXELS, PIXELS))
    file = io.BytesIO()
    picture.save(file, format="WEBP", lossless=max(picture.size) < PIXELS, quality=85)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _interval(values: NDArray[np.float64], n: int, description: str) -> dict[str, Any]:
    """Percentile interval; `values` are the estimate and then its resamples."""
    low, high = np.percentile(values[1:], [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]).tolist()
    value = {"value": float(values[0]), "low": low, "high": high}
    return {**value, "confidence": CONFIDENCE, "n": n, "description": description}


def _geometric_mean(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Geometric mean of each row: a doubled and a halved group average to 1."""
    with np.errstate(divide="ignore"):  # a group that no longer varies gives 0
        return np.exp(np.log(ratios).mean(1))


def _short(values: NDArray[np.float64]) -> Any:
    """Nested lists with four significant digits, enough for a figure."""
    return np.vectorize(lambda value: float(f"{value:.4g}"))(values).tolist()
