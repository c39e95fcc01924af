"""Boxes over an image: correct and false as pycocotools tells them, drawn where they lie, tags clear of each other."""

import contextlib
import io
import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sgenet.report.figures.boxes import FOUND, LETTER, LINE, OBJECTS, SIDE, draw, judge, objects_alone

NAMES = {1: "cat", 2: "a very long name of a class"}
Entries = list[dict[str, Any]]


def _crowded(seed: int) -> tuple[Entries, Entries]:
    """Overlapping objects of two classes, some of them crowds, and detections near them, best score first."""
    rng = np.random.default_rng(seed)
    objects = []
    for number in range(1, 13):
        x, y, w, h = (*rng.uniform(0, 60, 2), *rng.uniform(15, 40, 2))
        objects.append({"id": number, "image_id": 1, "category_id": int(rng.integers(1, 3)), "bbox": [x, y, w, h]})
        objects[-1] |= {"area": w * h, "iscrowd": int(number % 5 == 0)}
    detections = []
    for number in range(30):
        near = objects[rng.integers(0, 12)]
        box, category = (np.array(near["bbox"]) + rng.normal(0, 3, 4)).tolist(), int(rng.integers(1, 3))
        detections.append({"image_id": 1, "category_id": category, "bbox": box, "score": 1 - number / 30})
    return objects, detections


@pytest.mark.parametrize("seed", range(5))
def test_judged_as_by_pycocotools(seed: int) -> None:
    objects, detections = _crowded(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": 1}], "annotations": objects, "categories": [{"id": 1}, {"id": 2}]}
        truth.createIndex()
        coco_eval = COCOeval(truth, truth.loadRes([dict(entry) for entry in detections]), "bbox")
        coco_eval.params.areaRng = [[0, 1e10]]
        coco_eval.evaluate()
    expected: dict[str, list[float]] = {"correct": [], "false": [], "missed": []}
    for result in coco_eval.evalImgs:
        matched, ignored = result["dtMatches"][0] > 0, result["dtIgnore"][0].astype(bool)
        scores = np.array(result["dtScores"])
        expected["correct"] += scores[matched & ~ignored].tolist()
        expected["false"] += scores[~matched & ~ignored].tolist()
        unseen = (result["gtMatches"][0] == 0) & (np.array(result["gtIgnore"]) == 0)
        expected["missed"] += np.array(result["gtIds"])[unseen].tolist()
    judged = judge(objects, detections)
    for kind, key in {"correct": "score", "false": "score", "missed": "id"}.items():
        assert sorted(entry[key] for found, entry in judged if found == kind) == pytest.approx(sorted(expected[kind]))
    assert [entry for _, entry in objects_alone(objects)] == [entry for entry in objects if not entry["iscrowd"]]


def test_of_two_objects_the_nearer_one_is_taken() -> None:
    objects = [{"category_id": 1, "bbox": [x, 0, 20, 20]} for x in (0, 4)]
    detections = [{"category_id": 1, "bbox": [x, 0, 20, 20]} for x in (4, -4)]  # the second is near the first alone
    assert [kind for kind, _ in judge(objects, detections)] == ["correct", "correct"]


def test_nothing_detected_and_nothing_there() -> None:
    objects = [{"category_id": 1, "bbox": [0, 0, 10, 10]}]
    detections = [{"category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.9}]
    assert judge([], []) == []
    assert judge(objects, []) == [("missed", objects[0])]
    assert judge([], detections) == [("false", detections[0])]
    view = draw("nothing", FOUND, [], NAMES, (50, 100))
    assert (view.counts, view.alt, view.boxes, view.tags) == ("0 correct, 0 false, 0 missed", "nothing", (), ())


def test_boxes_lie_where_they_should() -> None:
    judged = [
        ("correct", {"category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.987}),
        ("false", {"category_id": 2, "bbox": [-5, 90, 60, 30], "score": 0.5}),  # cut at three edges
        ("missed", {"category_id": 1, "bbox": [30, 70, 10, 10]}),
    ]
    view = draw("here", FOUND, judged, NAMES, (50, 100))
    zoom = SIDE / 100
    assert view.size == (50 * zoom, SIDE)
    assert [kind for kind, _ in view.boxes] == ["missed", "false", "correct"]  # correct ones above all
    drawn = {kind: [float(number) for number in re.findall(r"[\d.]+", path)] for kind, path in view.boxes}
    corners = {"correct": (10, 20, 40, 60), "false": (0, 90, 50, 100), "missed": (30, 70, 40, 80)}
    for kind, (left, top, right, bottom) in corners.items():
        assert drawn[kind] == pytest.approx([zoom * value for value in (left, top, right, bottom, left)])
    assert view.counts == "1 correct, 1 false, 1 missed"
    assert view.alt == "here; 1 correct: cat 0.99; 1 false: a very long name of a class 0.50; 1 missed: cat"
    assert [text for *_, text in view.tags] == ["cat 0.99"]  # the long name does not fit in so narrow an image


def test_one_object_and_more() -> None:
    objects = [{"category_id": 1, "bbox": [0, 0, 10, 10]}, {"category_id": 2, "bbox": [20, 20, 10, 10]}]
    assert draw("one", OBJECTS, objects_alone(objects[:1]), NAMES, (50, 50)).counts == "1 object"
    view = draw("two", OBJECTS, objects_alone(objects), NAMES, (50, 50))
    assert view.counts == "2 objects" and [text for *_, text in view.tags] == ["cat", "a very long n…"]


def test_low_scores_have_a_box_and_no_tag() -> None:
    judged = [
        ("false", {"category_id": 1, "bbox": [x, 40, 10, 10], "score": score}) for x, score in ((0, 0.5), (60, 0.49))
    ]
    view = draw("two", FOUND, judged, NAMES, (100, 100))
    assert view.counts == "0 correct, 2 false, 0 missed" and [text for *_, text in view.tags] == ["cat 0.50"]


@pytest.mark.parametrize("size", [(100, 100), (100, 30), (20, 100)])
def test_tags_cover_no_other_tag_and_stay_inside(size: tuple[int, int]) -> None:
    _, detections = _crowded(0)
    view = draw("many", FOUND, [("false", entry) for entry in detections], NAMES, size)
    for x, y, text in view.tags:
        assert x >= 0 and x + len(text) * LETTER <= view.size[0] + 0.1 and y - LINE + 2.5 >= 0
        assert y + 2.5 <= view.size[1] + 0.1
    for one, other in combinations(view.tags, 2):
        apart = abs(one[1] - other[1]) >= LINE - 0.1
        left, right = sorted((one, other))
        assert apart or left[0] + len(left[2]) * LETTER <= right[0] + 0.1
    assert len(view.tags) < len(detections)
