"""Preparation of real detection data in COCO's format: checks it and writes lists, defects and a manifest."""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sgenet.config.scales import CocoData
from sgenet.data import annotations
from sgenet.data.annotations import Entry
from sgenet.data.checks import Found, Source
from sgenet.data.defects import Defect, check_splits, first_of, listing, refuse, summary
from sgenet.data.folders import SPLITS, describe_file, describe_files, fresh_folder
from sgenet.data.limits import pick
from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.data.sizes import SIZES, size_of
from sgenet.errors import InputError
from sgenet.runtime.files import write_text

Checked = list[tuple[Entry, Found]]


def make_detection(folder: Path, settings: CocoData, root: Path, cache: Path) -> Manifest:
    """Check annotations and images below `root` and write `folder` (replaced as a whole) for training.

    Args:
        folder: for train.csv, val.csv and defects.txt, and annotations/{split}.json if not all of the data's own JSON
            file is used.
        settings: of the scale's `data.detection`.
        root: of the data.
        cache: file that caches the checks of the images.

    Returns:
        the manifest.

    Raises:
        InputError: data are missing or too few, or have defects that must not be skipped.
    """
    defects = list[Defect]()
    whole = {split: _read(root, settings, split) for split in SPLITS}
    _check_categories(whole, settings)
    taken = {split: _limit(whole[split], getattr(settings, f"{split}_images")) for split in SPLITS}
    images, objects = {}, {}
    for split in SPLITS:
        name, shown = getattr(settings, split).annotations, getattr(settings, split).images
        images[split] = annotations.check_images(taken[split], name, root / shown, shown, defects)
        objects[split] = annotations.check_objects(taken[split], name, defects)
    kept = _check_files(images, root, settings, cache, defects)
    refuse(defects, "detection", settings.defects)
    for split in SPLITS:
        known = {entry["id"] for entry, _ in kept[split]}
        objects[split] = [entry for entry in objects[split] if entry["image_id"] in known]
        if not kept[split]:
            found = f"found no usable image in {split}, expected at least one"
            raise InputError(f"data.detection: {found}{first_of(defects)}")
    if all(entry.get("iscrowd") for entry in objects["train"]):
        raise InputError(
            "data.detection: found no usable object in train, expected at least one besides crowds" + first_of(defects)
        )
    categories = whole["train"]["categories"]
    names = {entry["id"]: entry["name"] for entry in categories}
    with fresh_folder(folder) as target:
        used = []
        for split in SPLITS:
            write_text(target / f"{split}.csv", _table(kept[split]))
            part = {**whole[split], "images": [entry for entry, _ in kept[split]], "annotations": objects[split]}
            name = getattr(settings, split).annotations
            complete = all(len(part[key]) == len(whole[split][key]) for key in ("images", "annotations"))
            if complete and not _has_mark(root / name):
                used.append(describe_file(root / name, name))
            else:
                write_text(target / "annotations" / f"{split}.json", json.dumps(part) + "\n")
        write_text(target / "defects.txt", listing(defects))
        files, fingerprint = describe_files(target, *used)
    return Manifest(
        task="detection",
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
        files=files,
    )


def _read(root: Path, settings: CocoData, split: str) -> Entry:
    name, folder = getattr(settings, split).annotations, root / getattr(settings, split).images
    if not folder.is_dir():
        key = f"`images` of data.detection.{split} in the scale"
        raise InputError(f"{folder}: not found, expected the folder of the images of {name} ({key})")
    return annotations.read_annotations(root / name, name)


def _has_mark(path: Path) -> bool:
    """Return whether a file begins with a byte order mark, which mmdet cannot read."""
    with open(path, "rb") as file:
        return file.read(3) == codecs.BOM_UTF8


def _check_categories(contents: dict[str, Entry], settings: CocoData) -> None:
    """Check that ids and names of the categories are equal in both splits; their order may differ."""
    train, val = ({entry["id"]: entry["name"] for entry in contents[split]["categories"]} for split in SPLITS)
    for number in sorted(train.keys() | val.keys()):
        if train.get(number) != val.get(number):
            place = f"{settings.val.annotations}: categories"
            found, expected = (repr(names[number]) if number in names else "none" for names in (val, train))
            other = settings.train.annotations
            raise InputError(f"{place}: id {number}: found {found}, expected {expected} as in {other}")


def _limit(content: Entry, limit: int | None) -> Entry:
    """Return at most `limit` evenly spaced images, without the annotations of the others."""
    images = content["images"]
    if limit is None or limit >= len(images):
        return content
    chosen = set(pick(len(images), limit))
    left_out = {
        entry["id"]
        for position, entry in enumerate(images)
        if position not in chosen and isinstance(entry, dict) and isinstance(entry.get("id"), int)
    }
    objects = [
        entry
        for entry in content["annotations"]
        if not (isinstance(entry, dict) and isinstance(entry.get("image_id"), int) and entry["image_id"] in left_out)
    ]
    return {**content, "images": [images[position] for position in sorted(chosen)], "annotations": objects}


def _check_files(
    images: dict[str, list[Entry]], root: Path, settings: CocoData, cache: Path, defects: list[Defect]
) -> dict[str, Checked]:
    """Return the usable images with their checks; a defect is appended to `defects` for each other one."""
    sources = {
        split: [_source(root, getattr(settings, split).images, entry) for entry in images[split]] for split in SPLITS
    }
    found, shared = check_splits(sources, cache, "detection", defects)
    kept: dict[str, Checked] = {}
    for split in SPLITS:
        kept[split] = []
        for position, (entry, source, result) in enumerate(
            zip(images[split], sources[split], found[split], strict=True)
        ):
            fits = result.problem or (entry["width"], entry["height"]) == (result.width, result.height)
            if not fits:
                place = f"{getattr(settings, split).annotations}: images: id {entry['id']}"
                defects.append(Defect("size of an image", f"{place}: {_misfit(entry, source, result)}"))
            elif not result.problem and not (split == "train" and position in shared):
                kept[split].append((entry, result))
    return kept


def _source(root: Path, folder: str, entry: Entry) -> Source:
    path = root / folder / entry["file_name"]
    status = path.stat()
    return Source(f"{folder}/{entry['file_name']}", str(path), status.st_size, status.st_mtime_ns)


def _misfit(entry: Entry, source: Source, found: Found) -> str:
    stated, real = f"{entry['width']} x {entry['height']}", f"{found.width} x {found.height}"
    turned = found.rotated and (entry["height"], entry["width"]) == (found.width, found.height)
    why = " (rotated by its EXIF orientation, as in training)" if turned else ""
    return f"found {stated} pixels, expected the {real} of {source.name}{why}"


def _count(kept: Checked, objects: list[Entry], names: dict[int, str], limits: Sequence[float]) -> SplitCounts:
    classes = Counter(entry["category_id"] for entry in objects)
    sizes = Counter(size_of(entry["area"], limits) for entry in objects)
    return SplitCounts(
        images=len(kept),
        objects=len(objects),
        crowds=sum(bool(entry.get("iscrowd")) for entry in objects),
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
