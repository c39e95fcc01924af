"""The manifest of prepared data: data/<scale>/<task>.json."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from sgenet.config.model import Count, Model, Pair, validate
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.provenance.results import DataOrigin, Identity
from sgenet.runtime.files import read_json

_SPLITS = ("train", "val")


class SplitCounts(Model):
    """Counts of a split."""

    images: Count = Field(description="images")
    objects: Count | None = Field(None, description="detection: objects, crowds included")
    crowds: Count | None = Field(None, description="detection: crowd regions")
    per_class: dict[str, Count] = Field({}, description="images (detection: objects) of each class")
    per_size: dict[str, Count] | None = Field(None, description="detection: small, medium and large objects")


class DefectCounts(Model):
    """Number of defects that were found."""

    policy: Literal["strict", "skip"] = Field(description="as in the scale")
    by_kind: dict[str, Count] = Field(description="number of defects by kind")


class DataFile(Model):
    """A file of the data."""

    path: str = Field(description="relative to the folder of the data, or to their root")
    size: Count = Field(description="bytes")
    xxhash: str = Field(description="xxh3_128 digest")


class Manifest(Model):
    """What the prepared data of a task are."""

    accepts_null: ClassVar[bool] = True
    model_config = ConfigDict(extra="ignore")  # of later versions

    task: Task = Field(strict=False, description="the task")
    source: str = Field(description="as in the scale")
    fingerprint: str = Field(description="one digest of all files")
    settings: dict[str, Any] = Field(description="of the scale's data, without root")
    classes: list[str] = Field(min_length=1, description="names, in the order of the labels")
    category_ids: list[Count] | None = Field(None, description="detection: COCO's ids of the classes")
    masks: bool | None = Field(None, description="detection: whether every object has one")
    area_limits: Pair | None = Field(
        None, description="detection: largest small and largest medium object, in square pixels"
    )
    splits: dict[str, SplitCounts] = Field(description="counts of train and val")
    defects: DefectCounts | None = Field(None, description="of real data: defects that were found")
    rotated: dict[str, Count] | None = Field(None, description="of real data: images that EXIF rotates")
    remarks: list[str] | None = Field(
        None, description="of real data: what training or evaluation does not use, though it is valid, with its count"
    )
    files: list[DataFile] = Field(description="every file that the fingerprint covers")
    identity: Identity | None = Field(None, description="what decided the data; see sgenet.provenance.identity")
    root: SkipJsonSchema[Path | None] = Field(None, exclude=True, description="folder of real data; not in the file")

    @classmethod
    def of_classes(cls, classes: list[str]) -> "Manifest":
        """Return the manifest of detection data without images, to build a model for these classes."""
        splits = {split: SplitCounts(images=0) for split in _SPLITS}
        return cls(
            task=Task.DETECTION,
            source="embedded",
            fingerprint="",
            settings={},
            classes=classes,
            splits=splits,
            files=[],
        )

    @field_validator("splits")
    @classmethod
    def _check_splits(cls, splits: dict[str, SplitCounts]) -> dict[str, SplitCounts]:
        for split in _SPLITS:
            if split not in splits:
                raise ValueError(f"{split}: missing")
        return splits

    @property
    def origin(self) -> DataOrigin:
        """What a result records of the data it was made from."""
        return DataOrigin(source=self.source, fingerprint=self.fingerprint)

    @property
    def size_limits(self) -> tuple[float, float]:
        """The largest small and the largest medium object of detection data, in square pixels."""
        assert self.area_limits is not None, "open_manifest checks this"
        return self.area_limits

    def count(self, split: str) -> int:
        """Return the number of images of a split."""
        return self.splits[split].images


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, data/<scale>/<task>.json; InputError if it cannot be read or lacks an entry."""
    try:
        return validate(Manifest, read_json(path), path)
    except InputError as error:
        again = f"sgenet prepare {path.stem} --scale {path.parent.name}"
        raise InputError(f"{error}; run `{again}` again") from None
