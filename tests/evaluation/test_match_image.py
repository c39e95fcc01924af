"""The matches of one image against pycocotools called directly."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sgenet.data.coco_fields import Annotation, Detection
from sgenet.evaluation.coco_eval import match_image


def crowded(seed: int) -> tuple[list[Annotation], list[Detection]]:
    """Return overlapping objects of two categories, some of them crowds, some repeated, and detections near them."""
    rng = np.random.default_rng(seed)
    objects: list[Annotation] = []
    for number in range(1, 13):
        x, y, w, h = (*rng.uniform(0, 60, 2), *rng.uniform(15, 40, 2))
        owner = {"image_id": 7, "category_id": int(rng.integers(1, 3)), "bbox": [x, y, w, h], "area": w * h}
        objects.append({**owner, "id": number, "iscrowd": int(number % 5 == 0)})
    objects += [{**entry, "id": 13 + number} for number, entry in enumerate(objects[::3])]
    detections: list[Detection] = []
    for number in range(40):
        near = objects[rng.integers(0, len(objects))]
        box, category = (np.array(near["bbox"]) + rng.normal(0, 3, 4)).tolist(), int(rng.integers(1, 3))
        score = round(1 - number / 40, 1)  # with ties
        detections.append({"image_id": 7, "category_id": category, "bbox": box, "score": score})
    return objects, detections


@pytest.mark.parametrize("iou", [0.5, 0.75])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_pycocotools(seed: int, iou: float) -> None:
    objects, detections = crowded(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": 7}], "annotations": objects, "categories": [{"id": 1}, {"id": 2}]}
        truth.createIndex()
        coco_eval = COCOeval(truth, truth.loadRes([dict(entry) for entry in detections]), "bbox")
        coco_eval.evaluate()
    correct, false, missed = set(), set(), set()
    t = round(20 * iou) - 10
    for result in coco_eval.evalImgs:
        if result is None or result["aRng"] != [0, 1e10]:
            continue
        matched, ignored = result["dtMatches"][t] > 0, result["dtIgnore"][t].astype(bool)
        ids = np.array(result["dtIds"])
        correct |= {*(ids[matched & ~ignored] - 1)}
        false |= {*(ids[~matched & ~ignored] - 1)}
        unseen = (result["gtMatches"][t] == 0) & (np.array(result["gtIgnore"]) == 0)
        missed |= {*(np.array(result["gtIds"])[unseen] - 1)}
    found = match_image(objects, detections, iou)
    assert (found.correct, found.false, found.missed) == (correct, false, missed)
    assert found.correct and found.false and found.missed


def pair(*boxes: float) -> list[Annotation]:
    owner = {"image_id": 1, "category_id": 1, "area": 400}
    return [{**owner, "id": number, "bbox": [x, 0, 20, 20]} for number, x in enumerate(boxes)]


def test_of_two_objects_the_nearer_one_is_matched() -> None:
    owner = {"image_id": 1, "category_id": 1, "score": 0.9}
    detections: list[Detection] = [{**owner, "bbox": [x, 0, 20, 20]} for x in (4, -4)]
    assert match_image(pair(0, 4), detections).correct == {0, 1}  # the second overlaps only the first object enough


def test_of_two_equally_near_objects_the_later_one_is_matched() -> None:
    detection: Detection = {"image_id": 1, "category_id": 1, "bbox": [4, 0, 20, 20], "score": 0.9}
    assert match_image(pair(0, 8), [detection]).missed == {0}


def test_nothing() -> None:
    found = match_image([], [])
    assert not found.correct and not found.false and not found.missed
