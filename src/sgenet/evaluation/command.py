"""`sgenet coco-eval`: COCO's twelve metrics of any result file, as text or JSON."""

import json
from pathlib import Path

from sgenet.evaluation.coco_eval import METRICS, Evaluation, evaluate

# Definition of each metric: IoU thresholds, areas of objects, detections per image.
_MEANING = {
    "ap": "IoU 0.50 to 0.95, all areas, 100 detections per image",
    "ap50": "IoU 0.50",
    "ap75": "IoU 0.75",
    "ap_small": "area below 32 x 32 pixels",
    "ap_medium": "area from 32 x 32 to 96 x 96 pixels",
    "ap_large": "area above 96 x 96 pixels",
    "ar1": "IoU 0.50 to 0.95, all areas, 1 detection per image",
    "ar10": "10 detections per image",
    "ar100": "100 detections per image",
    "ar_small": "area below 32 x 32 pixels",
    "ar_medium": "area from 32 x 32 to 96 x 96 pixels",
    "ar_large": "area above 96 x 96 pixels",
}


def describe(annotations: Path, detections: Path, iou_type: str, *, as_json: bool) -> str:
    """Evaluate a result file and return what to print.

    Args:
        annotations: a COCO annotation file.
        detections: a COCO result file.
        iou_type: "bbox" or "segm".
        as_json: one line of JSON with the twelve metrics in percent, null where undefined; otherwise a table that
            also contains the AP of each category.

    Raises:
        InputError: a file cannot be read, or an entry cannot be evaluated.
    """
    found = evaluate(annotations, detections, iou_type)
    return json.dumps({name: found.metrics[name] for name in METRICS}) if as_json else _text(found, iou_type)


def _text(found: Evaluation, iou_type: str) -> str:
    matches, kind = found.matches, {"bbox": "boxes", "segm": "masks"}[iou_type]
    images, objects = len(matches.image_ids), int(matches.truths[0].sum())
    lines = [f"{kind}: {images} images, {objects} objects without crowds; in percent"]
    for name in METRICS:
        lines.append(f"{name:<9}  {_shown(found.metrics[name])}  {_MEANING[name]}")
    width = max(map(len, (*found.per_category, "category")))
    lines += ["", f"{'category':<{width}}      ap"]
    lines += [f"{name:<{width}}  {_shown(value)}" for name, value in found.per_category.items()]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.2f}"
