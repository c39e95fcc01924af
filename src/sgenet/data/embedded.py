"""The embedded data: generated scenes of handwritten digits, for classification and detection.

They need no download. The same settings give the same bytes. Training and validation scenes, their distractors
included, are drawn from different handwritten samples.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from sgenet.config.scales import EmbeddedImages, EmbeddedScenes
from sgenet.config.tasks import Task
from sgenet.data import scenes
from sgenet.data.folders import SPLITS, describe_files, fresh_folder
from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.data.packed import write_classes, write_packed
from sgenet.data.progress import progress
from sgenet.data.sizes import SIZES, size_of
from sgenet.runtime.files import write_json

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

FRAGMENTS = 600  # distinct stroke fragments of a split


def make_classification(folder: Path, settings: EmbeddedImages) -> Manifest:
    """Write packed scenes of one digit each as `folder` (replaced as a whole); return the manifest."""
    splits: dict[str, SplitCounts] = {}
    with fresh_folder(folder) as target:
        write_classes(target, CLASSES)
        for split in SPLITS:
            labels = _deck(_rng(settings, split, "labels"), getattr(settings, f"{split}_images"), range(len(CLASSES)))
            write_packed(target, split, _single_scenes(settings, split, labels), labels)
            per_class = _count((CLASSES[label] for label in labels), CLASSES)
            splits[split] = SplitCounts(images=len(labels), per_class=per_class)
        return _manifest(settings, splits, target)


def make_detection(folder: Path, settings: EmbeddedScenes) -> Manifest:
    """Write annotated scenes of several digits as `folder` (replaced as a whole); return the manifest."""
    splits: dict[str, SplitCounts] = {}
    with fresh_folder(folder) as target:
        for split in SPLITS:
            (target / split).mkdir()
            coco = _coco(settings)
            for image, masks in _crowd_scenes(settings, split):
                _add_scene(coco, target / split, image, masks)
            write_json(target / "annotations" / f"{split}.json", coco)
            splits[split] = _summary(coco, settings.area_limits)
        return _manifest(settings, splits, target)


def _single_scenes(settings: EmbeddedImages, split: str, labels: Sequence[int]) -> Iterator[Image.Image]:
    samples = scenes.load_samples(split)
    scales = [height / 8 for height in settings.digit_height]
    fragments = scenes.cut_fragments(_rng(settings, split, "fragments"), samples, FRAGMENTS, scales)
    for index, label in enumerate(progress(labels, f"classification, {split}", "scene", len(labels))):
        rng = _rng(settings, split, f"scene {index}")
        digit = scenes.draw_stroke(rng, samples.pick(rng, label), rng.uniform(*scales))
        yield scenes.draw_single(rng, settings.image_size, digit, fragments, settings.clutter)


def _crowd_scenes(settings: EmbeddedScenes, split: str) -> Iterator[tuple[Image.Image, list[tuple[int, scenes.Array]]]]:
    """Yield every scene with the labels and masks of its digits; labels and sizes are balanced."""
    samples, areas = scenes.load_samples(split), settings.areas
    low, high = settings.objects
    counts = _deck(_rng(settings, split, "counts"), getattr(settings, f"{split}_images"), range(low, high + 1))
    labels = iter(_deck(_rng(settings, split, "labels"), sum(counts), range(len(CLASSES))))
    sizes = iter(_deck(_rng(settings, split, "sizes"), sum(counts), range(len(SIZES))))
    # A cell of a fragment is as large as that of a digit with 25 cells of ink, a usual number.
    scales = [math.sqrt(area / 25) for area in settings.area_range]
    fragments = scenes.cut_fragments(_rng(settings, split, "fragments"), samples, FRAGMENTS, scales)
    for index, count in enumerate(progress(counts, f"detection, {split}", "scene", len(counts))):
        rng = _rng(settings, split, f"scene {index}")
        chosen = [(next(labels), next(sizes)) for _ in range(count)]
        wanted = [
            (
                samples.pick(rng, label),
                math.exp(rng.uniform(math.log(areas[size]), math.log(areas[size + 1]))),
            )
            for label, size in chosen
        ]
        image, masks = scenes.draw_crowd(
            rng, settings.image_size, wanted, fragments, settings.clutter, settings.overlap
        )
        yield image, [(chosen[position][0], mask) for position, mask in sorted(masks.items())]


def _coco(settings: EmbeddedScenes) -> dict[str, Any]:
    return {
        "info": {"description": "sgenet's embedded digits", "area_limits": list(settings.area_limits)},
        "images": [],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)],
        "annotations": [],
    }


def _add_scene(coco: dict[str, Any], folder: Path, image: Image.Image, masks: list[tuple[int, scenes.Array]]) -> None:
    """Save the image and append its entry and those of its objects to `coco`."""
    from pycocotools import mask as coding

    image_id = len(coco["images"]) + 1
    name = f"{image_id:06d}.png"
    image.save(folder / name)
    coco["images"].append({"id": image_id, "file_name": name, "width": image.width, "height": image.height})
    for label, mask in masks:
        code = coding.encode(np.asfortranarray(mask, dtype=np.uint8))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": label + 1,
                "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                "area": int(mask.sum()),
                "segmentation": {"size": list(mask.shape), "counts": code["counts"].decode()},
                "iscrowd": 0,
            }
        )


def _summary(coco: dict[str, Any], limits: Sequence[float]) -> SplitCounts:
    objects = coco["annotations"]
    return SplitCounts(
        images=len(coco["images"]),
        objects=len(objects),
        per_class=_count((CLASSES[item["category_id"] - 1] for item in objects), CLASSES),
        per_size=_count((size_of(item["area"], limits) for item in objects), SIZES),
    )


def _manifest(settings: EmbeddedImages | EmbeddedScenes, splits: dict[str, SplitCounts], folder: Path) -> Manifest:
    files, fingerprint = describe_files(folder)
    detection = isinstance(settings, EmbeddedScenes)
    return Manifest(
        task=Task.DETECTION if detection else Task.CLASSIFICATION,
        source=settings.source,
        fingerprint=fingerprint,
        settings=settings.plain(),
        classes=list(CLASSES),
        category_ids=[label + 1 for label in range(len(CLASSES))] if detection else None,
        masks=True if detection else None,
        area_limits=settings.area_limits if isinstance(settings, EmbeddedScenes) else None,
        splits=splits,
        files=files,
    )


def _rng(settings: EmbeddedImages | EmbeddedScenes, split: str, use: str) -> Random:
    """Return the random generator for one use, such as a scene; it is independent of all earlier draws."""
    return Random(f"{settings.seed} {split} {use}")


def _deck(rng: Random, count: int, values: Sequence[int]) -> list[int]:
    """Return `count` values in random order, each of `values` equally often (to within one)."""
    deck = [values[position % len(values)] for position in range(count)]
    rng.shuffle(deck)
    return deck


def _count(items: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    counts = Counter(items)
    return {name: counts[name] for name in names}
