"""Boxes over an image: which detections are correct, and where boxes and their labels are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from sgenet.data.coco_fields import Annotation, Detection, is_crowd
from sgenet.evaluation.coco_eval import match_image

IOU = 0.5  # least IoU of a correct detection and its object
SIDE = 200  # CSS pixels of a drawing's longer side
LETTER, LINE = 5.4, 11  # CSS pixels of a tag: width of a letter, height
LEAST_TAGGED = 0.5  # least score of a detection that has a tag with its class and score
OBJECTS, FOUND = ("object",), ("correct", "false", "missed")  # kinds of boxes; earlier ones are drawn over later ones


@dataclass(frozen=True)
class Box:
    """An object or a detection to be drawn: its kind, [x, y, width, height] in pixels, id of its category, score."""

    kind: str
    bbox: Sequence[float]
    category: int
    score: float | None = None


@dataclass(frozen=True)
class View:
    """One drawing: its texts, width and height, the paths of its boxes by kind, and (x, y, text) of its tags."""

    title: str
    counts: str
    alt: str
    size: tuple[float, float]
    boxes: tuple[tuple[str, str], ...]
    tags: tuple[tuple[float, float, str], ...]


def judge(objects: Sequence[Annotation], detections: Sequence[Detection]) -> list[Box]:
    """Return an image's correct and false detections in their order, and then its missed objects."""
    matches = match_image(objects, detections, IOU)
    return [
        *(
            Box("correct" if index in matches.correct else "false", entry["bbox"], entry["category_id"], entry["score"])
            for index, entry in enumerate(detections)
            if index in matches.correct or index in matches.false
        ),
        *(Box("missed", objects[index]["bbox"], objects[index]["category_id"]) for index in sorted(matches.missed)),
    ]


def objects_alone(objects: Sequence[Annotation]) -> list[Box]:
    """Return the objects to be found, without crowds."""
    return [Box("object", entry["bbox"], entry["category_id"]) for entry in objects if not is_crowd(entry)]


def draw(
    title: str, kinds: tuple[str, ...], boxes: Sequence[Box], names: dict[int, str], size: tuple[float, float]
) -> View:
    """Draw boxes of the kinds OBJECTS or FOUND over an image of this width and height in pixels.

    A box has a tag at its upper edge where that fits into the image and covers no earlier tag; missed objects and
    detections with a low score have none.
    """
    zoom = SIDE / max(size)
    width, height = (round(zoom * length, 1) for length in size)
    words: dict[str, list[str]] = {kind: [] for kind in kinds}
    paths = dict.fromkeys(kinds, "")
    tags: list[tuple[float, float, str]] = []
    for box in boxes:
        x, y, wide, high = (round(zoom * value, 1) for value in box.bbox)
        paths[box.kind] += f"M{x} {y}h{wide}v{high}h-{wide}z"
        text = names[box.category] + ("" if box.score is None else f" {box.score:.2f}")
        words[box.kind].append(text)
        if box.kind != "missed" and (box.score is None or box.score >= LEAST_TAGGED):
            left, top = round(min(max(x, 0), width - LETTER * len(text)), 1), round(min(max(y, LINE), height) - 2.5, 1)
            if left >= 0 and not any(_touch(left - other[0], top - other[1], text, other[2]) for other in tags):
                tags.append((left, top, text))
    counts = [f"{len(texts)} {kind}{'s' * (kinds == OBJECTS and len(texts) != 1)}" for kind, texts in words.items()]
    lists = [f"{count}: {', '.join(texts)}" for count, texts in zip(counts, words.values(), strict=True) if texts]
    drawn = tuple((kind, paths[kind]) for kind in reversed(kinds) if paths[kind])
    return View(title, ", ".join(counts), "; ".join([title, *lists]), (width, height), drawn, tuple(tags))


def _touch(x: float, y: float, text: str, other: str) -> bool:
    """Whether a tag this far to the right of and below another one touches it."""
    return abs(y) < LINE and -LETTER * len(text) < x < LETTER * len(other)
