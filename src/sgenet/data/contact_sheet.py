"""Contact sheets: one picture that shows what a data set looks like."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sgenet.data.embedded import size_of
from sgenet.data.packed import PackedImages
from sgenet.files import InputError, atomic_path, read_json

GAP, TITLE = 4, 26  # pixels
PAPER, INK = "#ffffff", "#222222"
# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = {"small": "#f0e442", "medium": "#56b4e9", "large": "#e69f00"}


def draw_contact_sheet(task: str, folder: Path, path: Path) -> None:
    """Write a PNG that shows training samples of the data set of a task ("classification", "detection")."""
    sheet = _draw_classes(folder) if task == "classification" else _draw_scenes(folder)
    with atomic_path(path) as temporary:
        sheet.quantize(256, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)


def _sheet(title: str, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width + GAP, TITLE + height + GAP), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((GAP, TITLE // 2), title, INK, ImageFont.load_default(13), anchor="lm")
    return image, draw


def _draw_classes(folder: Path, samples: int = 8, tile: int = 64) -> Image.Image:
    """Return a sheet with `samples` images of ten classes (spread evenly where there are more)."""
    images = PackedImages(folder, "train")
    shown = np.unique(np.linspace(0, len(images.classes) - 1, 10).round().astype(int)).tolist()
    side, name_width = images[0][0].width, 56
    block, rows = name_width + samples * (tile + GAP), (len(shown) + 1) // 2
    title = f"train: {len(images):,} images of {side} x {side} pixels, {len(images.classes)} classes"
    sheet, draw = _sheet(title, 2 * block, rows * (tile + GAP))
    for number, label in enumerate(shown):
        left, top = number // rows * block, TITLE + number % rows * (tile + GAP)
        name = images.classes[label]
        draw.text((left + name_width - 6, top + tile // 2), name, INK, ImageFont.load_default(14), anchor="rm")
        for column, position in enumerate(np.flatnonzero(images.targets == label)[:samples].tolist()):
            image = images[position][0].resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(image, (left + name_width + column * (tile + GAP), top))
    return sheet


def _draw_scenes(folder: Path, columns: int = 6, rows: int = 3, zoom: int = 2) -> Image.Image:
    """Return a sheet of scenes with boxes, names and outlines of the masks, coloured by size."""
    coco = read_json(folder / "annotations" / "train.json")
    names = {category["id"]: category["name"] for category in coco["categories"]}
    limits, side = coco["info"]["area_limits"], coco["images"][0]["width"]
    tile = side * zoom
    title = f"train: {len(coco['images']):,} scenes of {side} x {side} pixels, {len(coco['annotations']):,} objects"
    sheet, draw = _sheet(title, columns * (tile + GAP), rows * (tile + GAP))
    _draw_legend(draw, sheet.width, limits)
    for number, entry in enumerate(coco["images"][: columns * rows]):
        file = folder / "train" / entry["file_name"]
        if not file.is_file():
            raise InputError(f"{file}: not found, expected the image that annotations/train.json lists")
        scene = Image.open(file).convert("RGB").resize((tile, tile), Image.Resampling.NEAREST)
        objects = [item for item in coco["annotations"] if item["image_id"] == entry["id"]]
        for item in objects:
            _outline(scene, item, zoom)
        for item in objects:
            _frame(scene, item, COLOURS[size_of(item["area"], limits)], zoom)
        taken: list[tuple[float, ...]] = []
        for item in objects:
            taken += [
                _tag(scene, item, names[item["category_id"]], COLOURS[size_of(item["area"], limits)], zoom, taken)
            ]
        corner = (GAP + number % columns * (tile + GAP), TITLE + number // columns * (tile + GAP))
        sheet.paste(scene, corner)
    return sheet


def _draw_legend(draw: ImageDraw.ImageDraw, right: int, limits: list[float]) -> None:
    small, medium = limits
    texts = {"small": f"ink up to {small} px²", "medium": f"up to {medium} px²", "large": "more"}
    font, x = ImageFont.load_default(13), float(right - GAP)
    for size in reversed(COLOURS):
        text = f"{size}: {texts[size]}"
        x -= draw.textlength(text, font)
        draw.text((x, TITLE // 2), text, INK, font, anchor="lm")
        draw.rectangle((x - 18, TITLE // 2 - 6, x - 6, TITLE // 2 + 6), COLOURS[size], INK)
        x -= 34


def _outline(scene: Image.Image, item: dict[str, Any], zoom: int) -> None:
    """Draw the border of an object's mask in black, just outside it."""
    from pycocotools import mask as coding

    mask = np.kron(coding.decode(item["segmentation"]), np.ones((zoom, zoom), dtype=np.uint8)) > 0
    padded = np.pad(mask, 1)
    grown = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    scene.paste((0, 0, 0), (0, 0), Image.fromarray((grown & ~mask).astype(np.uint8) * 255))


def _frame(scene: Image.Image, item: dict[str, Any], colour: str, zoom: int) -> None:
    x, y, width, height = (zoom * value for value in item["bbox"])
    draw = ImageDraw.Draw(scene)
    draw.rectangle((x - 2, y - 2, x + width + 1, y + height + 1), outline="black", width=3)
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline=colour)


def _tag(
    scene: Image.Image, item: dict[str, Any], name: str, colour: str, zoom: int, taken: list[tuple[float, ...]]
) -> tuple[float, ...]:
    """Write the name on the upper or lower edge of the box, where no other tag is if possible; return its box."""
    draw, font = ImageDraw.Draw(scene), ImageFont.load_default(11)
    x, y, width, height = (zoom * value for value in item["bbox"])
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


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
