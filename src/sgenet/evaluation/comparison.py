"""The content of reports/<scale>/comparison.json: every cell and claim of a report, for other programs."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from sgenet.config.model import Count, Model, Positive, validate
from sgenet.errors import InputError
from sgenet.evaluation.verdicts import Verdict
from sgenet.runtime.files import read_json

VERSION = 3

Word = Annotated[Verdict, Field(strict=False)]
Seed = Annotated[str, Field(pattern=r"^[0-9]+$")]  # a key of JSON
Probability = Annotated[float, Field(ge=0, le=1)]
_REASON = "why there is no verdict, or an open one; empty where the verdict needs none"
_NO_INTERVAL = "null below three seeds"
_ADJUSTED_P = "by Holm's correction for the gains of its column over the same baseline; null if one did not learn"


class _Entry(Model):
    accepts_null: ClassVar[bool] = True


class GainsRatio(_Entry):
    """Reproduced over published gain, over the main gains of params/claims.yaml."""

    value: float = Field(description="slope of reproduced against published gains, weighted by their variances")
    low: float | None = Field(description="lower end of its interval; null below three trainings of each row")
    high: float | None = Field(description="upper end")
    df: float | None = Field(description="degrees of freedom of the interval")


class ConditionNumber(_Entry):
    """A number that a condition is judged by."""

    what: str = Field(description="gain, the same of these trainings on other images, a column, a statistic")
    unit: str = Field(description="points of percent, %, or empty")
    value: float
    low: float | None = Field(description="lower end of its interval; null where there is none")
    high: float | None = Field(description="upper end")
    smallest: float | None = Field(description="smallest difference that these trainings show in 80 % of cases")
    n: int | None = Field(description="trainings of each row, or images, behind the interval")
    published: float | None = Field(description="what the paper's tables print of it; null where that is not known")
    claimed: Annotated[tuple[float, float | None], Field(strict=False)] | None = Field(
        description="smallest and largest size in the sentence itself; the largest is null where it has none"
    )


class ClaimCondition(_Entry):
    """A condition of a claim."""

    text: str = Field(description="what must hold")
    verdict: Word
    reason: str = Field(description=_REASON)
    direction: Word | None = Field(description="at scale paper, of the size of a gain: the verdict on its direction")
    numbers: list[ConditionNumber] = Field(description="what it is judged by; empty where nothing was found")


class ComparedClaim(_Entry):
    """A sentence of the paper."""

    id: str = Field(description="C1, C4a ...")
    sentence: str = Field(description="what the paper says")
    verdict: Word
    reason: str = Field(description=_REASON)
    conditions: list[ClaimCondition] = Field(description="all must hold")


class PublishedValue(_Entry):
    """What the paper prints."""

    value: float = Field(description="as printed")
    source: list[str] = Field(min_length=1, description="keys of params/sources.yaml")
    confidence: Literal["high", "medium", "low"] = Field(description="that the paper prints this value")
    note: str = Field("", description="what else is known of it")
    difference: str = Field("", description="why the count differs from it")


class ReleasedValue(_Entry):
    """What the authors' released weights reach on the same validation data."""

    value: float = Field(description="reached in one evaluation")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the file of weights")


class ImagesGain(_Entry):
    """The gain of these trainings, with the sampling error of the validation images."""

    low: float = Field(description="lower end")
    high: float = Field(description="upper end")
    p: Probability | None = Field(description="two-sided, of no gain of these trainings")
    n: int = Field(ge=2, description="validation images")


class ReproducedGain(_Entry):
    """A gain over the baseline's row; its interval is for the expected gain over trainings on these images."""

    value: float = Field(description="this row minus the baseline's, over the seeds that both have")
    low: float | None = Field(description=f"lower end; {_NO_INTERVAL}, as are high, df, smallest, p and adjusted_p")
    high: float | None = Field(description="upper end")
    df: float | None = Field(description="degrees of freedom of the variance of one training, from all rows")
    smallest: float | None = Field(description="smallest difference that these trainings show in 80 % of cases")
    p: Probability | None = Field(description="two-sided, of no gain at all")
    adjusted_p: Probability | None = Field(description=_ADJUSTED_P)
    baseline: str = Field(description="label of the baseline's row")
    n: Positive = Field(description="trainings of each row that are compared")
    needed: int | None = Field(ge=4, description="if inconclusive: trainings of each row that would decide it")
    images: ImagesGain | None = Field(None, description="with the error of the images; left out where not known")

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its ends, where it has an interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class ReproducedValue(_Entry):
    """What was reproduced."""

    value: float = Field(description="the count, or the mean over the seeds")
    n: Positive = Field(description="how many trainings are behind the value; 1 for a count")
    seeds: dict[Seed, float] = Field({}, description="seed -> value")
    low: float | None = Field(None, description="lower end of its interval: over the images (one seed), or trainings")
    high: float | None = Field(None, description="upper end")
    did_not_learn: Literal[True] | None = Field(None, description="only where a training behind it did not learn")
    last: float | None = Field(None, description="value of the last epoch, where `value` is of the best one")
    difference: float | None = Field(None, description="value minus the published one: of counts and at scale paper")
    gain: ReproducedGain | None = None


class CountedOrigin(_Entry):
    """Origin of a count."""

    commands: list[str] = Field(description="to run, in this order")
    model: str | None = Field(description="full-size model that was counted")
    input: list[int] | None = Field(description="height and width in pixels")
    part: Literal["network", "backbone"] | None = Field(description="what of it was counted")


class TrainedOrigin(_Entry):
    """Origin of a trained number."""

    commands: list[str] = Field(description="to run, in this order")
    settings: str = Field(pattern=r"^[0-9a-f]{16}$", description="digest of resolved settings, of all its steps")
    data: list[str] = Field(description="fingerprints of the data")
    seeds: list[int] = Field(description="of the trainings")


def _kind_of_origin(value: Any) -> str:
    trained = "settings" in value if isinstance(value, dict) else isinstance(value, TrainedOrigin)
    return "trained" if trained else "counted"


Origin = Annotated[
    Annotated[CountedOrigin, Tag("counted")] | Annotated[TrainedOrigin, Tag("trained")],
    Discriminator(_kind_of_origin),
]


class ComparedCell(_Entry):
    """A cell of a table."""

    published: PublishedValue | None = Field(description="what the paper prints; null where it was not recovered")
    reproduced: ReproducedValue | None = Field(description="null where there is nothing, or nothing that can be used")
    released: ReleasedValue | None = Field(description="of the authors' weights; null where there are none")
    verdict: Word
    reason: str = Field(description=_REASON)
    origin: Origin | None = Field(description="what recomputes the number; null where there is none")


class ComparedColumn(_Entry):
    """A column of a table."""

    label: str = Field(description="heading")
    unit: str = Field(description="of its values; may be empty")
    digits: Count = Field(description="decimals that are printed")


class ComparedRow(_Entry):
    """A row of a table."""

    label: str = Field(description="first cell of the row")
    run: str = Field(
        pattern="^(classification|detection|complexity)/",
        description="id of the run behind it, or of the model in a table of complexity",
    )
    cells: dict[str, ComparedCell] = Field(description="column id -> cell, in the order of the columns")


class ComparedTable(_Entry):
    """A table of the paper."""

    id: str = Field(description="name of its file in params/tables/")
    title: str = Field(description="heading in the report")
    columns: dict[str, ComparedColumn] = Field(
        description="column id (params, gflops, top1, ap_small ...) -> its heading; without durations"
    )
    rows: list[ComparedRow] = Field(description="in the order of the table")


class RunSettings(_Entry):
    """What was asked for of a run."""

    trainings: Positive = Field(description="number of them, with the seeds 0, 1, ...")
    train: dict[str, Any] = Field(description="resolved settings that decide the numbers of its trainings")
    test: dict[str, Any] = Field(description="settings that only its evaluation uses")


class ComparedSettings(_Entry):
    """The settings that decide the numbers, without paths and machines."""

    report: dict[str, Any] = Field(description="of its statistics: `report` in params/pipeline.yaml")
    data: dict[str, dict[str, Any]] = Field(description="task -> its data in the scale, without their folders")
    runs: dict[str, RunSettings] = Field(description="by run id")


class Comparison(_Entry):
    """Every cell of the report: the published value, the reproduced one and the verdict.

    Contains no time, duration, path or machine, so equal runs give equal files. Values and gains are in the unit of
    their column (percent, millions of parameters, GFLOPs), rounded to six decimals.
    """

    version: Literal[3] = Field(description="of this format")
    scale: str = Field(description="name of the scale, a file of params/scales/")
    settings: ComparedSettings
    ratio: GainsRatio | None = Field(description="at scale paper, where a main gain was measured")
    claims: list[ComparedClaim] = Field(description="in the order of params/claims.yaml")
    tables: list[ComparedTable] = Field(description="in the order of params/pipeline.yaml")


def read_comparison(path: Path, name: str | None = None) -> Comparison:
    """Read a comparison.json, which messages call `name`; InputError unless it is one of this version of sgenet."""
    try:
        value = read_json(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name or str(path), 1)) from None
    if isinstance(value, dict) and value.get("version") != VERSION:
        found = f"found {value.get('version')!r:.20}, expected {VERSION} of this version of sgenet"
        raise InputError(f"{name or path}: version: {found}; build the report again")
    return validate(Comparison, value, name or path)
