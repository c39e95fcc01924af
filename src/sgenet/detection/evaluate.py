"""Evaluate a trained detector on the validation images: detections as COCO json, the twelve COCO numbers, matches."""

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from sgenet.detection import ops

ops.install()  # before mmdet is imported

from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.checkpoints import load_weights  # noqa: E402
from sgenet.detection import coco_eval  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.files import write_text  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.runs import Run  # noqa: E402


def evaluate(
    run: Run, data: Path, manifest: dict[str, Any], *, trained: Path, output: Path, device: str
) -> dict[str, Any]:
    """Evaluate the last epoch's weights in `trained`.

    Writes `detections.json` (COCO result format) and `matches.npz` (for paired tests) to `output`.

    Returns:
        the twelve COCO numbers in percent, None where undefined, and the number of images.
    """
    init_default_scope("mmdet")
    config = detector_config(run, data, manifest["classes"])
    detector = MODELS.build(config.model).to(memory_format=torch.channels_last)
    load_weights(detector, trained / "last.safetensors")
    detector.to(device).eval()
    dataset = DATASETS.build(config.val_dataloader.dataset)
    # One image at a time, as mmdet does: padding to a batch's largest image would change what is detected.
    loader = DataLoader(dataset, batch_size=1, num_workers=run.settings["workers"], collate_fn=pseudo_collate)
    detections = []
    with torch.inference_mode():
        for batch in tqdm(loader, desc="detections", disable=None, leave=False):
            for sample in detector.test_step(batch):
                detections += _coco_results(sample, dataset.cat_ids)
    write_text(output / "detections.json", _to_json(detections))
    evaluation = coco_eval.evaluate(
        data / "annotations/val.json",
        output / "detections.json",
        area_limits=tuple(manifest["area_limits"]),
    )
    evaluation.matches.save(output / "matches.npz")
    return {**evaluation.metrics, "images": len(dataset)}


def _coco_results(sample: Any, categories: list[int]) -> list[dict[str, Any]]:
    """One image's detections, boxes as x, y, width, height in pixels of the original image."""
    found = sample.pred_instances.cpu()
    boxes = found.bboxes.clone()
    boxes[:, 2:] -= boxes[:, :2]
    return [
        {
            "image_id": sample.img_id,
            "category_id": categories[label],
            "bbox": [round(value, 3) for value in box],
            "score": round(score, 6),
        }
        for box, label, score in zip(boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    ]


def _to_json(detections: list[dict[str, Any]]) -> str:
    import json

    return "[" + ",\n".join(json.dumps(detection) for detection in detections) + "]\n"
