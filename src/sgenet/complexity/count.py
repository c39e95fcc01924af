"""Parameters, GFLOPs by the authors' convention, and the number of multiply-adds.

No values are computed: the network runs on torch's meta device, where tensors have shapes but no values.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sgenet.attention import SpatialGroupEnhance
from sgenet.complexity.failures import describe_error
from sgenet.config.names import attention_settings
from sgenet.config.recipes import Network
from sgenet.config.replication import FullSize
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.models.resnet import create_resnet

NETWORK_INPUT = (224, 224)  # height, width of the paper's classification tables
BACKBONE_INPUT = (800, 1333)  # height, width of its detection tables

_Rule = Callable[[Any, Tensor, Tensor], int]
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
# Rules of the authors' counter: (module, input, output) -> operations in one forward pass. Functional
# operations, element-wise arithmetic, sigmoid and softmax are not counted. SGE counts as its pooling layer.
_AUTHORS_RULES: list[tuple[type[nn.Module] | tuple[type[nn.Module], ...], _Rule]] = [
    (nn.Conv2d, lambda m, x, y: y.numel() * (m.weight[0].numel() + (m.bias is not None))),
    (nn.Linear, lambda m, x, y: x.numel() * m.out_features),
    (nn.BatchNorm2d, lambda m, x, y: 2 * x.numel()),
    (nn.ReLU, lambda m, x, y: y.numel()),
    (_POOLS, lambda m, x, y: x.numel()),
    (SpatialGroupEnhance, lambda m, x, y: x.numel()),
]


def count_runs(runs: Iterable[FullSize]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Count the models of several runs; a model that fails does not affect the others.

    Returns:
        by run id, the counts of its model; and by run id, why its model cannot be counted.
    """
    counts: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    known: dict[str, dict[str, Any] | str] = {}  # a network shared by several runs is counted once
    for run in runs:
        network = json.dumps([run.model, run.task, run.network.plain()], sort_keys=True)
        if network not in known:
            try:
                known[network] = count_run(run)
            except Exception as error:  # of an attention module, which may raise any
                known[network] = describe_error(error)
        found = known[network]
        if isinstance(found, str):
            failed[run.id] = found
        else:
            counts[run.id] = found
    return counts, failed


def count_run(run: FullSize) -> dict[str, Any]:
    """Count a run's model at the paper's size: the whole network for classification, the backbone for detection.

    It is of `Replication.full_size`.
    """
    return count_full_size(run.model, run.network, backbone=run.task is Task.DETECTION)


def count_full_size(
    model: str, settings: Network, *, backbone: bool, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Count a model with a recipe's settings; InputError if they do not fit it. See `count_model`."""
    try:
        attention = attention_settings(model, settings)
    except ValueError as error:
        raise InputError(f"{model} at the recipe's width: {error}") from None
    return count_model(
        model,
        attention=attention,
        width=settings.width,
        max_pool=settings.max_pool,
        backbone=backbone,
        size=size,
    )


def count_model(
    model: str,
    *,
    attention: dict[str, Any] | None = None,
    width: int = 64,
    max_pool: bool = True,
    backbone: bool = False,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Count one forward pass of a model on one image, in eval mode.

    Args:
        model: such as `sge-resnet50`.
        attention: settings of its attention module.
        width: channels of the stem.
        max_pool: whether the stem ends with its max pooling.
        backbone: without the last layer, but with the global average pool, as the authors' detection tables count.
        size: height and width in pixels; by default those of the paper's tables.

    Returns:
        model, part, input [H, W], params (trainable), gflops (authors' convention, 1e9 operations) and macs
        (multiply-adds of convolutions and matrix products, and one per element for all other arithmetic).
    """
    height, width_px = size or (BACKBONE_INPUT if backbone else NETWORK_INPUT)
    with torch.device("meta"):
        network = create_resnet(model, attention=attention, width=width, max_pool=max_pool).eval()
        if backbone:
            network.fc = nn.Identity()
        image = torch.empty(1, 3, height, width_px)
    operations = 0

    def hook(rule: _Rule) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Any], Tensor], None]:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], settings: dict[str, Any], output: Tensor) -> None:
            nonlocal operations
            operations += rule(module, inputs[0], output)
            operations += output.numel() if settings.get("relu") else 0  # that of the block, which SGE applies

        return add

    for module in network.modules():
        for types, rule in _AUTHORS_RULES:
            if isinstance(module, types):
                module.register_forward_hook(hook(rule), with_kwargs=True)
    with torch.no_grad(), _MultiplyAdds() as counter:
        network(image)
    return {
        "model": model,
        "part": "backbone" if backbone else "network",
        "input": [height, width_px],
        "params": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "gflops": operations / 1e9,
        "macs": counter.total,
    }


class _MultiplyAdds(TorchDispatchMode):
    """Count the multiply-adds of every operation: by torch's formulas for products, one per element for the rest."""

    _NO_ARITHMETIC = frozenset({"empty", "detach", "clone", "copy_", "_to_copy", "zeros", "full", "lift_fresh", "cat"})

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=out) // 2
        elif not func.is_view and packet.__name__ not in self._NO_ARITHMETIC:
            tensors = [t for t in (*args, *(out if isinstance(out, tuple) else (out,))) if isinstance(t, Tensor)]
            self.total += max((t.numel() for t in tensors), default=0)
        return out
