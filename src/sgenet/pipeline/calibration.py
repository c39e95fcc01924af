"""Cost of a run's training and evaluation on this machine, measured with a few steps on synthetic images.

The images are noise of the run's size, and the objects of a detector's images are random boxes with masks. Reading,
decoding and augmenting real images is not included. Nothing is written.

On a CPU a full-size batch would take minutes. Therefore fewer images are timed there, and if even one or two of them
exceed CPU_PIXELS, their sides are reduced to a half, a quarter and so on. The work of a network is proportional to the
pixels of its images, except for a detector's work per region; the number of regions is reduced in proportion.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sgenet.complexity.count import count_full_size
from sgenet.config.optimizer import Optimizer
from sgenet.config.recipes import Classification, Detection, TrainingSettings
from sgenet.config.runs import Run, network
from sgenet.data.manifest import Manifest
from sgenet.data.progress import progress
from sgenet.pipeline.plan import Cost
from sgenet.training.devices import describe_device

OBJECTS = 7  # per image: COCO's train2017 has 860,001 on 118,287 images
CPU_PIXELS = 40_000  # per step
TIMED = 5  # steps at most; the fastest counts, since other load only slows a step down
ENOUGH = 1.0  # seconds, after which no further step is timed
_BYTES = 4  # of a parameter
# Settings that do not change the work of a step.
FREE = {
    "epochs", "schedule", "warmup", "warmup_epochs", "gradient_clip", "flip", "crop_scale", "resize", "residual_gain",
    "label_smoothing", "mean", "std", "drop_last", "workers", "starts_from",
}  # fmt: skip


def calibrate(runs: Iterable[Run], classes: Mapping[str, int], device: str) -> tuple[dict[str, Cost], dict[str, Any]]:
    """Measure one network of each kind of run, the one with the fewest operations, and scale its cost to the others.

    Kinds differ in task, detector, image size, batch and the other settings that change the work of a step; networks of
    a kind differ in depth and attention module. Times are scaled by the multiply-adds of the network, of a detector by
    those of its backbone, which overestimates deeper ones; sizes are scaled by parameters.

    Args:
        runs: of either task.
        classes: number of classes, by task.
        device: `cpu` or `cuda`.

    Returns:
        costs by run id, and how they were measured: device, its name, the measured runs, timed steps, and the distinct
        ways (task, precision, images, height and width of a run's step and of a timed one).
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(json.dumps([run.task, run.detector, _costly(run.settings)]), []).append(run)
    costs: dict[str, Cost] = {}
    ways, measured = list[dict[str, Any]](), list[str]()
    for group in progress(alike.values(), "calibration", "network", len(alike)):
        counts = {run.id: _count(run) for run in group}
        first = min(group, key=lambda run: counts[run.id])
        cost = measure(first, classes[first.task], device)
        costs |= {run.id: _scale(cost, counts[first.id], counts[run.id]) for run in group}
        measured.append(first.id)
        settings, (height, width) = first.settings, image_size(first)
        step = {"images": settings.device_batch_size, "height": height, "width": width}
        timed = {"images": cost.images, "height": cost.height, "width": cost.width}
        way = {"task": first.task, "precision": getattr(settings, "precision", "fp32"), "run": step, "timed": timed}
        if way not in ways:
            ways.append(way)
    name = describe_device(device)
    return costs, {"device": device, "name": name, "networks": measured, "steps": TIMED, "ways": ways}


def _count(run: Run) -> tuple[int, int]:
    """The multiply-adds and the parameters of a run's network, of a detector those of its backbone."""
    settings, backbone = run.settings.plain(), run.detector is not None
    try:
        counts = count_full_size(run.model, network(run.model, settings), backbone=backbone)
    except Exception:  # of an attention module, which may raise any: as if the network had none
        plain = run.model.rpartition("-")[2]
        counts = count_full_size(plain, network(plain, settings), backbone=backbone)
    return counts["macs"], counts["params"]


def _scale(cost: Cost, measured: tuple[int, int], own: tuple[int, int]) -> Cost:
    """The cost of a network from that of a measured one, by the counts of both."""
    work, added = own[0] / measured[0], _BYTES * (own[1] - measured[1])
    weights = cost.weights + added
    checkpoint = round(cost.checkpoint * weights / cost.weights)
    return replace(cost, train=cost.train * work, test=cost.test * work, weights=weights, checkpoint=checkpoint)


def _costly(settings: TrainingSettings) -> dict[str, Any]:
    """Settings without FREE ones, those of attention modules, and the parameters of the optimiser."""
    kept = {key: value for key, value in settings.plain().items() if key not in {*FREE, "attention"}}
    return kept | {"optimizer": settings.optimizer.type}


def measure(run: Run, classes: int, device: str) -> Cost:
    """Time the run's network; the time of an optimiser step is divided by the full batch size.

    Args:
        run: a run of either task.
        classes: number of classes of its data.
        device: `cpu` or `cuda`.
    """
    settings, full = run.settings, image_size(run)
    least = 2 if isinstance(settings, Classification) else 1  # two for batch normalisation, which detectors freeze
    images, height, width = shape = timed_shape(settings.device_batch_size, full, device, least)
    torch.backends.cudnn.benchmark = isinstance(settings, Classification)  # as in training
    build = _classifier if isinstance(settings, Classification) else _detector
    model, batch = build(run, classes, shape)
    model = model.to(device).train()
    optimizer = _optimizer(model, settings.optimizer)

    def learn() -> None:
        loss, _ = model.parse_losses(_forward(model, batch, training=True))
        loss.backward()

    def test() -> None:
        with torch.inference_mode():
            _forward(model, batch, training=False)

    scale = math.prod(full) / (height * width) / images
    learning = _seconds(learn, device) * scale
    stepping = _seconds(optimizer.step, device) / settings.batch_size
    weights = _bytes(model.state_dict().values())
    state = _bytes(value for entry in optimizer.state.values() for value in entry.values() if torch.is_tensor(value))
    model.eval()
    testing = _seconds(test, device) * scale
    return Cost(learning + stepping, testing, weights, weights + state, *shape)


def image_size(run: Run) -> tuple[int, int]:
    """Height and width of a run's images in pixels; for detection, the maximum."""
    if isinstance(run.settings, Classification):
        return (run.settings.image_size,) * 2
    longer, shorter = run.detection.image_scale
    return shorter, longer


def timed_shape(batch: int, size: tuple[int, int], device: str, least: int) -> tuple[int, int, int]:
    """Images, height and width of a timed step: a micro-batch, on a CPU limited to CPU_PIXELS.

    `least` is the minimum number of images, unless the batch has fewer.
    """
    height, width = size
    if device != "cpu" or batch * height * width <= CPU_PIXELS:
        return batch, height, width
    while min(batch, least) * height * width > CPU_PIXELS:
        height, width = height // 2, width // 2
    return min(batch, CPU_PIXELS // (height * width)), height, width


def _forward(model: Any, batch: Any, *, training: bool) -> Any:
    data = model.data_preprocessor(batch, training)
    mode = "loss" if training else "predict"
    return model(**data, mode=mode) if isinstance(data, dict) else model(*data, mode=mode)


def _seconds(work: Callable[[], Any], device: str) -> float:
    """The shortest time of `work`, in seconds."""
    found: list[float] = []
    untimed = 1 if device == "cpu" else 3  # cuDNN tries its algorithms first
    while len(found) <= untimed or (len(found) < untimed + TIMED and sum(found[untimed:]) < ENOUGH):
        if device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found[untimed:])


def _optimizer(model: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """The run's optimiser with a learning rate of zero: the network stays as it was initialised."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    arguments = {key: value for key, value in settings.plain().items() if key != "type"} | {"lr": 0.0, "fused": True}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, settings.type)(trained, **arguments)
    return optimizer


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _classifier(run: Run, classes: int, shape: tuple[int, int, int]) -> tuple[Any, list[Tensor]]:
    from sgenet.classification.classifier import Classifier, build_network

    images, height, width = shape
    model = Classifier(build_network(run.model, run.classification, classes), run.classification)
    noise = torch.randint(256, (images, 3, height, width), dtype=torch.uint8)
    return model, [noise, torch.randint(classes, (images,))]


def _detector(run: Run, classes: int, shape: tuple[int, int, int]) -> tuple[Any, dict[str, Any]]:
    from sgenet.detection import ops

    ops.install()  # before mmdet is imported
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs
    from mmengine.registry import init_default_scope

    from sgenet.detection.config import detector_config
    from sgenet.models import backbone  # noqa: F401  (registers the backbone)

    init_default_scope("mmdet")
    images, height, width = shape
    fewer = replace(run, settings=_fewer_regions(run.detection, height * width / math.prod(image_size(run))))
    config = detector_config(fewer, Path("unused"), Manifest.of_classes([str(index) for index in range(classes)]))
    model = MODELS.build(config.model).to(memory_format=torch.channels_last)
    logging.disable(logging.INFO)  # mmengine logs each weight
    model.init_weights()
    logging.disable(logging.NOTSET)
    model.backbone.set_residual_gain(0.2)  # untrained statistics let the features grow with each block
    batch = demo_mm_inputs(images, (3, height, width), [OBJECTS] * images, num_classes=classes + 1, with_mask=True)
    for sample in batch["data_samples"]:
        sample.gt_instances.labels -= 1  # they begin at 1
    return model, batch


def _fewer_regions(settings: Detection, part: float) -> Detection:
    """Settings with the fraction `part` of the proposals, sampled regions and detections."""
    counts = {
        "rpn": ("samples", "train_candidates", "train_proposals", "test_proposals"),
        "roi": ("samples",),
        "test": ("max_detections",),
    }
    few = {}
    for group, names in counts.items():
        if (whole := getattr(settings, group, None)) is not None:
            less = {name: math.ceil(getattr(whole, name) * part) for name in names}
            few[group] = whole.model_copy(update=less)
    return settings.model_copy(update=few)
