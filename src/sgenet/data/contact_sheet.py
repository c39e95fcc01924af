"""Contact sheets: an image with samples of a data set."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from sgenet.data.drawing import draw_frame, draw_tag
from sgenet.data.images import read_image
from sgenet.data.manifest import Manifest
from sgenet.data.sizes import size_of
from sgenet.data.splits import annotation_file, image_folder, open_split
from sgenet.runtime.files import atomic_path, read_json

GAP, TITLE = 4, 26  # pixels
PAPER, INK = "#ffffff", "#222222"
# Okabe and Ito's palette, distinguishable with every kind of colour vision.
COLOURS = {"small": "#f0e442", "medium": "#56b4e9", "large": "#e69f00"}
TILE = 192  # side of a scene's tile, in pixels
MOST_TAGS = 8  # names in a scene; with more objects, only the largest of each class gets its name


def draw_contact_sheet(folder: Path, manifest: Manifest, path: Path) -> None:
    """Write a PNG with training samples of a prepared data set; `manifest` is returned by `open_manifest`."""
    sheet = (_draw_scenes if manifest.area_limits else _draw_classes)(folder, manifest)
    with atomic_path(path) as temporary:
        _reduce(sheet).save(temporary, format="PNG", optimize=True)


def _reduce(sheet: Image.Image) -> Image.Image:
    """Return the sheet in 256 colours that include those of the boxes, which photographs would displace."""
    colours = sheet.quantize(251, dither=Image.Dither.NONE).getpalette() or []
    for colour in (*COLOURS.values(), PAPER, INK):
        colours += ImageColor.getrgb(colour)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return sheet.quantize(palette=palette, dither=Image.Dither.NONE)


def _sheet(title: str, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width + GAP, TITLE + height + GAP), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((GAP, TITLE // 2), title, INK, ImageFont.load_default(13), anchor="lm")
    return image, draw


def _fit(image: Image.Image, side: int) -> Image.Image:
    """Resize the longer side of an image to `side` pixels; small images are enlarged by an integer factor."""
    longest = max(image.size)
    if longest * 2 <= side:
        factor = side // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = [max(1, round(length * side / longest)) for length in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _draw_classes(folder: Path, manifest: Manifest, samples: int = 8, tile: int = 64) -> Image.Image:
    """Return a sheet with `samples` images of ten classes (spread evenly where there are more)."""
    images = open_split(folder, manifest, "train")
    shown = np.unique(np.linspace(0, len(images.classes) - 1, 10).round().astype(int)).tolist()
    font = ImageFont.load_default(14)
    names = [_short(images.classes[label]) for label in shown]
    name_width = max(56, 12 + round(max(font.getlength(name) for name in names)))
    block, rows = name_width + samples * (tile + GAP), (len(shown) + 1) // 2
    title = f"train: {len(images):,} images, {len(images.classes):,} classes"
    sheet, draw = _sheet(title, 2 * block, rows * (tile + GAP))
    for number, (label, name) in enumerate(zip(shown, names, strict=True)):
        left, top = number // rows * block, TITLE + number % rows * (tile + GAP)
        draw.text((left + name_width - 6, top + tile // 2), name, INK, font, anchor="rm")
        for column, position in enumerate(np.flatnonzero(images.targets == label)[:samples].tolist()):
            image = _fit(images[position][0], tile)
            corner = left + name_width + column * (tile + GAP), top
            sheet.paste(image, (corner[0] + (tile - image.width) // 2, corner[1] + (tile - image.height) // 2))
    return sheet


def _short(name: str, most: int = 16) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _draw_scenes(folder: Path, manifest: Manifest, columns: int = 6, rows: int = 3) -> Image.Image:
    """Return a sheet of scenes with boxes, names and outlines of the masks, coloured by size."""
    coco = read_json(annotation_file(folder, manifest, "train"), foreign=True)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    limits = manifest.size_limits
    title = f"train: {len(coco['images']):,} images, {len(coco['annotations']):,} objects"
    sheet, draw = _sheet(title, columns * (TILE + GAP), rows * (TILE + GAP))
    _draw_legend(draw, sheet.width, limits)
    shown = coco["images"][: columns * rows]
    objects: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in shown}
    for item in coco["annotations"]:
        if item["image_id"] in objects:
            objects[item["image_id"]].append(item)
    for number, entry in enumerate(shown):
        scene = _fit(read_image(image_folder(folder, manifest, "train") / entry["file_name"]), TILE)
        zoom, items = scene.width / entry["width"], objects[entry["id"]]
        for item in items:
            if item.get("segmentation"):
                _outline(scene, item, (int(entry["height"]), int(entry["width"])))
        for item in items:
            draw_frame(scene, item["bbox"], COLOURS[size_of(item["area"], limits)], zoom)
        taken: list[tuple[float, ...]] = []
        largest = {item["category_id"]: item for item in sorted(items, key=lambda item: item["area"])}
        for item in items if len(items) <= MOST_TAGS else largest.values():
            name, colour = names[item["category_id"]], COLOURS[size_of(item["area"], limits)]
            taken.append(draw_tag(scene, item["bbox"], name, colour, zoom, taken))
        left, top = GAP + number % columns * (TILE + GAP), TITLE + number // columns * (TILE + GAP)
        sheet.paste(scene, (left + (TILE - scene.width) // 2, top + (TILE - scene.height) // 2))
    return sheet


def _draw_legend(draw: ImageDraw.ImageDraw, right: int, limits: tuple[float, float]) -> None:
    small, medium = limits
    texts = {"small": f"area up to {small:g} px", "medium": f"up to {medium:g} px", "large": "more"}
    font, x = ImageFont.load_default(13), float(right - GAP)
    for size in reversed(COLOURS):
        text = f"{size}: {texts[size]}"
        x -= draw.textlength(text, font)
        draw.text((x, TITLE // 2), text, INK, font, anchor="lm")
        draw.rectangle((x - 18, TITLE // 2 - 6, x - 6, TITLE // 2 + 6), COLOURS[size], INK)
        x -= 34


def _outline(scene: Image.Image, item: dict[str, Any], size: tuple[int, int]) -> None:
    """Draw the border of an object's mask in black, just outside it; `size` is the image's height and width."""
    from pycocotools import mask as coding

    shape = item["segmentation"]
    if isinstance(shape, list):
        shape = coding.merge(coding.frPyObjects(shape, *size))
    elif isinstance(shape["counts"], list):
        shape = coding.frPyObjects(shape, *size)
    whole = Image.fromarray(coding.decode(shape))
    mask = np.asarray(whole.resize(scene.size, Image.Resampling.NEAREST)) > 0
    padded = np.pad(mask, 1)
    grown = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    scene.paste((0, 0, 0), (0, 0), Image.fromarray((grown & ~mask).astype(np.uint8) * 255))
