"""`sgenet predict WEIGHTS FOLDER`: classes, or detections with pictures, of images that belong to no prepared data."""

import csv
import io
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from PIL import Image

from sgenet.data.class_folders import Listing, list_files
from sgenet.data.coco_fields import Detection, ImageEntry
from sgenet.data.drawing import Place, draw_frame, draw_tag
from sgenet.data.folders import fresh_folder
from sgenet.data.images import read_image
from sgenet.data.progress import progress
from sgenet.errors import InputError
from sgenet.pipeline.trained import Trained, read_trained
from sgenet.runtime.files import to_json, write_text
from sgenet.training import devices

CSV, LEFT_OUT = "predictions.csv", "left_out.txt"
DETECTIONS, IMAGES, PICTURES = "detections.json", "images.json", "pictures"
LEAST_SCORE, MOST, LONGEST = 0.3, 100, 1024  # of an image: detections that are drawn, and its longer side in pixels
_SHOWN = 10  # files that cannot be read, on the terminal
# Okabe and Ito's palette, distinguishable with every kind of colour vision
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
Item = TypeVar("Item")


class _Files:
    """The files of a folder, and those of them that were left out because they cannot be read."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(
                f"{folder}: {'found a file' if folder.exists() else 'not found'}, expected a folder of images"
            )
        listing, whole = Listing({}), folder.resolve()
        self.folder, self.names = folder, list(list_files(whole.parent, whole.name, listing))
        self.left_out = [f"{folder.parent}/{defect.text}" for defect in listing.defects]
        if not self.names:
            raise InputError(f"{folder}: found no file, expected images")

    def read(self, reader: Callable[[Path], Item]) -> Iterator[tuple[str, Item]]:
        """Yield name and content of each file that can be read, with progress."""
        for name in progress(self.names, "predictions", "image", len(self.names)):
            try:
                yield name, reader(self.folder / name)
            except InputError as error:
                self.left_out.append(str(error))
                if len(self.left_out) <= _SHOWN:
                    print(f"sgenet: left out: {error}", file=sys.stderr, flush=True)


def predict(weights: Path, folder: Path, out: Path, device: str = "auto") -> tuple[str, bool]:
    """Predict every image in a folder, and write a new folder, completely or not at all.

    A classifier writes `predictions.csv`. A detector writes `detections.json` (COCO's result format), `images.json`
    (its images and categories), and `pictures/` with the boxes. Files that cannot be read are left out, and listed in
    `left_out.txt`.

    Args:
        weights: of a training, with training.json in the same folder.
        folder: of images, also in subfolders.
        out: a new or empty folder.
        device: `cpu`, `cuda` or `auto`.

    Returns:
        a line that describes the result, and whether every file was read.

    Raises:
        InputError: the weights or folders cannot be used, or no image can be read.
    """
    trained, files = read_trained(weights), _Files(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: found a file or a folder with files, expected a new or empty folder (--out)")
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out}: is inside {folder}, expected a folder outside it (--out)")
    device = devices.acquire(device)
    act = _classify if trained.run.detector is None else _detect
    with fresh_folder(out) as target:
        count = act(trained, weights, files, target, device)
        if not count:
            raise InputError(f"{folder}: found no image that can be read: {files.left_out[0]}")
        if files.left_out:
            write_text(target / LEFT_OUT, "\n".join(files.left_out) + "\n")
    left_out = f"; {len(files.left_out):,} files were left out, see {out / LEFT_OUT}" if files.left_out else ""
    return f"{out}: {count:,} images, {trained.run.id}{left_out}", not files.left_out


def _classify(trained: Trained, weights: Path, files: _Files, target: Path, device: str) -> int:
    from sgenet.classification.predict import predict
    from sgenet.data.tensors import read_tensor

    classes, count = trained.classes, 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{key}{place}" for place in ("", *(f"_{k}" for k in range(2, 6))) for key in ("class", "probability")]
    writer.writerow(["file", *head[: 2 * min(5, len(classes))]])
    images = files.read(read_tensor)
    for name, best in predict(trained.run, len(classes), images, weights=weights, device=device):
        writer.writerow([name, *(cell for label, share in best for cell in (classes[label], f"{share:.6f}"))])
        count += 1
    write_text(target / CSV, text.getvalue())
    return count


def _detect(trained: Trained, weights: Path, files: _Files, target: Path, device: str) -> int:
    from sgenet.detection.predict import predict

    images: list[ImageEntry] = []
    waiting = deque[tuple[str, Image.Image]]()  # read, and not yet processed

    def read() -> Iterator[tuple[int, Path]]:
        for name, image in files.read(read_image):
            waiting.append((name, image))
            images.append({"id": len(images) + 1, "file_name": name, "width": image.width, "height": image.height})
            yield len(images), files.folder / name

    names = dict(zip(trained.category_ids, trained.classes, strict=True))
    detections: list[Detection] = []
    for found in predict(trained.run, trained.manifest, read(), weights=weights, device=device):
        detections += found
        name, image = waiting.popleft()
        path = target / PICTURES / (name if name.lower().endswith((".jpg", ".jpeg")) else f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(image, found, names).save(path, quality=90)
    write_text(target / DETECTIONS, to_json(detections))
    categories = [{"id": number, "name": name} for number, name in names.items()]
    write_text(target / IMAGES, to_json({"images": images, "categories": categories}))
    return len(images)


def draw(image: Image.Image, detections: list[Detection], names: dict[int, str]) -> Image.Image:
    """Return an image with its detections: the best ones over those with a lower score, each with class and score."""
    scene = image.copy()
    scene.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    zoom = scene.width / image.width
    order, taken = list(names), list[Place]()
    best = sorted((one for one in detections if one["score"] >= LEAST_SCORE), key=lambda one: -one["score"])[:MOST]
    colours = [_COLOURS[order.index(one["category_id"]) % len(_COLOURS)] for one in best]
    for one, colour in reversed([*zip(best, colours, strict=True)]):
        draw_frame(scene, one["bbox"], colour, zoom)
    for one, colour in zip(best, colours, strict=True):
        text = f"{names[one['category_id']]} {one['score']:.2f}"
        taken.append(draw_tag(scene, one["bbox"], text, colour, zoom, taken))
    return scene
