"""Preparation of real detection data in COCO's format: checks it and writes lists, defects and a manifest."""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sgenet.config.scales import CocoData, Split
from sgenet.config.tasks import Task
from sgenet.data.checks import Found, Source
from sgenet.data.coco_fields import Annotation, ImageEntry, is_crowd
from sgenet.data.coco_format import (
    TRAINING,
    AnnotationFile,
    Indexed,
    check_counts,
    existing_images,
    image_of,
    read_annotations,
)
from sgenet.data.coco_objects import refuse_normalised
from sgenet.data.coco_use import check_use, remarks
from sgenet.data.defects import Defect, check_splits, listing, settle, summary
from sgenet.data.folders import SPLITS, describe_file, describe_files, fresh_folder
from sgenet.data.limits import pick
from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.data.names import canonical, explain_forms
from sgenet.data.sizes import SIZES, size_of
from sgenet.errors import InputError
from sgenet.runtime.files import write_text

_LARGEST_CATEGORY = 2**53  # the manifest contains no larger number
Checked = list[tuple[ImageEntry, Found]]


def make_detection(folder: Path, settings: CocoData, root: Path, cache: Path, refused: Path) -> Manifest:
    """Check annotations and images below `root` and write `folder` (replaced as a whole) for training.

    Args:
        folder: for train.csv, val.csv and defects.txt, and annotations/{split}.json if not all of the data's own JSON
            file is used.
        settings: of the scale's `data.detection`.
        root: of the data.
        cache: file that caches the checks of the images.
        refused: file for the list of all defects, if the data are refused.

    Returns:
        the manifest.

    Raises:
        InputError: data are missing or too few, or have defects that must not be skipped.
    """
    defects = list[Defect]()
    splits: dict[str, Split] = {split: getattr(settings, split) for split in SPLITS}
    contents = {split: _read(root, split, at) for split, at in splits.items()}
    _check_categories(contents["train"], contents["val"])
    images: dict[str, list[ImageEntry]] = {}
    objects: dict[str, list[Annotation]] = {}
    for split, content in contents.items():
        chosen, of_chosen = _limit(content, getattr(settings, f"{split}_images"))
        refuse_normalised(content.name, content.annotations)
        if split == "val":
            check_counts(content.name, len(content.categories), len(chosen))
        valid, shown = content.check_images(chosen, defects.append), splits[split].images
        images[split] = list(existing_images(valid, root / shown, shown, defects.append))
        objects[split] = list(content.check_annotations(of_chosen, defects.append))
    if not defects:  # otherwise they are the reason, and are listed below
        check_use(images, objects, defects)
    kept = _check_files(images, root, splits, cache, defects)
    settle(defects, "detection", settings.defects, refused)
    for split in SPLITS:
        images[split] = [entry for entry, _ in kept[split]]
        known = {entry["id"] for entry in images[split]}
        objects[split] = [entry for entry in objects[split] if entry["image_id"] in known]
    check_use(images, objects, defects)
    names = contents["train"].categories
    with fresh_folder(folder) as target:
        used = []
        for split in SPLITS:
            write_text(target / f"{split}.csv", _table(kept[split]))
            whole, name = contents[split], splits[split].annotations
            complete = images[split] == whole.images and objects[split] == whole.annotations
            if complete and not _has_mark(root / name):
                used.append(describe_file(root / name, name))
            else:
                part = {**whole.content, "images": images[split], "annotations": objects[split]}
                write_text(target / "annotations" / f"{split}.json", json.dumps(part) + "\n")
        write_text(target / "defects.txt", listing(defects))
        files, fingerprint = describe_files(target, *used)
    return Manifest(
        task=Task.DETECTION,
        source="coco",
        fingerprint=fingerprint,
        settings=settings.model_dump(mode="json", exclude_none=True, exclude={"root"}),
        classes=list(names.values()),
        category_ids=list(names),
        masks=all(entry.get("segmentation") for split in SPLITS for entry in objects[split]),
        area_limits=settings.area_limits,
        splits={split: _count(kept[split], objects[split], names, settings.area_limits) for split in SPLITS},
        defects=summary(defects, settings.defects),
        rotated={split: sum(found.rotated for _, found in kept[split]) for split in SPLITS},
        remarks=remarks(images, objects, {split: contents[split].annotations for split in SPLITS}) or None,
        files=files,
    )


def _read(root: Path, split: str, at: Split) -> AnnotationFile:
    folder = root / at.images
    if not folder.is_dir():
        key = f"`images` of data.detection.{split} in the scale"
        raise InputError(f"{folder}: not found, expected the folder of the images of {at.annotations} ({key})")
    return read_annotations(root / at.annotations, at.annotations, TRAINING)


def _has_mark(path: Path) -> bool:
    """Return whether a file begins with a byte order mark, which mmdet cannot read."""
    with open(path, "rb") as file:
        return file.read(3) == codecs.BOM_UTF8


def _check_categories(train: AnnotationFile, val: AnnotationFile) -> None:
    """Check that ids and names of the categories are equal in both splits; their order may differ."""
    for number in sorted(train.categories.keys() | val.categories.keys()):
        expected, found = (repr(of[number]) if number in of else "none" for of in (train.categories, val.categories))
        if found != expected:
            text = f"{val.name}: categories: id {number}: found {found}, expected {expected} as in {train.name}"
            both = [of.get(number, "") for of in (val.categories, train.categories)]
            raise InputError(text + (f" ({explain_forms(*both)})" if len(set(map(canonical, both))) == 1 else ""))
        if number > _LARGEST_CATEGORY:
            raise InputError(f"{train.name}: categories: found the id {number}, expected at most {_LARGEST_CATEGORY}")


def _limit(content: AnnotationFile, limit: int | None) -> tuple[list[Indexed], list[Indexed]]:
    """Return at most `limit` evenly spaced images, and the annotations without those of the other images."""
    images, annotations = list(enumerate(content.images)), list(enumerate(content.annotations))
    if limit is None or limit >= len(images):
        return images, annotations
    chosen = [images[position] for position in pick(len(images), limit)]
    left_out = content.sizes.keys() - {entry["id"] for _, entry in chosen if isinstance(entry, dict)}
    return chosen, [(index, entry) for index, entry in annotations if image_of(entry) not in left_out]


def _check_files(
    images: dict[str, list[ImageEntry]], root: Path, splits: dict[str, Split], cache: Path, defects: list[Defect]
) -> dict[str, Checked]:
    """Return the usable images with their checks; a defect is appended to `defects` for each other one."""
    sources = {split: [_source(root, at.images, image) for image in images[split]] for split, at in splits.items()}
    found, shared = check_splits(sources, cache, "detection", defects)
    kept: dict[str, Checked] = {}
    for split, at in splits.items():
        kept[split] = []
        rows = zip(images[split], sources[split], found[split], strict=True)
        for position, (entry, source, result) in enumerate(rows):
            fits = result.problem or (entry["width"], entry["height"]) == (result.width, result.height)
            if not fits:
                place = f"{at.annotations}: images: id {entry['id']}"
                defects.append(Defect("size of an image", f"{place}: {_misfit(entry, source, result)}"))
            elif not result.problem and not (split == "train" and position in shared):
                kept[split].append((entry, result))
    return kept


def _source(root: Path, folder: str, entry: ImageEntry) -> Source:
    path = root / folder / entry["file_name"]
    status = path.stat()
    return Source(f"{folder}/{entry['file_name']}", str(path), status.st_size, status.st_mtime_ns)


def _misfit(entry: ImageEntry, source: Source, found: Found) -> str:
    stated, real = f"{entry['width']} x {entry['height']}", f"{found.width} x {found.height}"
    turned = found.rotated and (entry["height"], entry["width"]) == (found.width, found.height)
    why = " (rotated by its EXIF orientation, as in training)" if turned else ""
    return f"found {stated} pixels, expected the {real} of {source.name}{why}"


def _count(kept: Checked, objects: list[Annotation], names: dict[int, str], limits: Sequence[float]) -> SplitCounts:
    classes = Counter(entry["category_id"] for entry in objects)
    sizes = Counter(size_of(entry["area"], limits) for entry in objects)
    return SplitCounts(
        images=len(kept),
        objects=len(objects),
        crowds=sum(map(is_crowd, objects)),
        per_class={name: classes[number] for number, name in names.items()},
        per_size={size: sizes[size] for size in SIZES},
    )


def _table(kept: Checked) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "size", "xxhash", "width", "height"])
    for entry, found in kept:
        writer.writerow([entry["file_name"], found.size, found.xxhash.hex(), found.width, found.height])
    return text.getvalue()
