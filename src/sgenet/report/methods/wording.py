"""Settings in words: what each is called, and its value with its unit, for readers who know the paper alone."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
DETECTORS = {
    "retinanet": "RetinaNet",
    "faster-rcnn": "Faster R-CNN",
    "mask-rcnn": "Mask R-CNN",
    "cascade-rcnn": "Cascade R-CNN",
}

Words = tuple[str, Callable[[Any], str]]


def plain(value: Any) -> str:
    """Any value as text: numbers short, thirds and ninths as fractions, what is missing as `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", THIN_SPACE)
    if isinstance(value, float):
        ratio = Fraction(value).limit_denominator(20)
        return str(ratio) if len(f"{value:g}") > 6 and abs(float(ratio) - value) < 1e-9 else f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(entry)}" for key, entry in value.items()) or "none"
    return str(value)


def _pixels(value: Any) -> str:
    return f"{plain(value)} × {plain(value)} px"


def _percents(value: Any) -> str:
    return " to ".join(f"{100 * share:g}" for share in value) + " %"


def _probability(value: Any) -> str:
    return f"with probability {plain(value)}" if value else "none"


def _schedule(value: dict[str, Any]) -> str:
    if value["type"] == "step" and {"milestones", "gamma"} <= value.keys():
        return f"× {plain(value['gamma'])} after epochs {plain(value['milestones'])}"
    return "a cosine to zero at the last epoch" if value == {"type": "cosine"} else plain(value)


def _warmup(value: dict[str, Any]) -> str:
    if not value["iterations"]:
        return "none"
    return f"{plain(value['iterations'])} steps, linear from {plain(value['ratio'])} of the learning rate"


def _warmup_epochs(value: Any) -> str:
    return (
        f"{plain(value)} epoch{'s' if value != 1 else ''}, linear from a tenth of the learning rate"
        if value
        else "none"
    )


def _frozen(value: Any) -> str:
    parts = ["none", "the stem", "the stem and stage 1"]
    return parts[value + 1] if value < 2 else f"the stem and stages 1 to {value}"


_OPTIMIZERS = {"SGD": "SGD", "AdamW": "AdamW, whose weight decay is decoupled"}
_MODULES = {"bam": "BAM", "cbam": "CBAM", "gc": "GC", "se": "SE", "sge": "SGE", "sk": "SK"}

# Dotted key -> what the setting is called, and how its value is told. A key without an entry is shown as it is.
WORDS: dict[str, Words] = {
    "epochs": ("Epochs", plain),
    "batch_size": ("Images per step", plain),
    "device_batch_size": ("Images per device and micro-batch", plain),
    "classification.device_batch_size": (
        "Batch of BN: images per device and micro-batch",
        plain,
    ),
    "optimizer.type": ("Optimiser", lambda value: _OPTIMIZERS.get(value, plain(value))),
    "optimizer.lr": ("Learning rate", plain),
    "optimizer.momentum": ("Momentum", plain),
    "optimizer.nesterov": ("Nesterov momentum", plain),
    "optimizer.weight_decay": ("Weight decay, on every parameter", plain),
    "schedule": ("Schedule of the learning rate", _schedule),
    "warmup_epochs": ("Warm-up", _warmup_epochs),
    "warmup": ("Warm-up", _warmup),
    "gradient_clip": ("Gradient clipped at an L2 norm of", plain),
    "label_smoothing": ("Label smoothing", lambda value: plain(value) if value else "none"),
    "drop_last": ("Last incomplete batch", lambda value: "dropped" if value else "filled up"),
    "image_size": ("Image size", _pixels),
    "image_scale": ("Image size, ratio kept, at most", lambda value: " × ".join(map(plain, value)) + " px"),
    "resize": ("Shorter side before the centre crop, in evaluation", lambda value: f"{plain(value)} px"),
    "crop_scale": ("Random crop, share of the area", _percents),
    "flip": ("Horizontal flip", _probability),
    "mean": ("Mean of the channels", plain),
    "std": ("Standard deviation of the channels", plain),
    "width": ("Width: channels of the stem (the groups of attention modules are scaled with it)", plain),
    "max_pool": ("Max pooling at the end of the stem", plain),
    "residual_gain": ("Initial γ of the last BN in a block", plain),
    "precision": ("Precision of forward passes", lambda value: "bfloat16" if value == "bf16" else plain(value)),
    "compile": ("Compiled by torch.compile", plain),
    "resident": ("Images kept on the device, cropped there", plain),
    "starts_from": ("Weights at the start", plain),
    "workers": ("Loader processes (no result depends on them)", plain),
    "frozen_stages": ("Frozen part of the backbone", _frozen),
    "norm_eval": ("BN of the backbone stays in eval mode", plain),
    "neck_channels": ("Channels of the feature pyramid", plain),
    "legacy_boxes": ("Box coder, anchors and assigners of mmdetection 1.x and before", plain),
    "anchor_scale": ("Side of the smallest anchor, divided by its stride", plain),
    "head_channels": ("Channels of the head", plain),
    "head_convs": ("Convolutions of each branch of the head", plain),
    "head_init_std": ("Initial standard deviation of the head’s weights", plain),
    "box_loss_beta": ("β of the smooth L1 loss of boxes", plain),
    "rpn.box_loss_beta": ("RPN: β of the smooth L1 loss of boxes", plain),
    "rpn.allowed_border": ("RPN: pixels by which an anchor may leave the image (−1: any)", plain),
    "rpn.samples": ("RPN: anchors sampled per image", plain),
    "rpn.train_candidates": ("RPN: proposals per level before NMS, in training", plain),
    "rpn.train_proposals": ("RPN: proposals kept in training", plain),
    "rpn.test_proposals": ("RPN: proposals kept in evaluation", plain),
    "roi.box_loss_beta": ("RoI head: β of the smooth L1 loss of boxes", plain),
    "roi.samples": ("RoI head: regions sampled per image", plain),
    "roi.fc_channels": ("RoI head: width", plain),
    "roi.sampling_ratio": ("RoIAlign: samples per bin and side (0: adaptive)", plain),
    "roi.aligned": ("RoIAlign: half-pixel shift", plain),
    "mask.convs": ("Mask head: convolutions", plain),
    "mask.channels": ("Mask head: channels", plain),
    "mask.roi_size": ("Mask head: bins per side (a mask has twice as many pixels)", plain),
    "test.score_threshold": ("Lowest score of a detection", plain),
    "test.nms_iou": ("IoU threshold of NMS", plain),
    "test.max_detections": ("Most detections per image", plain),
}
WORDS |= {f"attention.{key}.reduction": (f"{name}: reduction", plain) for key, name in _MODULES.items()}
WORDS |= {f"attention.{key}.groups": (f"{name}: groups, counted at width 64", plain) for key, name in _MODULES.items()}
WORDS |= {
    "attention.bam.dilation": ("BAM: dilation", plain),
    "attention.sge.gamma": ("SGE: initial γ", plain),
    "attention.sge.beta": ("SGE: initial β", plain),
    "attention.sge.normalize": ("SGE: normalisation", plain),
}
_WHOLE = {"schedule": {"type", "milestones", "gamma"}, "warmup": {"iterations", "ratio"}}  # told in one


def flatten(settings: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; the schedule and the warm-up stay whole where their words tell all of them."""
    for key, value in settings.items():
        dotted = f"{place}{key}"
        if isinstance(value, dict) and not (dotted in _WHOLE and value.keys() <= _WHOLE[dotted]):
            yield from flatten(value, f"{dotted}.")
        else:
            yield dotted, value


def in_words(task: str, key: str) -> Words:
    """What a setting of that task is called, and how its value is told; an unknown one keeps its dotted key."""
    return WORDS.get(f"{task}.{key}") or WORDS.get(key) or (key, plain)


def told_apart(tell: Callable[[Any], str], paper: Any, ours: Any) -> tuple[str, str]:
    """Two values in words; where they differ and the words do not, as they are."""
    texts = tuple("none" if value is None else tell(value) for value in (paper, ours))
    return (repr(paper), repr(ours)) if texts[0] == texts[1] and paper != ours else (texts[0], texts[1])
