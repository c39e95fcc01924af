"""Boxes in an image: correct and false as in pycocotools, drawn in place."""

import base64
import io

import numpy as np
from PIL import Image, ImageColor

from sgenet.data.coco_fields import Annotation, Detection
from sgenet.report.figures.boxes import COLOURS, FOUND, OBJECTS, SIDE, Box, View, draw, judge, objects_alone

NAMES = {1: "cat", 2: "a very long name of a class"}
GREY = Image.new("RGB", (100, 100), (128, 128, 128))


def _pixels(view: View) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(view.pixels.partition(",")[2])))


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
    view = draw("nothing", FOUND, [], NAMES, GREY)
    assert (view.counts, view.alt) == ("0 correct, 0 false, 0 missed", "nothing")
    assert set(_pixels(view).getdata()) == {(128, 128, 128)}


def test_boxes_are_drawn_in_place_in_the_colours_of_the_legend() -> None:
    boxes = [
        Box("correct", [10, 60, 30, 40], 1, 0.987),
        Box("false", [60, 60, 30, 30], 2, 0.45),
        Box("missed", [30, 110, 20, 20], 1),
    ]
    image = Image.new("RGB", (100, 140), (128, 128, 128))
    view = draw("here", FOUND, boxes, NAMES, image)
    drawn, zoom = _pixels(view), SIDE / 140
    assert drawn.size == (200, SIDE) and set(image.getdata()) == {(128, 128, 128)}
    for box in boxes:
        x, y, width, height = (zoom * value for value in box.bbox)
        for place in ((x - 1, y + height / 2), (x + width, y + height / 2)):  # left and right edge
            near = [drawn.getpixel((round(place[0]) + shift, round(place[1]))) for shift in (-1, 0, 1)]
            wanted = ImageColor.getrgb(COLOURS[box.kind])
            assert min(np.abs(np.subtract(pixel, wanted)).max() for pixel in near) < 90, box
        inside = drawn.getpixel((round(x + width / 2), round(y + height / 2)))
        assert np.abs(np.subtract(inside, 128)).max() < 30
    assert view.counts == "1 correct, 1 false, 1 missed"
    assert view.alt == "here; 1 correct: cat 0.99; 1 false: a very long name of a class 0.45; 1 missed: cat"


def test_one_object_and_more() -> None:
    boxes = [Box("object", [0, 0, 10, 10], 1), Box("object", [20, 20, 10, 10], 2)]
    assert draw("one", OBJECTS, boxes[:1], NAMES, GREY).counts == "1 object"
    assert draw("two", OBJECTS, boxes, NAMES, GREY).counts == "2 objects"


def test_low_scores_have_a_box_and_no_tag() -> None:
    """A tag is filled with the colour of its box; a box alone has little of it."""

    def coloured(score: float) -> int:
        view = draw("one", FOUND, [Box("correct", [30, 60, 40, 30], 1, score)], NAMES, GREY)
        distance = np.abs(np.asarray(_pixels(view), dtype=int) - ImageColor.getrgb(COLOURS["correct"])).max(axis=-1)
        return int((distance < 40).sum())

    assert coloured(0.5) > coloured(0.49) + 200
