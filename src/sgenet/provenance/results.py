"""Models of the results that steps write: what is in training.json, metrics.json, timing.json, and of measurements."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from sgenet.config.model import Above0, Count, Model, Number, Positive, validate
from sgenet.errors import InputError
from sgenet.runtime.files import read_json

Sides = Annotated[tuple[Positive, Positive], Field(strict=False)]


class _Result(Model):
    accepts_null: ClassVar[bool] = True
    model_config = ConfigDict(extra="ignore")  # of later versions


class Gpu(_Result):
    """A GPU that a step used."""

    name: str = Field(description="of the model")
    device_uuid: str | None = Field(None, description="of this very device; left out of archives")
    energy_joules: float | None = Field(
        None, ge=0, description="during the step since its last start, by the driver, of other processes on it too"
    )


class Machine(_Result):
    """The machine on which a step ran, as data."""

    host: str | None = Field(None, description="name in the network; left out of archives")
    cluster_job: str | None = Field(None, description="id of the job of a cluster")
    threads: Positive | None = Field(None, description="CPU threads of torch")
    load: float | None = Field(
        None, ge=0, description="average of the last minute before the step, as the system reports it"
    )
    gpus: list[Gpu] | None = Field(None, description="the GPUs of the step, on this host")
    driver: str | None = Field(None, description="version of the GPUs' driver")
    cuda: str | None = Field(None, description="version of CUDA that torch was built for")
    cudnn: str | None = Field(None, description="version of cuDNN")

    @property
    def text(self) -> str:
        """It in words, without what identifies it."""
        parts = [f"{self.threads} CPU thread{'s' if self.threads > 1 else ''}"] if self.threads else []
        parts += [f"load average {self.load:g} at the start"] if self.load is not None else []
        for gpu in self.gpus or []:
            parts.append(gpu.name if gpu.energy_joules is None else f"{gpu.name} ({gpu.energy_joules / 1000:,.1f} kJ)")
        named = {"driver": self.driver, "CUDA": self.cuda, "cuDNN": self.cudnn, "job": self.cluster_job}
        return ", ".join([*parts, *(f"{name} {value}" for name, value in named.items() if value)])


class Times(_Result):
    """What differs between equal runs: how long a step took, its memory, when it ended, and the machine."""

    seconds: float | None = Field(None, ge=0, description="duration; of a training, of all its attempts")
    peak_memory_mib: float | None = Field(None, ge=0, description="peak resident memory in MiB")
    finished: str | None = Field(None, description="end of the step, ISO 8601")
    machine: Machine | None = Field(None, description="where it ran; no part of the digest of its record")

    @field_validator("finished")
    @classmethod
    def _check_date(cls, text: str | None) -> str | None:
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError:
            raise ValueError(f"found {text!r}, expected an ISO 8601 date") from None
        return text


class DataOrigin(_Result):
    """The data that a result was made from."""

    source: str | None = Field(None, description="as in the scale")
    fingerprint: str = Field(description="of the manifest")


class StoredFile(_Result):
    """Content of a file when it was written, to check later whether it is still there."""

    size: Count = Field(description="bytes")
    xxhash: str = Field(description="xxh3_128 digest")


class Identity(_Result):
    """What decided a result, besides the settings and the data recorded next to it; see provenance/identity.py."""

    digest: str = Field(description="of everything that decided the numbers; equal for results that are alike")
    inputs: dict[str, str] = Field({}, description="digests of the results that were read, by name")
    code: dict[str, str] = Field({}, description="digests of the attention module, by file")
    sources: dict[str, str] = Field({}, description="digests of the other source, by file")
    read: dict[str, StoredFile] = Field({}, description="weights that were read, by name")
    files: dict[str, StoredFile] = Field({}, description="files that were written, by name")
    record: str | None = Field(None, description="digest of the file that contains this, without this entry")


class WeightsFile(_Result):
    """A file of weights that no step made."""

    path: str
    sha256: str
    use: str | None = Field(None, description="of a training: what was loaded, and what stays as it was initialised")


class Recorded(_Result):
    """The part of a result's provenance that states what decided it, and what is counted over all results."""

    settings: dict[str, Any] | None = Field(None, description="resolved settings that decide the numbers")
    data: DataOrigin | None = Field(None, description="the data")
    identity: Identity | None = Field(None, description="everything else; results of version 0.1 have none")
    commit: str | None = Field(None, description="of the code that made it")
    seconds: float | None = Field(None, ge=0, description="duration, where it is in the same file")
    weights: WeightsFile | None = Field(None, description="of a training: the file that it started from")


class Measured(Times):
    """How a measurement was made: command, code and machine."""

    command: str = Field(description="the command that makes it again")
    commit: str | None = Field(None, description="of the code, followed by + if files were modified")
    versions: dict[str, str] = Field({}, description="of the packages that results depend on")
    device: str | None = Field(None, description="processor or GPUs")
    settings: dict[str, Any] | None = Field(None, description="resolved settings that decide the numbers")
    identity: Identity | None = Field(None, description="what else decided the numbers")

    def without_times(self) -> Self:
        """Return the entries that equal runs share."""
        return self.model_copy(update=dict.fromkeys(Times.model_fields))

    def with_times(self, times: Times | None) -> Self:
        """Return the provenance with the times of a timing.json."""
        return self.model_copy(update=dict(times or Times()))

    @property
    def times(self) -> Times:
        """The entries that differ between equal runs."""
        return Times(**{name: getattr(self, name) for name in Times.model_fields})


class MeasuredHere(Measured):
    """How a measurement was made whose numbers depend on the machine."""

    device: str = Field(description="processor or GPUs")
    finished: str = Field(description="end of the step, ISO 8601")


class Provenance(Measured):
    """How a result was made: command, code, machine, settings and data."""

    data: DataOrigin = Field(description="the data")
    devices: Positive | None = Field(None, description="of a training: number of devices")


class TrainingRecord(Provenance):
    """training.json: the provenance of weights."""

    settings: dict[str, Any] = Field(description="resolved settings that decide the numbers")
    classes: list[str] | None = Field(None, description="names, in the order of the network's outputs")
    category_ids: list[Count] | None = Field(None, description="of a detector: COCO's ids of the classes")
    weights: WeightsFile | None = Field(None, description="the file that it started from, if no step made it")

    def of_measurement(self) -> Self:
        """Return what the record of a measurement repeats: its own identity names the training's."""
        own = dict.fromkeys(("identity", "classes", "category_ids"))
        return self.without_times().model_copy(update=own)


class Origins(_Result):
    """The provenance of an evaluation and of the training before it."""

    train: TrainingRecord
    evaluate: Provenance


class Timing(_Result):
    """timing.json: the times of the steps behind a metrics.json, which equal runs share."""

    train: Times | None = None
    evaluate: Times | None = None


class _Metrics(_Result):
    run: str = Field(description="id of the run")
    scale: str = Field(description="name of the scale")
    metrics: dict[str, Number | None] = Field(description="by name; null where not measurable")

    @field_validator("metrics")
    @classmethod
    def _check_ranges(cls, metrics: dict[str, int | float | None]) -> dict[str, int | float | None]:
        for name, value in metrics.items():
            counted = name == "images" or name.endswith("_epoch")
            if value is None or (value >= 0 and (value % 1 == 0 if counted else value <= 100)):
                continue
            expected = "a whole number of 0 or more" if counted else "a number from 0 to 100"
            raise ValueError(f"{name}: found {value!r}, expected {expected}")
        return metrics


class EvaluationRecord(_Metrics):
    """metrics.json of a run and seed."""

    seed: Count = Field(description="seed of the training")
    origin: Origins = Field(description="provenance of training and evaluation")


class ReleasedEvaluation(_Metrics):
    """metrics.json of weights that the authors released."""

    weights: WeightsFile = Field(description="the file")
    origin: Provenance = Field(description="provenance of the evaluation")

    @model_validator(mode="after")
    def _check_accuracies(self) -> "ReleasedEvaluation":
        for name in ("top1", "top5"):
            if self.metrics.get(name) is None:
                raise ValueError(f"metrics.{name}: found None, expected a number from 0 to 100")
        return self


class Counts(_Result):
    """Parameters and operations of one full-size network; complexity.json has them by run id."""

    model: str = Field(description="such as sge-resnet50")
    params: Positive = Field(description="trainable parameters")
    gflops: Above0 = Field(description="operations by the authors' convention, in 10^9")
    macs: Positive = Field(description="multiply-adds, and one per element for every other operation")
    input: Sides = Field(description="height and width of the input in pixels")
    part: str = Field(description="network, or backbone")

    def value(self, column: str) -> float | None:
        """Return the count that a column of a table shows; None for other columns."""
        return getattr(self, column) if column in ("params", "gflops", "macs") else None


class Quartiles(_Result):
    """Median and quartiles of repeated measurements."""

    value: Above0 = Field(description="median")
    low: Above0 = Field(description="first quartile")
    high: Above0 = Field(description="third quartile")


class NetworkLatency(_Result):
    """Time of a forward pass of one network."""

    model: str | None = Field(None, description="such as sge-resnet50")
    latency: Quartiles = Field(description="milliseconds")
    latency_ratio: Quartiles | None = Field(None, description="over the time of its baseline")


class Complexity(_Result):
    """complexity.json: counts of the full-size networks."""

    models: dict[str, Counts] = Field(description="by run id")
    failed: dict[str, str] | None = Field(None, description="by run id: why a network could not be counted")
    origin: Measured = Field(description="how they were counted")


class Latencies(_Result):
    """latency.json: times of forward passes on this machine."""

    input: Sides = Field(description="height and width of the input in pixels")
    batch: Positive = Field(1, description="images")
    threads: Positive = Field(description="CPU threads")
    rounds: Positive = Field(description="forward passes of each network")
    models: dict[str, NetworkLatency] = Field(description="by id")
    failed: dict[str, str] | None = Field(None, description="by id: why a network could not be timed")
    origin: MeasuredHere = Field(description="how it was measured")


def read_training(path: Path) -> TrainingRecord:
    """Read a training.json; InputError if it is not one."""
    try:
        return validate(TrainingRecord, read_json(path), path)
    except InputError as error:
        raise InputError(f"{error}; expected a file written by `sgenet train`") from None


def read_timing(path: Path) -> Timing:
    """Read a timing.json; empty if there is none, InputError if it is not one."""
    return validate(Timing, read_json(path), path) if path.exists() else Timing()
