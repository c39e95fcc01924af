"""Feature vectors before and after SGE: results/<scale>/evaluation/activations.json, what figures 2 to 4 show."""

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from sgenet.config.model import Above0, Count, Model, Positive, Text

Length = Annotated[float, Field(ge=0)]  # in the units of the activations
Map = list[list[Length]]  # line by line
Seed = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)$")]  # a key of JSON


class ImageLengths(Model):
    """Figure 2: lengths of the feature vectors of an image."""

    index: Count = Field(description="in the validation set")
    name: str = Field(alias="class", description="name of the class")
    pixels: str = Field(
        pattern=r"^data:image/webp;base64,[A-Za-z0-9+/=]+$", description="the image as the network saw it"
    )
    before: list[Map] = Field(description="a map for each group")
    after: list[Map] = Field(description="a map for each group")


class LengthMaps(Model):
    """Figure 2: lengths of feature vectors at each position."""

    groups: list[Count] = Field(min_length=1, description="counted from 0")
    images: list[ImageLengths] = Field(min_length=1, description="images")


class BeforeAfter(Model):
    """A length before and after SGE."""

    before: Length
    after: Length


class LengthHistogram(Model):
    """Figure 3: lengths of all groups at all positions of all images."""

    bin_width: Above0 = Field(description="bin k holds lengths from k widths to below k + 1")
    before: list[Count] = Field(min_length=1, description="counts")
    after: list[Count] = Field(min_length=1, description="counts")
    mean: BeforeAfter = Field(description="mean length")


class GroupSpread(Model):
    """Mean and standard deviation over images, one number a group."""

    mean: list[Length]
    std: list[Length]


class LengthVariance(Model):
    """Figure 4: variance of length over an image's positions, by group."""

    before: GroupSpread
    after: GroupSpread


class Estimate(Model):
    """A statistic of one training, with a bootstrap interval over images."""

    value: float
    low: float
    high: float
    confidence: float = Field(gt=0, lt=1)
    n: Positive = Field(description="images")


class SeedEstimates(Model):
    """A statistic of the trainings of all seeds."""

    description: str
    seeds: dict[Seed, Estimate] = Field(min_length=1, description="by seed of the training")

    @model_validator(mode="before")
    @classmethod
    def _of_one_seed(cls, found: Any) -> Any:
        """Accept what was written when one seed was measured: value and interval next to the description."""
        if not (isinstance(found, dict) and "value" in found):
            return found
        own = dict(found)
        return {"description": own.pop("description", None), "seeds": {"0": own}}


class Statistics(Model):
    """Statistics of the changes that SGE makes."""

    variance_ratio: SeedEstimates
    relative_variance_ratio: SeedEstimates
    growing_groups: SeedEstimates
    background_length_change: SeedEstimates
    background_over_foreground_change: SeedEstimates


class Measurement(Model):
    """How the activations were measured."""

    model_config = ConfigDict(extra="allow")

    command: Text


class MeasurementOrigin(Model):
    """How the weights were trained, and how the activations were measured."""

    model_config = ConfigDict(extra="allow")

    train: dict[str, Any] = Field(description="provenance of the weights that the figures show")
    activations: Measurement = Field(description="provenance of this measurement")


class MeasuredActivations(Model):
    """The whole file."""

    accepts_null: ClassVar[bool] = True

    run: str = Field(description="the classification run that was measured")
    scale: str = Field(description="the scale")
    seed: Count = Field(description="the seed of the run that the figures show")
    fingerprint: str = Field(description="of the data")
    stage: int = Field(ge=1, le=4, description="its last block's SGE module was measured")
    groups: Positive = Field(description="channel groups of the module")
    positions: Annotated[tuple[Positive, Positive], Field(strict=False)] = Field(
        description="height and width of its maps"
    )
    images: Positive = Field(description="validation images")
    maps: LengthMaps = Field(description="figure 2")
    histogram: LengthHistogram = Field(description="figure 3")
    variance: LengthVariance = Field(description="figure 4")
    statistics: Statistics = Field(description="statistics of the changes, of every seed of the run")
    origin: MeasurementOrigin = Field(description="provenance")

    @model_validator(mode="after")
    def _check_seeds(self) -> "MeasuredActivations":
        """Check that all statistics are of the same seeds, and that the figures' seed is among them."""
        for name in Statistics.model_fields:
            found = list(getattr(self.statistics, name).seeds)
            expected = list(self.statistics.variance_ratio.seeds)
            if found != expected or str(self.seed) not in found:
                raise ValueError(f"statistics.{name}.seeds: found {found}, expected {expected}, with {self.seed}")
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> "MeasuredActivations":
        """Check that lists that belong together are equally long."""
        height, width = self.positions
        for side in ("before", "after"):
            spread, counts = getattr(self.variance, side), getattr(self.histogram, side)
            _expect(spread.mean, self.groups, f"variance.{side}.mean")
            _expect(spread.std, self.groups, f"variance.{side}.std")
            _expect(counts, len(self.histogram.before), f"histogram.{side}")
            if not sum(counts):
                raise ValueError(f"histogram.{side}: found no count, expected one or more")
            for place, image in enumerate(self.maps.images):
                at = f"maps.images.{place}.{side}"
                maps = getattr(image, side)
                _expect(maps, len(self.maps.groups), at)
                for lines in maps:
                    _expect(lines, height, at)
                    for line in lines:
                        _expect(line, width, at)
        return self


def _expect(values: list[Any], length: int, at: str) -> None:
    if len(values) != length:
        raise ValueError(f"{at}: found {len(values)} entries, expected {length}")
