"""Settings of a scale (params/scales/*.yaml): data, sizes and devices of a replication."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from sgenet.config.model import Above0, Count, Model, Pair, Positive, Seeds, Share, Text


def _check_below(name: str) -> str:
    if ".." in name.split("/"):
        raise ValueError(f"found {name!r}, expected a path below the root of the data")
    return name


Below = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f][^\\\x00-\x1f]*$"), AfterValidator(_check_below)]
Scenes = Annotated[int, Field(ge=10)]
_EMBEDDED = "scikit-learn's handwritten digits in cluttered scenes, drawn by `sgenet prepare`"
_AREA_LIMITS = "largest small and largest medium object, in square pixels"
_CLUTTER = "mean number of stroke fragments in a scene"


class _Source(Model):
    model_config = ConfigDict(validate_default=True)  # so that defaults become floats as values of files do


class EmbeddedImages(_Source):
    """Embedded data for classification: scenes of one digit each."""

    source: Literal["embedded"] = Field(description=_EMBEDDED)
    image_size: int = Field(64, ge=32, le=1024, description="side of a scene in pixels")
    train_images: Scenes = Field(6000, description="scenes for training")
    val_images: Scenes = Field(2000, description="scenes for validation")
    digit_height: Pair = Field((26, 48), description="lowest and highest digit in pixels, before rotation and shear")
    clutter: float = Field(4, ge=0, description=_CLUTTER)
    seed: Count = Field(0, description="of the drawing")

    @model_validator(mode="after")
    def _check_height(self) -> "EmbeddedImages":
        (low, high), most = self.digit_height, 0.75 * self.image_size
        if not 8 <= low <= high <= most:
            raise ValueError(f"digit_height: found {[low, high]}, expected increasing ones from 8 to {most:g} pixels")
        return self


class EmbeddedScenes(_Source):
    """Embedded data for detection: scenes of several digits."""

    source: Literal["embedded"] = Field(description=_EMBEDDED)
    image_size: int = Field(96, ge=32, le=1024, description="side of a scene in pixels")
    train_images: Scenes = Field(800, description="scenes for training")
    val_images: Scenes = Field(200, description="scenes for validation")
    objects: Annotated[tuple[Positive, Positive], Field(strict=False)] = Field(
        (1, 6), description="fewest and most digits in a scene"
    )
    area_range: Pair = Field((50, 1200), description="smallest and largest ink of a digit in square pixels")
    area_limits: Pair = Field((150, 400), description=_AREA_LIMITS)
    overlap: Share = Field(0.2, description="largest part of the smaller box that two boxes share")
    clutter: float = Field(8, ge=0, description=_CLUTTER)
    seed: Count = Field(0, description="of the drawing")

    @property
    def areas(self) -> list[float]:
        """The bounds of the sizes small, medium and large, in square pixels."""
        return [self.area_range[0], *self.area_limits, self.area_range[1]]

    @model_validator(mode="after")
    def _check_ranges(self) -> "EmbeddedScenes":
        areas, most = self.areas, self.image_size**2 / 6
        if not 20 <= areas[0] < areas[1] < areas[2] < areas[3] <= most:
            expected = f"expected increasing ones from 20 to {most:g} square pixels"
            raise ValueError(f"area_range and area_limits: found the areas {areas}, {expected}")
        if self.objects[0] > self.objects[1]:
            raise ValueError(f"objects: found {list(self.objects)}, expected the smaller number first")
        return self


class _RealData(_Source):
    root: Text = Field(description="folder of the data; ${NAME} in it is an environment variable, ~ your home")
    defects: Literal["strict", "skip"] = Field(
        "strict", description="strict: refuse data with defects; skip: leave out what is defective"
    )
    train_images: Positive | None = Field(None, description="at most so many, spread evenly; by default all")
    val_images: Positive | None = Field(None, description="at most so many, spread evenly; by default all")


class ImageData(_RealData):
    """Images of classes."""

    source: Literal["folder", "imagenet", "packed"] = Field(
        description="folder: a folder a class; imagenet: as ILSVRC ships it; packed: one file a split"
    )
    train: Below | None = Field(None, description="folder (packed: name) of the training images, below root")
    val: Below | None = Field(None, description="folder (packed: name) of the validation images, below root")


class Split(Model):
    """Where a split of COCO-format data is."""

    annotations: Below = Field(description="JSON file below root")
    images: Below = Field(description="folder of the images below root")


class CocoData(_RealData):
    """Images with annotations in COCO's format."""

    source: Literal["coco"] = Field(description="any COCO-format JSON with its images")
    train: Split = Field(
        Split(annotations="annotations/instances_train2017.json", images="train2017"), description="training split"
    )
    val: Split = Field(
        Split(annotations="annotations/instances_val2017.json", images="val2017"), description="validation split"
    )
    area_limits: Pair = Field((32**2, 96**2), description=_AREA_LIMITS)

    @field_validator("area_limits")
    @classmethod
    def _check_order(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] >= limits[1]:
            raise ValueError(f"found {list(limits)}, expected the smaller one first")
        return limits


class Data(Model):
    """Where the data of both tasks come from."""

    classification: EmbeddedImages | ImageData = Field(discriminator="source", description="images of classes")
    detection: EmbeddedScenes | CocoData = Field(discriminator="source", description="images with boxes")

    def of(self, task: str) -> EmbeddedImages | ImageData | EmbeddedScenes | CocoData:
        """Return the data of a task."""
        return getattr(self, task)


class FigureSettings(Model):
    """Figures 2 to 4: feature vectors before and after the SGE module in a stage's last block."""

    stage: int = Field(ge=1, le=4, description="a stage whose maps have several positions; 4 in the paper")
    groups: list[Count] = Field(
        min_length=1,
        max_length=8,
        description="channel groups of figure 2, counted from 0 (the paper does not say from where it counts its "
        "18, 22, 41)",
    )
    images: int = Field(
        ge=1, le=24, description="validation images of figure 2: the first of each class in turn; 9 in the paper"
    )

    @field_validator("groups")
    @classmethod
    def _check_unique(cls, groups: list[int]) -> list[int]:
        if len(set(groups)) < len(groups):
            raise ValueError(f"found {groups}, expected different ones")
        return groups


class LatencySettings(Model):
    """How the full-size networks are timed."""

    image_size: int = Field(ge=32, le=4096, description="side of the image in pixels; 224 in the paper's tables")
    rounds: int = Field(ge=1, le=1000, description="times that each network takes its turn")


class Expected(Model):
    """What a metric of a run comes to, by repetitions of the replication with other seeds."""

    mean: float = Field(description="mean over the repetitions, each of which is a mean over the run's trainings")
    sd: Above0 = Field(description="standard deviation of one repetition")


class Scale(Model):
    """A file of params/scales/."""

    description: str = Field(description="one line for the report")
    device: Literal["cpu", "cuda", "auto"] = Field(description="auto: cuda where there is one")
    devices: int = Field(ge=1, le=1024, description="devices (and processes) of one training")
    devices_per_node: Positive | None = Field(
        None, description="of a cluster; a training with more `devices` uses several nodes; by default it uses one"
    )
    threads: int = Field(ge=1, le=1024, description="CPU threads of one process")
    data: Data = Field(description="where the data come from")
    released: bool = Field(description="evaluate released weights, where data/released/ has them")
    seeds: dict[str, Seeds] = Field(
        {},
        description="trainings of single runs, where more than `seeds` of pipeline.yaml are wanted: id of a run, or a "
        "pattern such as detection/retinanet/*resnet50 -> number of seeds",
    )
    figures: FigureSettings = Field(description="figures 2 to 4: feature vectors before and after SGE")
    latency: LatencySettings = Field(description="how the full-size networks are timed")
    classification: dict[str, Any] = Field(description="overrides of params/recipes/classification.yaml")
    detection: dict[str, Any] = Field(description="overrides of params/recipes/detection.yaml")
    expected: dict[str, dict[str, Expected]] = Field(
        {}, description="id of a run -> metric -> what it comes to; the report states what does not"
    )

    @property
    def nodes(self) -> int:
        """Nodes of a cluster that a training uses."""
        return math.ceil(self.devices / (self.devices_per_node or self.devices))

    @model_validator(mode="after")
    def _check_nodes(self) -> "Scale":
        if self.devices % self.nodes or (self.nodes > 1 and self.devices % (self.devices_per_node or 1)):
            expected = f"at most the {self.devices_per_node} of devices_per_node, or a multiple of them"
            raise ValueError(f"devices: found {self.devices}, expected {expected}")
        return self
