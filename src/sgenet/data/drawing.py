"""Boxes and their tags, drawn into an image."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Place = tuple[float, ...]  # left, top, right, bottom


def draw_frame(scene: Image.Image, bbox: Sequence[float], colour: str, zoom: float) -> None:
    """Draw a box [x, y, width, height], `zoom` times as large, in a colour with black edges."""
    x, y, width, height = (round(zoom * value) for value in bbox)
    draw = ImageDraw.Draw(scene)
    draw.rectangle((x - 2, y - 2, x + width + 1, y + height + 1), outline="black", width=3)
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline=colour)


def draw_tag(
    scene: Image.Image, bbox: Sequence[float], name: str, colour: str, zoom: float, taken: Sequence[Place]
) -> Place:
    """Write a name on the upper or lower edge of a box, if possible where no other tag is; return the tag's place."""
    draw, font = ImageDraw.Draw(scene), ImageFont.load_default(11)
    x, y, width, height = (zoom * value for value in bbox)
    wide, high = draw.textlength(name, font) + 4, 13
    places = []
    for top in (y - high - 2, y + height + 1, y - 2, y + height - high + 1):
        for left in (x - 2, x + width + 1 - wide):
            left, top = max(0, min(left, scene.width - wide - 1)), max(0, min(top, scene.height - high - 1))
            places.append((left, top, left + wide, top + high))
    box = min(places, key=lambda place: sum(_shared(place, other) for other in taken))
    draw.rectangle(box, colour, "black")
    draw.text((box[0] + 3, box[1] + 7), name, "black", font, anchor="lm")
    return box


def _shared(one: Place, other: Place) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
