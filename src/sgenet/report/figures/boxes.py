"""Boxes drawn into an image: which detections are correct, and what a reader must know of them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sgenet.data.coco_fields import Annotation, Detection, is_crowd
from sgenet.data.drawing import Place, draw_frame, draw_tag
from sgenet.evaluation.coco_eval import match_image

IOU = 0.5  # least IoU of a correct detection and its object
SIDE, QUALITY = 280, 85  # longer side of a drawing in pixels, quality of its JPEG
LEAST_TAGGED = 0.5  # least score of a detection that has a tag with its class and score
OBJECTS, FOUND = ("object",), ("correct", "false", "missed")  # kinds of boxes; earlier ones are drawn over later ones
COLOURS = {"object": "white", "correct": "#56b4e9", "false": "#e69f00", "missed": "#f0e442"}


@dataclass(frozen=True)
class Box:
    """An object or a detection to be drawn: its kind, [x, y, width, height] in pixels, id of its category, score."""

    kind: str
    bbox: Sequence[float]
    category: int
    score: float | None = None


@dataclass(frozen=True)
class View:
    """One drawing: its texts, and its pixels as a data URI."""

    title: str
    counts: str
    alt: str
    pixels: str


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


def draw(title: str, kinds: tuple[str, ...], boxes: Sequence[Box], names: dict[int, str], image: Image.Image) -> View:
    """Draw boxes of the kinds OBJECTS or FOUND into a copy of an image, each with a tag that names what it is.

    Detections with a low score have a box alone.
    """
    zoom = SIDE / max(image.size)
    scene = image.resize((max(1, round(zoom * image.width)), max(1, round(zoom * image.height))))
    words: dict[str, list[str]] = {kind: [] for kind in kinds}
    tags: list[Place] = []
    for box in sorted(boxes, key=lambda box: -kinds.index(box.kind)):
        draw_frame(scene, box.bbox, COLOURS[box.kind], zoom)
    for box in boxes:
        text = names[box.category] + ("" if box.score is None else f" {box.score:.2f}")
        words[box.kind].append(text)
        if box.score is None or box.score >= LEAST_TAGGED:
            tag = text if box.kind in ("object", "correct") else f"{text} {box.kind}"
            tags.append(draw_tag(scene, box.bbox, tag, COLOURS[box.kind], zoom, tags))
    counts = [f"{len(texts)} {kind}{'s' * (kinds == OBJECTS and len(texts) != 1)}" for kind, texts in words.items()]
    lists = [f"{count}: {', '.join(texts)}" for count, texts in zip(counts, words.values(), strict=True) if texts]
    buffer = io.BytesIO()
    scene.save(buffer, format="JPEG", quality=QUALITY, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return View(title, ", ".join(counts), "; ".join([title, *lists]), uri)
