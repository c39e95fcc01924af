"""Small data sets in COCO's format with detections, and what pycocotools alone makes of them."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Dataset = dict[str, Any]
Detections = list[dict[str, Any]]
SIDE = 64  # pixels of the images of `hard_scenes`


def scenes(seed: int = 0, images: int = 12, categories: int = 4) -> tuple[Dataset, Detections]:
    """A small data set with objects of all sizes and crowds, one category without objects, and detections."""
    rng = np.random.default_rng(seed)

    def box() -> list[float]:
        return [*rng.uniform(0, 200, 2).tolist(), *np.exp(rng.uniform(2.5, 5.2, 2)).tolist()]

    annotations, detections = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 9)):
            owner = {"image_id": image, "category_id": int(rng.integers(1, categories))}
            x, y, w, h = truth = box()
            crowd = int(rng.random() < 0.1)
            annotations.append({**owner, "bbox": truth, "area": 0.8 * w * h, "iscrowd": crowd})
            moved = (np.array([x, y, w, h]) + rng.normal(0, 0.06, 4) * [w, h, w, h]).tolist()
            detections.append({**owner, "bbox": moved, "score": rng.uniform(0.3, 1)})
        for _ in range(5):
            owner = {"image_id": image, "category_id": int(rng.integers(1, categories + 1))}
            detections.append({**owner, "bbox": box(), "score": rng.uniform(0, 0.7)})
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    return {
        "images": [{"id": image, "height": 400, "width": 400} for image in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": number, "name": f"kind {number}"} for number in range(1, categories + 1)],
    }, detections


def hard_scenes(seed: int, iou_type: str) -> tuple[Dataset, Detections]:
    """A data set and detections with many ties: of scores, of IoUs, and with thresholds and limits of areas.

    Boxes have whole sides, scores have one digit. There are crowds, objects on each other, images without objects,
    categories without objects or detections, and more than 100 detections of a category in an image.
    """
    rng = np.random.default_rng(seed)
    shaped = {"bbox": _boxed, "segm": _masked}[iou_type]
    annotations: list[dict[str, Any]] = []
    detections: Detections = []
    for image in rng.permutation(12).tolist():
        full = image == 5
        for _ in range(3 if full else rng.integers(0, 9) if image % 4 else 0):
            box = np.concatenate([rng.integers(0, 40, 2), rng.choice([4, 8, 16, 20], 2)])
            owner = {"image_id": image, "category_id": 1 if full else int(rng.integers(1, 4))}
            for crowd in [int(rng.random() < 0.15), *[0] * (rng.random() < 0.2)]:
                entry = {**owner, "id": len(annotations) + 1, "iscrowd": crowd, **shaped(box, rng)}
                annotations.append({**entry, "area": float(rng.choice([100, 256, 1024, 2000]))})
            for _ in range(60 if full else rng.integers(0, 6)):
                moved = np.maximum(box + rng.integers(-2, 3, 4), [0, 0, 1, 1])
                kind = owner["category_id"] if rng.random() < 0.8 else int(rng.choice([1, 2, 3, 5]))
                score = round(float(rng.random()), 1)
                detections.append({**owner, "category_id": kind, "score": score, **shaped(moved, rng)})
    return {
        "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(12)],
        "annotations": annotations,
        "categories": [{"id": number, "name": f"kind {number}"} for number in (5, 4, 3, 2, 1)],
    }, detections


def _boxed(box: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    return {"bbox": box.tolist()}


def _masked(box: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """A packed mask: a rectangle, in some cases with holes."""
    x, y, width, height = box.tolist()
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    pixels[y : y + height, x : x + width] = rng.random((height, width))[: SIDE - y, : SIDE - x] < rng.choice([0.9, 1])
    code = mask.encode(pixels)
    return {"segmentation": {**code, "counts": code["counts"].decode()}}


def accumulated(
    dataset: Dataset, detections: Detections, limits: tuple[float, float] = (32**2, 96**2), iou_type: str = "bbox"
) -> COCOeval:
    """What pycocotools alone makes of them."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(dataset)
        truth.createIndex()
        coco_eval = COCOeval(truth, truth.loadRes(copy.deepcopy(detections)), iou_type)
        small, large = limits
        coco_eval.params.areaRng = [[0, 1e10], [0, small], [small, large], [large, 1e10]]
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return coco_eval


def write(path: Path, content: Any) -> Path:
    """Write JSON to a file, and return its path."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
