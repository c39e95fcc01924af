"""Boxes over an image: which detections are correct, and where boxes and their names are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sgenet.data.annotations import Entry

IOU = 0.5  # a detection that overlaps an object by so much is correct
SIDE = 200  # CSS pixels of a drawing's longer side
LETTER, LINE = 5.4, 11  # CSS pixels that a tag takes: a letter's width, its height
LONGEST = 14  # letters of a name
LEAST_TAGGED = 0.5  # score of a detection that has its class and score beside it
OBJECTS, FOUND = ("object",), ("correct", "false", "missed")  # kinds of boxes; earlier ones lie over later ones

Judged = list[tuple[str, Entry]]  # (a kind, an object or a detection)
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class View:
    """One drawing: its words, width and height, the paths of its boxes by kind, and (x, y, text) of its tags."""

    title: str
    counts: str
    alt: str
    size: tuple[float, float]
    boxes: tuple[tuple[str, str], ...]
    tags: tuple[tuple[float, float, str], ...]


def judge(objects: Sequence[Entry], detections: Sequence[Entry]) -> Judged:
    """An image's correct and false detections, in their order, and then its missed objects.

    As in COCO's evaluation the best score chooses first, among the free objects of its class the one with the largest
    IoU, and what lies in a crowd is left out, as is the crowd.

    Args:
        objects: with `category_id`, `bbox` and, where it is one, `iscrowd`.
        detections: with `category_id` and `bbox`, best score first.
    """
    from pycocotools import mask

    crowd = [bool(item.get("iscrowd")) for item in objects]
    shared = np.zeros((len(detections), len(objects)))
    if shared.size:
        boxes = [np.array([item["bbox"] for item in items], dtype=np.float64) for items in (detections, objects)]
        shared = mask.iou(*boxes, crowd)
    free = [not many for many in crowd]
    judged: Judged = []
    for detection, overlaps in zip(detections, shared.tolist(), strict=True):
        near = [
            place
            for place, item in enumerate(objects)
            if item["category_id"] == detection["category_id"] and overlaps[place] >= IOU
        ]
        best = max((place for place in near if free[place]), key=overlaps.__getitem__, default=None)
        if best is not None:
            free[best] = False
            judged.append(("correct", detection))
        elif not any(crowd[place] for place in near):
            judged.append(("false", detection))
    return judged + [("missed", item) for item, unseen in zip(objects, free, strict=True) if unseen]


def objects_alone(objects: Sequence[Entry]) -> Judged:
    """The objects to be found, without crowds."""
    return [("object", item) for item in objects if not item.get("iscrowd")]


def draw(title: str, kinds: tuple[str, ...], judged: Judged, names: dict[int, str], size: tuple[float, float]) -> View:
    """Draw boxes of OBJECTS or FOUND on an image of that width and height in pixels; `names` are the classes'.

    The first boxes are the first to have their tag where it covers no other; missed objects and detections of a low
    score have none.
    """
    zoom = SIDE / max(size)
    frame = round(zoom * size[0], 1), round(zoom * size[1], 1)
    words: dict[str, list[str]] = {kind: [] for kind in kinds}
    paths = dict.fromkeys(kinds, "")
    tags: list[tuple[float, float, str]] = []
    taken: list[Rectangle] = []
    for kind, entry in judged:
        left, top, right, bottom = box = _corners(entry["bbox"], zoom, frame)
        paths[kind] += f"M{left} {top}H{right}V{bottom}H{left}z"
        name = names[entry["category_id"]]
        score = f" {entry['score']:.2f}" if "score" in entry else ""
        words[kind].append(name + score)
        text = (name if len(name) <= LONGEST else name[: LONGEST - 1] + "…") + score
        tagged = kind != "missed" and entry.get("score", 1) >= LEAST_TAGGED
        if tagged and (place := _place(box, len(text) * LETTER, frame, taken)):
            taken.append(place)
            tags.append((round(place[0], 1), round(place[3] - 2.5, 1), text))
    counts = [f"{len(told)} {kind}{'s' * (kinds == OBJECTS and len(told) != 1)}" for kind, told in words.items()]
    lists = [f"{count}: {', '.join(told)}" for count, told in zip(counts, words.values(), strict=True) if told]
    boxes = [(kind, paths[kind]) for kind in reversed(kinds) if paths[kind]]
    return View(title, ", ".join(counts), "; ".join([title, *lists]), frame, tuple(boxes), tuple(tags))


def _corners(bbox: Sequence[float], zoom: float, frame: tuple[float, float]) -> Rectangle:
    """The box as it is drawn, cut at the image's edges."""
    x, y, width, height = (zoom * value for value in bbox)
    corners = zip((x, y, x + width, y + height), frame * 2, strict=True)
    left, top, right, bottom = (round(min(max(value, 0), end), 1) for value, end in corners)
    return left, top, right, bottom


def _place(box: Rectangle, wide: float, frame: tuple[float, float], taken: Sequence[Rectangle]) -> Rectangle | None:
    """Where a tag of that width fits: above its box, below it or inside, within the image and clear of other tags."""
    left, top, right, bottom = box
    for upper in (top - LINE, bottom, top):
        for start in (left, right - wide):
            start = min(max(start, 0), frame[0] - wide)
            place = (start, upper, start + wide, upper + LINE)
            inside = start >= 0 and upper >= 0 and upper + LINE <= frame[1]
            if inside and not any(_overlap(place, other) for other in taken):
                return place
    return None


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
