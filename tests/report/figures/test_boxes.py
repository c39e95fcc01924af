"""Boxes over an image: correct and false as in pycocotools, drawn in place, tags clear of each other."""

import re
from itertools import combinations

import numpy as np
import pytest

from sgenet.data.coco_fields import Annotation, Detection
from sgenet.report.figures.boxes import FOUND, LETTER, LINE, OBJECTS, SIDE, Box, draw, judge, objects_alone

NAMES = {1: "cat", 2: "a very long name of a class"}


def _object(x: float, category: int = 1, crowd: int = 0) -> Annotation:
    return {
        "id": 1,
        "image_id": 1,
        "category_id": category,
        "bbox": [x, 0, 20, 20],
        "area": 400,
        "iscrowd": crowd,
    }


def _detection(x: float, category: int = 1, score: float = 0.9) -> Detection:
    return {"image_id": 1, "category_id": category, "bbox": [x, 0, 20, 20], "score": score}


def test_correct_and_false_detections_then_missed_objects() -> None:
    objects = [_object(0), _object(100, 2), _object(200, crowd=1), _object(300)]
    detections = [_detection(x, 1, 0.9 - x / 1000) for x in (2, 100, 210, 220)]  # the third is in the crowd
    assert judge(objects, detections) == [
        Box("correct", [2, 0, 20, 20], 1, 0.9 - 0.002),
        Box("false", [100, 0, 20, 20], 1, 0.8),  # of another category
        Box("false", [220, 0, 20, 20], 1, 0.9 - 0.22),
        Box("missed", [100, 0, 20, 20], 2),
        Box("missed", [300, 0, 20, 20], 1),
    ]
    assert objects_alone(objects) == [Box("object", [x, 0, 20, 20], kind) for x, kind in ((0, 1), (100, 2), (300, 1))]


def test_nothing_detected_and_nothing_there() -> None:
    assert judge([], []) == []
    assert judge([_object(0)], []) == [Box("missed", [0, 0, 20, 20], 1)]
    assert judge([], [_detection(0)]) == [Box("false", [0, 0, 20, 20], 1, 0.9)]
    view = draw("nothing", FOUND, [], NAMES, (50, 100))
    assert (view.counts, view.alt, view.boxes, view.tags) == ("0 correct, 0 false, 0 missed", "nothing", (), ())


def test_boxes_are_drawn_in_place() -> None:
    boxes = [
        Box("correct", [10, 20, 30, 40], 1, 0.987),
        Box("false", [-5, 90, 60, 30], 2, 0.5),  # the image's edges cut it
        Box("missed", [30, 70, 10, 10], 1),
    ]
    view = draw("here", FOUND, boxes, NAMES, (50, 100))
    zoom = SIDE / 100
    assert view.size == (50 * zoom, SIDE)
    assert [kind for kind, _ in view.boxes] == ["missed", "false", "correct"]  # correct ones above all
    drawn = {kind: [float(number) for number in re.findall(r"[\d.-]+", path)] for kind, path in view.boxes}
    for kind, (x, y, width, height) in {box.kind: box.bbox for box in boxes}.items():
        expected = [zoom * value for value in (x, y, width, height, -width)]
        assert drawn[kind] == pytest.approx(expected)
    assert view.counts == "1 correct, 1 false, 1 missed"
    assert view.alt == "here; 1 correct: cat 0.99; 1 false: a very long name of a class 0.50; 1 missed: cat"
    assert [text for *_, text in view.tags] == ["cat 0.99"]  # the long name does not fit in so narrow an image


def test_one_object_and_more() -> None:
    boxes = [Box("object", [0, 0, 10, 10], 1), Box("object", [20, 20, 10, 10], 2)]
    assert draw("one", OBJECTS, boxes[:1], NAMES, (50, 50)).counts == "1 object"
    view = draw("two", OBJECTS, boxes, NAMES, (50, 50))
    assert view.counts == "2 objects" and [text for *_, text in view.tags] == ["cat", NAMES[2]]


def test_low_scores_have_a_box_and_no_tag() -> None:
    boxes = [Box("false", [x, 40, 10, 10], 1, score) for x, score in ((0, 0.5), (60, 0.49))]
    view = draw("two", FOUND, boxes, NAMES, (100, 100))
    assert view.counts == "0 correct, 2 false, 0 missed" and [text for *_, text in view.tags] == ["cat 0.50"]


@pytest.mark.parametrize("size", [(100, 100), (100, 30), (20, 100)])
def test_tags_cover_no_other_tag_and_stay_inside(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    boxes = [
        Box("false", [*rng.uniform(0, 60, 2), *rng.uniform(15, 40, 2)], int(rng.integers(1, 3)), 1 - number / 30)
        for number in range(30)
    ]
    view = draw("many", FOUND, boxes, NAMES, size)
    for x, y, text in view.tags:
        assert x >= 0 and x + len(text) * LETTER <= view.size[0] + 0.1 and y - LINE + 2.5 >= 0
        assert y + 2.5 <= view.size[1] + 0.1
    for one, other in combinations(view.tags, 2):
        apart = abs(one[1] - other[1]) >= LINE - 0.1
        left, right = sorted((one, other))
        assert apart or left[0] + len(left[2]) * LETTER <= right[0] + 0.1
    assert len(view.tags) < len(boxes)
