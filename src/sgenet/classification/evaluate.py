"""Evaluate a trained classifier: Top-1 and Top-5 of the best and the last epoch, and predictions for each image."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sgenet.classification.classifier import Classifier, Loader, build_network, build_test_loader
from sgenet.config import paths
from sgenet.config.runs import Run
from sgenet.data.manifest import Manifest
from sgenet.runtime.files import atomic_path
from sgenet.training.resume import read_history
from sgenet.weights.checkpoints import load_weights


def evaluate(run: Run, data: Path, manifest: Manifest, *, trained: Path, output: Path, device: str) -> dict[str, Any]:
    """Evaluate the weights in `trained` on the validation images.

    Writes `predictions.npz` to `output`: `label` (N,), `best_top5` and `last_top5` (N, 5), best class first.

    Returns:
        top1, top5 (best epoch), top1_last, top5_last and top1_mean10 (mean of the last ten epochs' Top-1, None where
        there are fewer) in percent, best_epoch, last_epoch, images.
    """
    classifier, loader = _prepare(run, data, manifest, device)
    predictions: dict[str, np.ndarray] = {}
    for which in ("best", "last"):
        weights = trained / f"{which}.safetensors"
        predictions[f"{which}_top5"], predictions["label"] = _predict(classifier, loader, weights, device)
    with atomic_path(output / paths.PREDICTIONS) as temporary:
        np.savez_compressed(temporary, **predictions)  # type: ignore[arg-type]
    epochs = [row["top1"] for row in read_history(trained / paths.HISTORY)]
    best, last = (_accuracy(predictions[f"{which}_top5"], predictions["label"]) for which in ("best", "last"))
    return {
        "top1": best[0],
        "top5": best[1],
        "top1_last": last[0],
        "top5_last": last[1],
        "top1_mean10": mean(epochs[-10:]) if len(epochs) >= 10 else None,
        "best_epoch": epochs.index(max(epochs)) + 1,
        "last_epoch": len(epochs),
        "images": len(predictions["label"]),
    }


def evaluate_weights(run: Run, data: Path, manifest: Manifest, *, weights: Path, device: str) -> dict[str, Any]:
    """Evaluate the network of a run with the weights in a file, which must fit it, on the validation images.

    Returns:
        top1 and top5 in percent, images.
    """
    predicted, labels = _predict(*_prepare(run, data, manifest, device), weights, device)
    top1, top5 = _accuracy(predicted, labels)
    return {"top1": top1, "top5": top5, "images": len(labels)}


def predict_images(
    run: Run, data: Path, manifest: Manifest, images: Sequence[int], *, weights: Path, device: str
) -> np.ndarray:
    """Top-5 classes of the validation images at these positions with the weights in a file, best first (N, 5)."""
    return _predict(*_prepare(run, data, manifest, device, images), weights, device)[0]


def _prepare(
    run: Run, data: Path, manifest: Manifest, device: str, images: Sequence[int] | None = None
) -> tuple[Classifier, Loader]:
    settings = run.classification
    loader = build_test_loader(data, manifest, settings, device, images)
    classifier = Classifier(build_network(run.model, settings, len(manifest.classes)), settings).to(device).eval()
    return classifier, loader


def _predict(classifier: Classifier, loader: Loader, weights: Path, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Top-5 classes of each image with these weights, best first (N, 5), and its label (N,)."""
    load_weights(classifier.network, weights)
    top5, labels = [], []
    with torch.inference_mode():
        for images, label in tqdm(loader, desc=weights.stem, disable=None, leave=False):
            top5.append(classifier(images.to(device, non_blocking=True), label).cpu())
            labels.append(label.cpu())
    return to_smallest(torch.cat(top5).numpy()), to_smallest(torch.cat(labels).numpy())


def to_smallest(indices: np.ndarray) -> np.ndarray:
    """Return class indices in the smallest type of signed integers that contains all of them."""
    return indices.astype(np.min_scalar_type(-1 - int(indices.max(initial=0))))


def _accuracy(top5: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    hits = top5 == labels[:, None]
    return 100 * float(hits[:, 0].mean()), 100 * float(hits.any(axis=1).mean())
