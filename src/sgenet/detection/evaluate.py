"""Evaluate a trained detector on the validation images: detections in COCO format, COCO's metrics, matches."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from sgenet.config import paths
from sgenet.data.manifest import Manifest
from sgenet.detection import ops

ops.install()  # before mmdet is imported

from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from pycocotools import mask  # noqa: E402

from sgenet.config.runs import Run  # noqa: E402
from sgenet.data.coco_fields import Detection  # noqa: E402
from sgenet.data.splits import annotation_file  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.evaluation import coco_eval  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.runtime.files import write_text  # noqa: E402
from sgenet.weights.checkpoints import load_weights  # noqa: E402

AT_ONCE = 8  # images; larger batches gain little


def evaluate(run: Run, data: Path, manifest: Manifest, *, trained: Path, output: Path, device: str) -> dict[str, Any]:
    """Evaluate the last epoch's weights in `trained`.

    Writes `detections.json` (COCO result format) and, for paired tests, `matches.npz` to `output`. For a detector with
    masks, `matches.npz` also contains the matches of the masks.

    Returns:
        the twelve COCO metrics in percent, None where undefined, and the number of images; for a detector with masks
        also the AP metrics of the masks, as `mask_ap`, `mask_ap50` and so on.
    """
    detector, dataset = _prepare(run, data, manifest, trained / paths.LAST, device)
    loader = DataLoader(dataset, batch_size=None, num_workers=run.settings.workers, pin_memory=device == "cuda")
    samples = tqdm(loader, desc="detections", disable=None, leave=False)
    detections = list[Detection]()
    for found in detect(detector, samples, AT_ONCE):
        detections += coco_results(found, manifest.category_ids or [])
    write_text(output / paths.DETECTIONS, _to_json(detections))
    truth, limits = annotation_file(data, manifest, "val"), manifest.size_limits
    boxes = coco_eval.evaluate(truth, detections, area_limits=limits)
    metrics = {**boxes.metrics, "images": len(dataset)}
    masks = coco_eval.evaluate(truth, detections, "segm", area_limits=limits) if detector.with_mask else None
    boxes.matches.save(output / paths.MATCHES, None if masks is None else masks.matches)
    if masks is not None:
        metrics |= {f"mask_{name}": masks.metrics[name] for name in coco_eval.AP_METRICS}
    return metrics


def detect_images(
    run: Run, data: Path, manifest: Manifest, images: Sequence[int], *, weights: Path, device: str
) -> list[list[Detection]]:
    """Return the detections of the validation images at these positions with the weights in a file."""
    detector, dataset = _prepare(run, data, manifest, weights, device)
    found = detect(detector, (dataset[position] for position in images), AT_ONCE)
    return [coco_results(sample, manifest.category_ids or []) for sample in found]


def _prepare(run: Run, data: Path, manifest: Manifest, weights: Path, device: str) -> tuple[Any, Any]:
    """The detector of a run with the weights in a file, and the validation images as mmdet's dataset."""
    init_default_scope("mmdet")
    config = detector_config(run, data, manifest)
    detector = MODELS.build(config.model).to(memory_format=torch.channels_last)
    load_weights(detector, weights)
    return detector.to(device).eval(), DATASETS.build(config.val_dataloader.dataset)


@torch.inference_mode()
def detect(detector: Any, samples: Iterable[dict[str, Any]], at_once: int) -> Iterator[Any]:
    """Yield mmdet's data samples with the detections of each image, in order.

    Consecutive images of equal shape form a batch. Images of different shapes are not batched: padding them to a common
    shape would change the detections.
    """
    waiting: list[dict[str, Any]] = []
    for sample in samples:
        other = waiting and sample["inputs"].shape != waiting[0]["inputs"].shape
        if other or len(waiting) == at_once:
            yield from detector.test_step(pseudo_collate(waiting))
            waiting = []
        waiting.append(sample)
    if waiting:
        yield from detector.test_step(pseudo_collate(waiting))


def coco_results(sample: Any, categories: list[int]) -> list[Detection]:
    """Return one image's detections: boxes in pixels of the original image, masks run-length coded."""
    found = sample.pred_instances.cpu()
    boxes = found.bboxes.clone()
    boxes[:, 2:] -= boxes[:, :2]
    results: list[Detection] = [
        {
            "image_id": sample.img_id,
            "category_id": categories[label],
            "bbox": [round(value, 3) for value in box],
            "score": round(score, 6),
        }
        for box, label, score in zip(boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    ]
    if "masks" in found and results:
        codes = mask.encode(np.asfortranarray(found.masks.numpy().transpose(1, 2, 0).astype(np.uint8)))
        for result, code in zip(results, codes, strict=True):
            result["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
    return results


def _to_json(detections: list[Detection]) -> str:
    return "[" + ",\n".join(json.dumps(detection) for detection in detections) + "]\n"
