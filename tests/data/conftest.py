"""Small made-up data sets in every form, and what `prepare` makes of them."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from sgenet.data.prepare import make_data


class Source:
    """A folder of data to put images and files into; every image is another one."""

    def __init__(self, root):
        self.root, self.count = root, 0
        root.mkdir()

    def image(self, path, size=(8, 6), **save):
        """Write a random image; returns its path."""
        self.count += 1
        pixels = np.random.default_rng(self.count).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return self.bytes(path, encode(Image.fromarray(pixels), **{"format": "PNG", **save}))

    def bytes(self, path, content):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def folders(self, **classes):
        """Image folders: train_cat=3 puts three images into train/cat."""
        for place, count in classes.items():
            split, _, name = place.partition("_")
            (self.root / split / name).mkdir(parents=True)
            for number in range(count):
                self.image(f"{split}/{name}/{number}.png")
        return self

    def coco(self, size=(40, 30)):
        """Two training images and one for validation, an object each; category ids have gaps."""
        for split, names in (("train", ["a.png", "b.png"]), ("val", ["c.png"])):
            images, objects = [], []
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

    def annotations(self, split, content):
        self.bytes(f"annotations/instances_{split}2017.json", json.dumps(content).encode())

    def edit(self, split, change):
        """Let `change` alter a split's annotations."""
        content = json.loads((self.root / f"annotations/instances_{split}2017.json").read_text())
        change(content)
        self.annotations(split, content)


def encode(image, **save):
    file = io.BytesIO()
    image.save(file, **save)
    return file.getvalue()


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


@pytest.fixture
def prepare(source, tmp_path):
    """Prepare the source into `prepare.folder`; returns the manifest."""

    def run(kind, **settings):
        task = "detection" if kind == "coco" else "classification"
        settings = {"source": kind, "root": str(source.root), **settings}
        return make_data(task, run.folder, settings, f"data.{task}.root", tmp_path / "state/known.sqlite")

    run.folder = tmp_path / "made"
    return run
