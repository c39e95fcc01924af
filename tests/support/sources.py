"""Small made-up data sets in every form."""

import builtins
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image


class Source:
    """A folder of data to put images and files into; every image is another one."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0
        root.mkdir()

    def image(self, path: str, size: tuple[int, int] = (8, 6), **save: Any) -> Path:
        """Write a random image; returns its path."""
        self.count += 1
        pixels = np.random.default_rng(self.count).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return self.bytes(path, encode(Image.fromarray(pixels), **{"format": "PNG", **save}))

    def bytes(self, path: str, content: builtins.bytes) -> Path:
        """Write a file below the root; returns its path."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def folders(self, **classes: int) -> Self:
        """Image folders: train_cat=3 puts three images into train/cat."""
        for place, count in classes.items():
            split, _, name = place.partition("_")
            (self.root / split / name).mkdir(parents=True)
            for number in range(count):
                self.image(f"{split}/{name}/{number}.png")
        return self

    def coco(self, size: tuple[int, int] = (40, 32)) -> Self:
        """Two training images and one for validation, an object each; category ids have gaps."""
        for split, names in (("train", ["a.png", "b.png"]), ("val", ["c.png"])):
            images: list[dict[str, Any]] = []
            objects: list[dict[str, Any]] = []
            for number, name in enumerate(names, 1):
                self.image(f"{split}2017/{name}", size=size)
                images.append({"id": 10 * number, "file_name": name, "width": size[0], "height": size[1]})
                objects.append({
                    "id": number, "image_id": 10 * number, "category_id": 7, "bbox": [4, 5, 10, 20], "area": 200,
                    "iscrowd": 0, "segmentation": [[4, 5, 14, 5, 14, 25, 4, 25]],
                })  # fmt: skip
            categories = [{"id": 7, "name": "cell"}, {"id": 3, "name": "dot"}]
            self.annotations(split, {"images": images, "annotations": objects, "categories": categories})
        return self

    def annotations(self, split: str, content: dict[str, Any]) -> None:
        """Write a split's annotations, a dictionary in COCO's form."""
        self.bytes(f"annotations/instances_{split}2017.json", json.dumps(content).encode())

    def edit(self, split: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Let `change` alter a split's annotations."""
        content = json.loads((self.root / f"annotations/instances_{split}2017.json").read_text())
        change(content)
        self.annotations(split, content)


def encode(image: Image.Image, **save: Any) -> bytes:
    """The bytes of an image file; `save` are arguments of PIL's `save`, such as `format`."""
    file = io.BytesIO()
    image.save(file, **save)
    return file.getvalue()


def mmdet_set(annotations: Path, images: Path, classes: list[str]) -> Any:
    """mmdet's data set of an annotation file, with the filters of its own configs; no image is read."""
    from sgenet.detection import ops

    ops.install()
    from mmdet.datasets import CocoDataset

    filters = {"filter_empty_gt": True, "min_size": 32}
    return CocoDataset(
        ann_file=str(annotations),
        data_prefix={"img": str(images)},
        metainfo={"classes": tuple(classes)},
        filter_cfg=filters,
        pipeline=[],
    )
