"""Cluttered scenes: handwritten digits over a coloured texture, between fragments of other digits' strokes.

The digits are the 1,797 samples of 8 x 8 pixels that scikit-learn ships. A sample is enlarged with bicubic
interpolation, slightly rotated, sheared and stretched, and cut out along its half-way grey level, which gives
a smooth stroke with an anti-aliased edge. Distractors are made in the same way from parts of samples, and
in the same colours, so that a digit differs from clutter only by its shape.

Everything is drawn with 8-bit pixels and the random generator of the caller: the same generator state gives
the same scene.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TypeAlias

import numpy as np
from PIL import Image

Array: TypeAlias = np.ndarray
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom

EDGE = 125  # grey level (of 240) along which an enlarged sample is cut out
CONTRAST = 90  # least difference in luminance (of 255) between a stroke and its background


@dataclass(frozen=True)
class Samples:
    """Handwritten samples: uint8 images [N, 8, 8] with values 0..240, and the positions of each class."""

    images: Array
    positions: dict[int, list[int]]

    def pick(self, rng: Random, label: int) -> Array:
        """Return a random sample of a class, uint8 [8, 8]."""
        return self.images[rng.choice(self.positions[label])]


@cache
def load_samples(split: str) -> Samples:
    """Return the handwritten samples of `split`: of each class the first 3/4 are "train", the rest "val".

    The set is in its original order, in which the sequence of labels restarts about every 130 samples, as if each
    writer had filled one sheet. With the last quarter as "val", most of its sheets are not in "train".
    """
    table = _read_digits()
    images: list[Array] = []
    positions = {}
    for label in range(10):
        of_class = table[table[:, 64] == label, :64]
        border = len(of_class) * 3 // 4
        chosen = of_class[:border] if split == "train" else of_class[border:]
        positions[label] = list(range(len(images), len(images) + len(chosen)))
        images.extend(chosen)
    return Samples(np.reshape(images, (-1, 8, 8)) * np.uint8(15), positions)


@cache
def _read_digits() -> Array:
    """Return the table of load_digits, uint8 [1797, 65], without importing scikit-learn, which takes seconds."""
    package = find_spec("sklearn")
    assert package and package.submodule_search_locations, "scikit-learn is not installed"
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    return np.loadtxt(path, delimiter=",", dtype=np.uint8)


def draw_background(rng: Random, size: int) -> Image.Image:
    """Return a `size` x `size` RGB texture: smooth, dark coloured patches with finer grey noise."""
    hue, patches, grain = _noise(rng, 1, 1, 3), _noise(rng, 4, 4, 3), _noise(rng, 15, 15)
    coarse = Image.fromarray(hue // 3 + patches // 3).resize((size, size), Image.Resampling.BICUBIC)
    fine = Image.fromarray(grain).resize((size, size), Image.Resampling.BICUBIC).convert("RGB")
    return Image.blend(coarse, fine, 0.2)


def _noise(rng: Random, *shape: int) -> Array:
    return np.frombuffer(rng.randbytes(math.prod(shape)), dtype=np.uint8).reshape(shape)


def draw_stroke(rng: Random, cells: Array, scale: float) -> Image.Image:
    """Return the 8-bit coverage of `cells` (a sample or a part of one) enlarged `scale` times and cropped tightly."""
    height, width = cells.shape
    framed = np.zeros((height + 4, width + 4), dtype=np.uint8)
    framed[2:-2, 2:-2] = cells
    angle, shear, stretch = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15)
    cos, sin, wide = math.cos(angle), math.sin(angle), math.exp(stretch)
    # [[a, b], [c, d]] = scale * rotation * shear * stretch maps cells to pixels and scales areas by scale**2.
    a, b = scale * cos * wide, scale * (cos * shear - sin) / wide
    c, d = scale * sin * wide, scale * (sin * shear + cos) / wide
    canvas_width = math.ceil(abs(a) * (width + 2) + abs(b) * (height + 2))
    canvas_height = math.ceil(abs(c) * (width + 2) + abs(d) * (height + 2))
    inverse = (d / scale**2, -b / scale**2, -c / scale**2, a / scale**2)
    x0 = width / 2 + 2 - inverse[0] * canvas_width / 2 - inverse[1] * canvas_height / 2
    y0 = height / 2 + 2 - inverse[2] * canvas_width / 2 - inverse[3] * canvas_height / 2
    grey = Image.fromarray(framed).transform(
        (canvas_width, canvas_height),
        Image.Transform.AFFINE,
        (inverse[0], inverse[1], x0, inverse[2], inverse[3], y0),
        Image.Resampling.BICUBIC,
    )
    cover = Image.fromarray(_edge_table(round(scale, 1))[np.asarray(grey)])
    return cover.crop(cover.getbbox())


@cache
def _edge_table(scale: float) -> Array:
    """Return the lookup table from grey level to coverage; the edge is about a pixel wide."""
    return np.clip(128 + (np.arange(256) - EDGE) * scale, 0, 255).astype(np.uint8)


def draw_digit(rng: Random, cells: Array, area: float) -> Image.Image:
    """Return the coverage of the sample `cells`, enlarged until its ink fills about `area` square pixels."""
    framed = Image.fromarray(np.pad(cells, 2))
    grey = np.asarray(framed.resize((96, 96), Image.Resampling.BICUBIC))  # 8 px a cell
    return draw_stroke(rng, cells, math.sqrt(area / (np.count_nonzero(grey >= EDGE) / 64)))


def cut_fragments(rng: Random, samples: Samples, count: int, scales: Sequence[float]) -> list[Image.Image]:
    """Return `count` enlarged parts of random samples, 3 to 5 cells a side, partly ink and partly not."""
    fragments: list[Image.Image] = []
    while len(fragments) < count:
        row, column = rng.randrange(6), rng.randrange(6)
        piece = rng.choice(samples.images)[row : row + rng.randint(3, 5), column : column + rng.randint(3, 5)]
        if 60 < int(piece.sum()) / piece.size < 130:
            fragments.append(draw_stroke(rng, piece, rng.uniform(*scales)))
    return fragments


def paint(rng: Random, scene: Image.Image, cover: Image.Image, x: int, y: int) -> None:
    """Paint a stroke with its upper left corner at (x, y), in a random colour brighter than the background."""
    box = (x, y, x + cover.width, y + cover.height)
    ground = scene.resize((1, 1), Image.Resampling.BOX, _inside(box, scene))
    least = min(_luminance(ground.tobytes()) + CONTRAST, 225)
    colour = rng.randbytes(3)
    while _luminance(colour) < least:
        colour = rng.randbytes(3)
    scene.paste(tuple(colour), box, cover)


def _inside(box: Box, scene: Image.Image) -> Box:
    return max(box[0], 0), max(box[1], 0), min(box[2], scene.width), min(box[3], scene.height)


def _luminance(colour: bytes) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def add_clutter(rng: Random, scene: Image.Image, fragments: Sequence[Image.Image], amount: float) -> None:
    """Paint random fragments anywhere: half to one and a half times `amount` of them."""
    for _ in range(rng.randint(round(amount / 2), round(amount * 1.5))):
        fragment = rng.choice(fragments)
        paint(rng, scene, fragment, *draw_corner(rng, scene, fragment, outside=3))


def draw_corner(rng: Random, scene: Image.Image, cover: Image.Image, outside: int = 0) -> tuple[int, int]:
    """Return a random upper left corner that leaves at most `outside` pixels of a side beyond the scene."""
    x, y = scene.width - cover.width + outside, scene.height - cover.height + outside
    return rng.randint(-outside, max(x, 0)), rng.randint(-outside, max(y, 0))


def draw_single(
    rng: Random, size: int, digit: Image.Image, fragments: Sequence[Image.Image], clutter: float
) -> Image.Image:
    """Return a scene of `size` x `size` pixels with one digit on top of about `clutter` fragments."""
    scene = draw_background(rng, size)
    add_clutter(rng, scene, fragments, clutter)
    paint(rng, scene, digit, *draw_corner(rng, scene, digit))
    return scene


def draw_crowd(
    rng: Random,
    size: int,
    wanted: Sequence[tuple[Array, float]],
    fragments: Sequence[Image.Image],
    clutter: float,
    overlap: float,
) -> tuple[Image.Image, dict[int, Array]]:
    """Return a scene with several digits and, by their position in `wanted`, the masks of those that fit.

    `wanted` holds samples and their areas in square pixels. No two boxes share more than `overlap` of the
    smaller one. A digit that does not fit is made smaller, and finally left out. A mask, bool
    [size, size], shows the pixels of a digit that are at least half covered and not hidden by another digit.
    """
    scene = draw_background(rng, size)
    add_clutter(rng, scene, fragments, clutter)
    boxes: list[Box] = []
    masks: dict[int, Array] = {}
    smallest = min(area for _, area in wanted)
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i][1]):  # small digits on top of large ones
        cells, area = wanted[index]
        while area >= smallest or not masks:  # a scene has at least one digit
            digit = draw_digit(rng, cells, area)
            box = _find_place(rng, scene, digit, boxes, overlap)
            if box:
                paint(rng, scene, digit, box[0], box[1])
                mask = np.zeros((size, size), dtype=bool)
                mask[box[1] : box[3], box[0] : box[2]] = np.asarray(digit) >= 128
                masks = {other: hidden & ~mask for other, hidden in masks.items()} | {index: mask}
                boxes.append(box)
                break
            area *= 0.7
    return scene, masks


def _find_place(rng: Random, scene: Image.Image, digit: Image.Image, boxes: list[Box], overlap: float) -> Box | None:
    if digit.width > scene.width or digit.height > scene.height:
        return None
    for _ in range(30):
        x, y = draw_corner(rng, scene, digit)
        box = (x, y, x + digit.width, y + digit.height)
        if all(shared_part(box, other) <= overlap for other in boxes):
            return box
    return None


def shared_part(one: Box, other: Box) -> float:
    """Return the overlap of two boxes (left, top, right, bottom) as a fraction of the smaller one's area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(width, 0) * max(height, 0) / smaller
