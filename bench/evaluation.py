"""Evaluation of detections, from files to the twelve metrics, by pycocotools and by sgenet."""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.commands import command, run
from bench.common import Row, Seconds, row, take_turns
from sgenet.evaluation.coco_eval import evaluate

CATEGORIES, OBJECTS, DETECTIONS = 80, 7, 20  # objects and detections per image
SIDE = 640  # pixels
_CORNERS = 16


def evaluation(images: int, turns: int) -> list[Row]:
    """Compare the evaluation of boxes, and of masks, as functions, and as a command with its start-up."""
    rows: list[Row] = []
    for iou_type, noun in {"bbox": "boxes", "segm": "masks"}.items():
        with tempfile.TemporaryDirectory() as folder:
            truth, found = Path(folder, "truth.json"), Path(folder, "found.json")
            for path, content in zip((truth, found), scenes(images, iou_type), strict=True):
                path.write_text(json.dumps(content), encoding="utf-8")
            files = ["--annotations", str(truth), "--detections", str(found), "--iou-type", iou_type]
            variants: dict[str, Callable[[], object]] = {
                "pycocotools": partial(pycocotools, truth, found, iou_type),
                "sgenet": partial(evaluate, truth, found, iou_type),
                "sgenet coco-eval": partial(run, command("sgenet", "coco-eval", *files), Path()),
            }
            busy: Seconds = {}
            seconds = take_turns(variants, turns, warm=False, processor=busy)
        what = f"{noun} of {images:,} images, {CATEGORIES} categories, {images * DETECTIONS:,} detections"
        rows += [row(f"evaluation of {what}", name, seconds, processor=busy) for name in variants]
    return rows


def scenes(images: int, iou_type: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Objects, and detections of them with random offsets, some of another category."""
    rng = np.random.default_rng(0)
    categories = [{"id": number, "name": f"kind {number}"} for number in range(1, CATEGORIES + 1)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        boxes = np.concatenate([rng.uniform(0, 400, (OBJECTS, 2)), np.exp(rng.uniform(2, 5.2, (OBJECTS, 2)))], axis=1)
        kinds = rng.integers(1, CATEGORIES + 1, OBJECTS)
        for box, kind in zip(boxes.tolist(), kinds.tolist(), strict=True):
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": 0}
            masks = {"segmentation": [_ellipse(box)]} if iou_type == "segm" else {}
            annotations.append({**entry, **masks, "area": box[2] * box[3]})
        of = rng.integers(OBJECTS, size=DETECTIONS)
        moved = boxes[of] + rng.normal(0, 0.15, (DETECTIONS, 4)) * boxes[of][:, [2, 3, 2, 3]]
        moved[:, 2:] = np.maximum(moved[:, 2:], 1)
        predicted = np.where(rng.random(DETECTIONS) < 0.7, kinds[of], rng.integers(1, CATEGORIES + 1, DETECTIONS))
        scores = rng.random(DETECTIONS).tolist()
        for box, kind, score in zip(moved.tolist(), predicted.tolist(), scores, strict=True):
            shape: dict[str, Any] = {"bbox": box} if iou_type == "bbox" else {"segmentation": _packed(_ellipse(box))}
            detections.append({"image_id": image, "category_id": kind, "score": score, **shape})
    frame = [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, images + 1)]
    return {"images": frame, "annotations": annotations, "categories": categories}, detections


def _ellipse(box: list[float]) -> list[float]:
    """A polygon in a box."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.5 + 0.5
    return (corners * box[2:] + box[:2]).round(2).ravel().tolist()


def _packed(polygon: list[float]) -> dict[str, Any]:
    from pycocotools import mask

    (code,) = mask.frPyObjects([polygon], SIDE, SIDE)
    return {"size": code["size"], "counts": code["counts"].decode()}


def pycocotools(truth: Path, found: Path, iou_type: str) -> list[float]:
    """Return the twelve metrics."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(truth))
        coco_eval = COCOeval(dataset, dataset.loadRes(str(found)), iou_type)
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return coco_eval.stats.tolist()
