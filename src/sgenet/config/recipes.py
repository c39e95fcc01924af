"""Settings of a training and its evaluation: what params/recipes/ holds, and what scales and rows override."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_serializer,
)

from sgenet.config import starting
from sgenet.config.model import Above0, Count, Model, Positive, Share, partial
from sgenet.config.optimizer import Optimizer, ScaledRate, Schedule, Warmup
from sgenet.errors import InputError

Part = Annotated[float, Field(gt=0, le=1)]
Start = Annotated[str, AfterValidator(starting.check_start)]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]


class BAM(Model):
    """Bottleneck Attention Module."""

    reduction: Positive = Field(description="channels over hidden channels")
    dilation: Positive = Field(description="of the position branch's 3x3 convolutions")


class CBAM(Model):
    """Convolutional Block Attention Module."""

    reduction: Positive = Field(description="channels over hidden units of the channel gate")


class GC(Model):
    """Global Context."""

    reduction: Positive = Field(description="channels over hidden channels")


class SE(Model):
    """Squeeze-and-Excitation."""

    reduction: Positive = Field(description="channels over hidden units")


class SGE(Model):
    """Spatial Group-wise Enhance."""

    groups: Positive = Field(description="channel groups at width 64; fewer in proportion in a narrower network")
    gamma: float = Field(description="initial scale of the normalised similarity, for every group")
    beta: float = Field(description="initial shift, for every group")
    normalize: bool = Field(description="whether the similarity is normalised over the positions")
    eps: Above0 | None = Field(None, description="added to the standard deviation; 1e-5 if not given")


class SK(Model):
    """Selective Kernel, the authors' modified form."""

    groups: Positive = Field(
        description="of the second 3x3 convolution at width 64; fewer in proportion in a narrower network"
    )
    reduction: Positive = Field(description="channels over hidden channels")


class _Open(Model):
    model_config = ConfigDict(extra="allow")


class OwnModule(_Open):
    """Settings of a module that users add; its class checks the others."""

    groups: Positive | None = Field(None, description="counts at width 64; fewer in proportion in a narrower network")
    reduction: Positive | None = Field(None, description="at most the channels of the first stage")

    @model_serializer(mode="plain")
    def _arguments(self) -> dict[str, Any]:
        """Keep what is given, null included: it is an argument of the module."""
        return {name: value for name, value in self if name in self.model_fields_set}


class _Modules(_Open):
    __pydantic_extra__: dict[str, OwnModule]


class Attention(_Modules):
    """Settings of the attention modules: name of the module -> keyword arguments of its class."""

    bam: BAM | None = None
    cbam: CBAM | None = None
    gc: GC | None = None
    se: SE | None = None
    sge: SGE | None = None
    sk: SK | None = None

    def of(self, module: str) -> dict[str, Any]:
        """Return the keyword arguments of a module's class."""
        settings = {**dict(self), **(self.model_extra or {})}.get(module)
        return settings.plain() if settings is not None else {}


class Network(Model):
    """Settings of a network's size."""

    width: int = Field(ge=1, le=1024, description="channels of the stem")
    attention: Attention = Field(description="attention module -> its settings")
    max_pool: bool = Field(
        True,
        exclude_if=bool,  # the default is left out, as in results of versions without this key
        description="the stem ends with a 3x3 max pooling of stride 2; false halves the strides of all stages",
    )

    @property
    def strides(self) -> list[int]:
        """The strides of the four stages' feature maps, in pixels of the image."""
        return [2**stage * (2 if self.max_pool else 1) for stage in (1, 2, 3, 4)]


class TrainingSettings(Network):
    """Settings that both tasks have."""

    epochs: int = Field(ge=1, le=100_000, description="passes over the training set")
    batch_size: Positive = Field(description="images a step over all devices")
    device_batch_size: Positive = Field(
        description="images that a device processes at once; gradients accumulate to batch_size"
    )
    optimizer: Optimizer = Field(description="a torch.optim class and its arguments")
    schedule: Schedule = Field(description="how the learning rate falls")
    flip: Share = Field(description="probability of a horizontal flip")
    mean: Channels = Field(description="of the channels, 0 to 1")
    std: Annotated[tuple[Above0, Above0, Above0], Field(strict=False)] = Field(description="of the channels, 0 to 1")
    workers: int = Field(ge=0, le=1024, description="data-loader processes of each training process")
    starts_from: Start | None = Field(
        None,
        description="scratch (the default of classifiers), classifier (that of detectors: the classifier of the same "
        "model and seed), released, torchvision, or a file of weights",
    )

    def micro_batches(self, devices: int) -> int:
        """Return the number of micro-batches in a step's batch over all devices.

        Raises:
            InputError: `batch_size` is not a multiple of `device_batch_size` x `devices`.
        """
        if self.batch_size % (self.device_batch_size * devices):
            raise InputError(
                f"device_batch_size: found {self.device_batch_size} on {devices} device{'s' * (devices > 1)}, "
                f"expected `device_batch_size` x `devices` to divide the batch_size of {self.batch_size}"
            )
        return self.batch_size // self.device_batch_size

    @property
    def learning_rate(self) -> float:
        """The highest learning rate as a number."""
        rate = self.optimizer.lr
        return rate.value * (self.batch_size / rate.per) if isinstance(rate, ScaledRate) else rate

    def resolved(self) -> dict[str, Any]:
        """Return the settings as plain values, with the learning rate as a number, and without `starts_from`."""
        found = self.plain()
        found.pop("starts_from", None)
        return found | {"optimizer": found["optimizer"] | {"lr": self.learning_rate}}


class Classification(TrainingSettings):
    """Settings of a classification run."""

    residual_gain: float = Field(ge=0, description="initial scale of each block's last batch normalisation")
    precision: Literal["fp32", "bf16"] = Field(description="of forward passes; bf16: bfloat16 where it is exact enough")
    compile: bool = Field(description="by torch.compile, which needs a C compiler or a GPU with triton")
    resident: bool = Field(description="keep all images on the device, decoded: for small ones of one size")
    drop_last: bool = Field(description="drop the last incomplete batch")
    warmup_epochs: float = Field(ge=0, description="epochs of linear warm-up")
    label_smoothing: float = Field(ge=0, lt=1, description="of the cross entropy")
    image_size: int = Field(ge=32, description="side of the crop in pixels")
    resize: int = Field(ge=32, description="shorter side before the centre crop, in pixels")
    crop_scale: Annotated[tuple[Part, Part], Field(strict=False)] = Field(
        description="smallest and largest area of the training crop, as a share of the image"
    )

    @field_validator("starts_from")
    @classmethod
    def _check_start(cls, start: str | None) -> str | None:
        if start == starting.CLASSIFIER:
            raise ValueError(f"found {start!r}, which only a detector starts from, expected another start")
        return start

    @field_validator("crop_scale")
    @classmethod
    def _check_order(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"found {list(scale)}, expected the smaller one first")
        return scale


class TestSettings(Model):
    """What is kept of the detections."""

    score_threshold: Share = Field(description="lowest score")
    nms_iou: Share = Field(description="IoU of the suppression")
    max_detections: Positive = Field(description="of an image")


class RPN(Model):
    """Region proposals of the two-stage detectors."""

    box_loss_beta: Above0 = Field(description="beta of the smooth L1 loss")
    allowed_border: int = Field(ge=-1, description="pixels an anchor may leave the image; -1 for any")
    samples: int = Field(ge=2, description="anchors sampled an image")
    train_candidates: Positive = Field(description="proposals a level before suppression in training")
    train_proposals: Positive = Field(description="proposals kept in training")
    test_proposals: Positive = Field(description="proposals kept in evaluation")


class RoI(Model):
    """Second stage of the two-stage detectors."""

    box_loss_beta: Above0 = Field(description="beta of the smooth L1 loss")
    samples: int = Field(ge=2, description="regions sampled an image")
    fc_channels: Positive = Field(description="width of the box head")
    sampling_ratio: Count = Field(description="RoIAlign samples a bin and side; 0 for adaptive")
    aligned: bool = Field(description="RoIAlign with the half-pixel shift")


class MaskHead(Model):
    """Mask R-CNN: head of the masks."""

    convs: Count = Field(description="its convolutions")
    channels: Positive = Field(description="their channels")
    roi_size: Positive = Field(description="bins a side of RoIAlign; a mask has twice as many pixels")


class Detection(TrainingSettings):
    """Settings of a detection run; each detector adds its own."""

    warmup: Warmup = Field(description="linear warm-up")
    gradient_clip: Above0 = Field(description="largest L2 norm of the gradient")
    image_scale: Annotated[tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]], Field(strict=False)] = (
        Field(description="longer and shorter side at most, in pixels")
    )
    frozen_stages: int = Field(ge=-1, le=4, description="-1 none, 0 the stem, k the stem and k stages")
    norm_eval: bool = Field(description="the backbone's batch normalisation stays in eval mode")
    neck_channels: Positive = Field(description="channels of the feature pyramid")
    legacy_boxes: bool = Field(description="box coder, anchors and assigners of mmdetection 1.x and before")
    anchor_scale: Above0 = Field(description="side of the smallest anchor over its stride")
    test: TestSettings = Field(description="what is kept of the detections")


class RetinaNet(Detection):
    """Settings of a run with RetinaNet."""

    head_channels: Positive = Field(description="RetinaNet: channels of the head")
    head_convs: Count = Field(description="RetinaNet: convolutions of each branch")
    head_init_std: Above0 = Field(
        description="RetinaNet: initial weights of the head's convolutions; the paper's 0.01 fades out a narrow head"
    )
    box_loss_beta: Above0 = Field(description="RetinaNet: beta of the smooth L1 loss")


class TwoStage(Detection):
    """Settings of a run with Faster or Cascade R-CNN."""

    rpn: RPN = Field(description="region proposals of the two-stage detectors")
    roi: RoI = Field(description="second stage of the two-stage detectors")


class MaskRCNN(TwoStage):
    """Settings of a run with Mask R-CNN."""

    mask: MaskHead = Field(description="Mask R-CNN: head of the masks")


DETECTORS: dict[str, type[Detection]] = {
    "retinanet": RetinaNet,
    "faster-rcnn": TwoStage,
    "mask-rcnn": MaskRCNN,
    "cascade-rcnn": TwoStage,
}


_MODELS = Field(None, description="model, or a pattern such as *resnet101 -> settings of its own, over all others")


def _with_models(kind: type[Model], **more: Any) -> type[Model]:
    """Return the overrides of a detector's settings, in which models may have some of their own."""
    own = partial(kind)
    models: Any = (dict[str, own] | None, _MODELS)  # type: ignore[valid-type] # a type made above
    return create_model(own.__name__, __base__=own, __doc__=kind.__doc__, models=models, **more)


ClassificationOverrides: type[Model] = _with_models(Classification)
_OVERRIDES = {kind: _with_models(kind) for kind in dict.fromkeys(DETECTORS.values())}  # one for detectors alike
DETECTOR_OVERRIDES = {name: _OVERRIDES[kind] for name, kind in DETECTORS.items()}
_FIELDS: dict[str, Any] = {
    name.replace("-", "_"): (kind | None, Field(None, alias=name, description=f"settings of {name}"))
    for name, kind in DETECTOR_OVERRIDES.items()
}
_DETECTORS = create_model(
    "DetectorOverrides", __base__=Model, __doc__="Settings of single detectors, over the common ones.", **_FIELDS
)
DetectionOverrides: type[Model] = _with_models(
    Detection, detectors=(_DETECTORS | None, Field(None, description="settings of single detectors"))
)
