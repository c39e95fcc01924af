"""Boxes over an image: which detections are correct, and where boxes and their labels are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from sgenet.data.coco_fields import Annotation, Detection, is_crowd
from sgenet.evaluation.coco_eval import match_image

IOU = 0.5  # least IoU of a correct detection and its object
SIDE = 200  # CSS pixels of a drawing's longer side
LETTER, LINE = 5.4, 11  # CSS pixels of a tag: width of a letter, height
LONGEST = 14  # letters of a name
LEAST_TAGGED = 0.5  # least score of a detection that has a tag with its class and score
OBJECTS, FOUND = ("object",), ("correct", "false", "missed")  # kinds of boxes; earlier ones are drawn over later ones

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


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
    """Draw boxes of the kinds OBJECTS or FOUND.

    A box has a tag where it covers no earlier tag; missed objects and detections with a low score have none.

    Args:
        title: of the drawing.
        kinds: of the boxes.
        boxes: of one image.
        names: of the categories.
        size: width and height of the image in pixels.
    """
    zoom = SIDE / max(size)
    frame = round(zoom * size[0], 1), round(zoom * size[1], 1)
    words: dict[str, list[str]] = {kind: [] for kind in kinds}
    paths = dict.fromkeys(kinds, "")
    tags: list[tuple[float, float, str]] = []
    taken: list[Rectangle] = []
    for box in boxes:
        left, top, right, bottom = corners = _corners(box.bbox, zoom, frame)
        paths[box.kind] += f"M{left} {top}H{right}V{bottom}H{left}z"
        name = names[box.category]
        score = "" if box.score is None else f" {box.score:.2f}"
        words[box.kind].append(name + score)
        text = (name if len(name) <= LONGEST else name[: LONGEST - 1] + "…") + score
        tagged = box.kind != "missed" and (box.score is None or box.score >= LEAST_TAGGED)
        if tagged and (place := _place(corners, len(text) * LETTER, frame, taken)):
            taken.append(place)
            tags.append((round(place[0], 1), round(place[3] - 2.5, 1), text))
    counts = [f"{len(texts)} {kind}{'s' * (kinds == OBJECTS and len(texts) != 1)}" for kind, texts in words.items()]
    lists = [f"{count}: {', '.join(texts)}" for count, texts in zip(counts, words.values(), strict=True) if texts]
    drawn = tuple((kind, paths[kind]) for kind in reversed(kinds) if paths[kind])
    return View(title, ", ".join(counts), "; ".join([title, *lists]), frame, drawn, tuple(tags))


def _corners(bbox: Sequence[float], zoom: float, frame: tuple[float, float]) -> Rectangle:
    """Return the corners of a box as it is drawn, cut at the image's edges."""
    x, y, width, height = (zoom * value for value in bbox)
    corners = zip((x, y, x + width, y + height), frame * 2, strict=True)
    left, top, right, bottom = (round(min(max(value, 0), end), 1) for value, end in corners)
    return left, top, right, bottom


def _place(box: Rectangle, wide: float, frame: tuple[float, float], taken: Sequence[Rectangle]) -> Rectangle | None:
    """Return where a tag of that width fits within the image and clear of other tags: above, below or in its box."""
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
