"""Figures 2, 3 and 4 of the paper: how SGE changes the feature vectors of a trained classifier.

The SGE module of a stage's last block maps a group's feature vector x_i at position i to x_i * sigmoid(a_i). The length
of the vector is measured before and after: as maps of a few images (figure 2), as a histogram (figure 3) and, for each
group, as its variance over the positions of an image (figure 4). The figures show one training; the statistics behind
the claims are computed for the training of every seed.
"""

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sgenet.attention import SpatialGroupEnhance
from sgenet.classification.activation_statistics import DESCRIPTIONS, statistics, summarise
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
SIDES = ("before", "after")
PIXELS = 128  # longest side of an image in the report


@dataclass(frozen=True)
class Summary:
    """What is kept of the validation images in one network: (N, 2, G) means and variances, (N, 2, 2) halves."""

    histogram: "PairedHistogram"
    positions: list[int]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    halves: NDArray[np.float64]


def measure(
    run: Run, data: Path, manifest: Manifest, *, weights: Mapping[int, Path], figures: FigureSettings, device: str
) -> dict[str, Any]:
    """Measure the SGE module of a stage's last block on the validation images, in one network after another.

    Args:
        run: a classification run of an SGE network.
        data: folder of the prepared images.
        manifest: of the prepared images.
        weights: of the trained networks, by seed; the figures show the first.
        figures: `stage`; `groups` and number of `images` of figure 2.
        device: `cpu` or `cuda`.

    Returns:
        stage, number of groups, positions [H, W], number of images, maps, histogram, variance and statistics, for
        figures 2, 3, 4 and the claims; lengths are in the units of the activations.
    """
    settings = run.classification.model_copy(update={"resident": False})
    dataset = build_dataset(data, manifest, "val", settings, train=False)
    loader = test_loader(dataset, settings, device)
    classifier = Classifier(build_network(run.model, settings, len(manifest.classes)), settings).to(device).eval()
    module = getattr(classifier.network, f"layer{figures.stage}")[-1].sge

    def lengths_of(images: Tensor, labels: Tensor | None = None) -> NDArray[np.float64]:
        return lengths_around(module, classifier, images.to(device), labels)

    shown: dict[str, Any] = {}
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for seed, path in weights.items():
        load_weights(classifier.network, path)
        batches = tqdm(loader, desc=f"activations, seed {seed}", disable=None, leave=False)
        summary = _summarise_all((lengths_of(*batch) for batch in batches), path)
        try:
            found[seed] = statistics(summary.means, summary.variances, summary.halves)
        except ValueError as error:
            raise InputError(f"{path}: {error}, expected the activations of a trained network") from None
        shown = shown or {
            "stage": figures.stage,
            "groups": module.groups,
            "positions": summary.positions,
            "images": len(dataset),
            "maps": _maps(dataset, figures, lengths_of),
            **_of_all_images(summary),
        }
    estimates = {
        name: {"description": text, "seeds": {str(seed): of_seed[name] for seed, of_seed in found.items()}}
        for name, text in DESCRIPTIONS.items()
    }
    return {**shown, "statistics": estimates}


def _summarise_all(batches: Iterable[NDArray[np.float64]], weights: Path) -> Summary:
    """Summarise lengths that arrive in batches; InputError if a network with these weights gives some not finite."""
    histogram, parts = PairedHistogram(), []
    for lengths in batches:
        if not np.isfinite(lengths).all():
            raise InputError(f"{weights}: found activations that are not finite, expected those of a trained network")
        histogram.add(lengths)
        parts.append(summarise(lengths))
    return Summary(histogram, list(lengths.shape[-2:]), *map(np.concatenate, zip(*parts, strict=True)))


def _of_all_images(summary: Summary) -> dict[str, Any]:
    """Figures 3 and 4."""
    histogram, variances = summary.histogram, summary.variances
    counts = histogram.counts[:, : np.flatnonzero(histogram.counts.any(0))[-1] + 1]
    return {
        "histogram": {
            "bin_width": histogram.width,  # bin k holds lengths from k to k + 1 widths
            **dict(zip(SIDES, counts.tolist(), strict=True)),
            "mean": dict(zip(SIDES, summary.means.mean((0, 2)).tolist(), strict=True)),
        },
        "variance": {
            side: {"mean": _short(variances[:, index].mean(0)), "std": _short(variances[:, index].std(0))}
            for index, side in enumerate(SIDES)
        },
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


def _short(values: NDArray[np.float64]) -> Any:
    """Nested lists with four significant digits, enough for a figure."""
    return np.vectorize(lambda value: float(f"{value:.4g}"))(values).tolist()
