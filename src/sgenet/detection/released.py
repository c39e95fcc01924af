"""Conversion of detectors of mmdetection 0.6 to the parameter names and the order of classes of mmdet 3.

mmdetection 0.6 has the heads of the second stage at the top level, and the background as the first class: one
additional row in the classifier, four in a class-specific box regression, and one additional mask. In mmdet 3 the
background is the classifier's last row, and has no box and no mask. RetinaNet uses a sigmoid and has no background
class in either version. The checkpoints of 0.6 do not name their classes; those of COCO are in the order of their ids,
as in mmdet 3.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sgenet.detection import ops

ops.install()  # before mmdet is imported

from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.config.names import parse_name  # noqa: E402
from sgenet.config.params import load_recipe  # noqa: E402
from sgenet.config.runs import Run, paper_detector  # noqa: E402
from sgenet.config.tasks import Task  # noqa: E402
from sgenet.data.manifest import Manifest  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.errors import InputError  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.weights.released import Released, fit_released  # noqa: E402

_COCO: tuple[str, ...] = CocoDataset.METAINFO["classes"]
_ANCHORS = 9  # of RetinaNet per position: three scales, three ratios


def create_detector(
    model: str, released: Released, path: str | Path, classes: Sequence[str] | None = None
) -> nn.Module:
    """The full-size detector `model` (`faster-rcnn/sge-resnet50`) with the weights of a checkpoint of mmdetection 0.6.

    Args:
        model: detector and backbone; params/recipes/detection.yaml defines the rest.
        released: content of the checkpoint.
        path: of the checkpoint, for messages.
        classes: names in the requested order; by default COCO's 80 in the order of their ids.

    Raises:
        InputError: the model is unknown, the classes differ, or names or shapes differ from the model's.
    """
    wanted = list(classes or _COCO)
    detector, _, network = model.partition("/")
    recipe = load_recipe(Task.DETECTION)
    try:
        parse_name(network)
        if detector not in recipe["detectors"]:
            raise ValueError(f"found detector {detector!r}, expected one of {', '.join(recipe['detectors'])}")
    except ValueError as error:
        raise InputError(f"model: {error}") from None
    state = convert(released, detector, wanted, path)
    init_default_scope("mmdet")
    run = Run(Task.DETECTION, model, network, paper_detector(detector, network), detector)
    built = MODELS.build(detector_config(run, Path("data"), Manifest.of_classes(wanted)).model)
    fit_released(built, state, path)
    return built


def convert(released: Released, detector: str, classes: Sequence[str], path: str | Path) -> dict[str, Tensor]:
    """The checkpoint's tensors under mmdet 3's names, with class-specific rows in the order of `classes`.

    A checkpoint that names no classes is assumed to have COCO's 80.

    Raises:
        InputError: the checkpoint is of a later mmdetection, has other classes, or does not name its classes and has
            not 80 of them.
    """
    for name in released.state:
        if name.startswith("roi_head."):
            raise InputError(f"{path}: state_dict: found {name}, expected the names of mmdetection 0.6 (bbox_head...)")
    if released.classes is None:
        _check_coco(released, detector, path)
    order = _order(released.classes, classes, path)
    convert_one = _retinanet if detector == "retinanet" else _two_stage
    return dict(convert_one(name, tensor, order) for name, tensor in released.state.items())


def _check_coco(released: Released, detector: str, path: str | Path) -> None:
    """Raise InputError unless the classifier has the rows of COCO's classes."""
    retinanet, classes = detector == "retinanet", len(_COCO)
    kind, expected = ("retina_cls", _ANCHORS * classes) if retinanet else ("fc_cls", 1 + classes)
    for name, tensor in released.state.items():
        if re.search(rf"\.{kind}\.\w+$", name) and (rows := _rows(tensor)) != expected:
            reason = f"expected {expected} for COCO's {classes} classes, since meta.CLASSES is missing"
            raise InputError(f"{path}: {name}: found {rows} rows, {reason}")


def _order(found: Sequence[str] | None, wanted: Sequence[str], path: str | Path) -> Tensor:
    """For each requested class, its index in the checkpoint (K,)."""
    field = "meta.CLASSES" if found is not None else "meta.CLASSES (missing, assumed to be COCO's)"
    names = [_class_name(name) for name in (_COCO if found is None else found)]
    asked = [_class_name(name) for name in wanted]
    missing, unknown = [name for name in asked if name not in names], [name for name in names if name not in asked]
    if missing or unknown or len(set(names)) < len(names) or len(set(asked)) < len(asked):
        differences = [f"{name} is missing" for name in missing[:3]] + [f"{name} is unknown" for name in unknown[:3]]
        details = "; ".join(differences) or "a name occurs twice"
        raise InputError(f"{path}: {field}: found {len(names)} classes, expected {len(asked)}: {details}")
    return torch.tensor([names.index(name) for name in asked], dtype=torch.long)


def _class_name(name: str) -> str:
    return name.replace("_", " ")  # 0.6 wrote traffic_light


def _retinanet(name: str, tensor: Tensor, order: Tensor) -> tuple[str, Tensor]:
    if name.startswith("bbox_head.retina_cls.") and _rows(tensor) % len(order) == 0:
        tensor = tensor.unflatten(0, (-1, len(order)))[:, order].flatten(0, 1)  # anchor by anchor
    return name, tensor


def _two_stage(name: str, tensor: Tensor, order: Tensor) -> tuple[str, Tensor]:
    if not name.startswith(("bbox_head.", "mask_head.")):
        return name, tensor
    rows, classes = _rows(tensor), len(order)
    if re.search(r"\.fc_cls\.\w+$", name) and rows == classes + 1:
        tensor = torch.cat([tensor[1:][order], tensor[:1]])
    elif re.search(r"\.fc_reg\.\w+$", name) and rows == 4 * (classes + 1):
        tensor = tensor[4:].unflatten(0, (classes, 4))[order].flatten(0, 1)
    elif re.search(r"\.conv_logits\.\w+$", name) and rows == classes + 1:
        tensor = tensor[1:][order]
    return f"roi_head.{name}", tensor  # loading reports a wrong number of rows


def _rows(tensor: Tensor) -> int:
    return len(tensor) if tensor.dim() else 0
