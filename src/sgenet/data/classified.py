"""Preparation of real classified images: checks them and writes lists, defects and a manifest."""

import csv
import io
from pathlib import Path

from sgenet.config.scales import ImageData
from sgenet.config.tasks import Task
from sgenet.data import imagenet
from sgenet.data.checks import Found, Source
from sgenet.data.class_folders import Listing, list_folders
from sgenet.data.defects import Defect, check_splits, listing, settle, summary
from sgenet.data.folders import SPLITS, describe_files, fresh_folder
from sgenet.data.limits import pick, spread
from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.data.names import canonical, explain_forms
from sgenet.data.packed import PackedImages
from sgenet.errors import InputError
from sgenet.runtime.files import write_text

Row = tuple[str, int, Source]  # name in the list, label, source


def make_classification(folder: Path, settings: ImageData, root: Path, cache: Path, refused: Path) -> Manifest:
    """Check the images below `root` and write `folder` (replaced as a whole) for training; return the manifest.

    Args:
        folder: for train.csv, val.csv and defects.txt.
        settings: of the scale's `data.classification`.
        root: of the data.
        cache: file that caches the checks of the images.
        refused: file for the list of all defects, if the data are refused.

    Raises:
        InputError: data are missing or too few, or have defects that must not be skipped.
    """
    settings = _resolve(settings, root)
    found = _list(root, settings)
    classes = choose_classes(found, settings)
    rows = {split: _choose(found.splits[split], classes, settings, split) for split in SPLITS}
    defects = found.defects
    kept = _check(rows, cache, defects)
    settle(defects, "classification", settings.defects, refused)
    splits = {split: _count(kept[split], classes, split) for split in SPLITS}
    with fresh_folder(folder) as target:
        for split in SPLITS:
            write_text(target / f"{split}.csv", _table(kept[split], settings.source))
        write_text(target / "defects.txt", listing(defects))
        files, fingerprint = describe_files(target)
    return Manifest(
        task=Task.CLASSIFICATION,
        source=settings.source,
        fingerprint=fingerprint,
        settings=settings.model_dump(mode="json", exclude_none=True, exclude={"root"}),
        classes=classes,
        splits=splits,
        defects=summary(defects, settings.defects),
        rotated={split: sum(result.rotated for _, result in kept[split]) for split in SPLITS},
        remarks=found.remarks or None,
        files=files,
    )


def _check(rows: dict[str, list[Row]], cache: Path, defects: list[Defect]) -> dict[str, list[tuple[Row, Found]]]:
    """Return the usable images with their checks; a defect is appended to `defects` for each other one."""
    sources = {split: [source for _, _, source in rows[split]] for split in SPLITS}
    found, shared = check_splits(sources, cache, "classification", defects)
    return {
        split: [
            (row, result)
            for position, (row, result) in enumerate(zip(rows[split], found[split], strict=True))
            if not result.problem and not (split == "train" and position in shared)
        ]
        for split in SPLITS
    }


def _resolve(settings: ImageData, root: Path) -> ImageData:
    """Return the settings with the folders of the splits; for ImageNet, the default is the folder that exists."""
    given = settings.model_dump(include=set(SPLITS), exclude_none=True)
    folders = {split: _folder(root, settings, split) for split in SPLITS if split not in given}
    return settings.model_copy(update=folders | given)


def _folder(root: Path, settings: ImageData, split: str) -> str:
    if settings.source != "imagenet":
        return split
    names = imagenet.FOLDERS[split]
    for name in names:
        if (root / name).is_dir():
            return name
    found = f"found neither the folder {names[0]} nor {names[1]}"
    raise InputError(f"{root}: {found}, expected one of them with ILSVRC's images")


def _list(root: Path, settings: ImageData) -> Listing:
    places = {split: getattr(settings, split) for split in SPLITS}
    if settings.source == "packed":
        return _list_packed(root, places)
    return (imagenet.list_imagenet if settings.source == "imagenet" else list_folders)(root, places)


def _list_packed(root: Path, places: dict[str, str]) -> Listing:
    listing = Listing({})
    for split, name in places.items():
        images = PackedImages(root, name)
        status = images.path.stat()
        classes: dict[str, list[tuple[str, Source]]] = {name: [] for name in images.classes}
        if len(classes) < len(images.classes):
            raise InputError(f"{root / 'classes.txt'}: found a repeated name, expected unique names")
        for position, (offset, length, label) in enumerate(images.index.tolist()):
            source = Source(
                f"{name}.bin: image {position}", str(images.path), status.st_size, status.st_mtime_ns, offset, length
            )
            classes[images.classes[label]].append((str(position), source))
        listing.splits[split] = classes
    return listing


def choose_classes(found: Listing, settings: ImageData) -> list[str]:
    """Return the classes with training images; each class without images in a split is added to the defects."""

    def complain(kind: str, split: str, name: str, text: str) -> None:
        folder = getattr(settings, split)
        place = f"{folder}.bin: class " if settings.source == "packed" else f"{folder}/"
        place = f"{folder}: class " if split in found.flat else place
        found.defects.append(Defect(kind, f"{place}{name}: {text}"))

    for split, by_class in found.splits.items():
        for name, images in by_class.items():
            if not images:
                complain("empty class", split, name, "found no image, expected at least one")
    classes = [name for name, images in found.splits["train"].items() if images]
    known, alike = set(classes), {canonical(name): name for name in classes}
    text = f"found a class that has no images in {settings.train}, expected a class that has some"
    explained = set()
    for name, images in found.splits["val"].items():
        if images and name not in known:
            other = alike.get(canonical(name))
            explained.add(other)
            why = f", and {other} in {settings.train}: {explain_forms(name, other)}" if other else ""
            complain("class without training images", "val", name, text + why)
    for name in sorted(known - explained - found.splits["val"].keys()):
        complain("class without validation images", "val", name, "not found, expected every training class")
    return classes


def _choose(
    images: dict[str, list[tuple[str, Source]]], classes: list[str], settings: ImageData, split: str
) -> list[Row]:
    """Return the selected images of a split, by class and name."""
    limit = getattr(settings, f"{split}_images")
    if limit is not None and split == "train" and limit < len(classes):
        expected = f"expected at least one for each of the {len(classes)} classes"
        raise InputError(f"data.classification.train_images: found {limit}, {expected}")
    counts = [len(images.get(name, ())) for name in classes]
    rows = []
    for label, (name, count, share) in enumerate(zip(classes, counts, spread(counts, limit), strict=True)):
        selected = (images[name][position] for position in pick(count, share))
        rows += [(shown, label, source) for shown, source in selected]
    return rows


def _count(kept: list[tuple[Row, Found]], classes: list[str], split: str) -> SplitCounts:
    """Count the images of a split, in all and by class; InputError if a split or a class has no image left."""
    counts = [0] * len(classes)
    for (_, label, _), _ in kept:
        counts[label] += 1
    if not kept:
        raise InputError(f"data.classification: found no usable image in {split}, expected at least one")
    for name, count in zip(classes, counts, strict=True):
        if not count and split == "train":
            found = f"found no usable image of class {name} in train"
            raise InputError(f"data.classification: {found}, expected at least one")
    return SplitCounts(images=len(kept), per_class=dict(zip(classes, counts, strict=True)))


def _table(kept: list[tuple[Row, Found]], source: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["position" if source == "packed" else "path", "label", "size", "xxhash", "width", "height"])
    for (name, label, _), found in kept:
        writer.writerow([name, label, found.size, found.xxhash.hex(), found.width, found.height])
    return text.getvalue()
