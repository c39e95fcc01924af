"""The checks of `sgenet check-module`: what a network, a training and the tools of this project expect of a module.

Each check takes a `Subject`, returns its result in words, and raises `CheckError`, or whatever the module raises.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sgenet import attention
from sgenet.config import params
from sgenet.config.names import attention_settings, placement, stage_channels
from sgenet.config.recipes import Network
from sgenet.config.runs import network
from sgenet.config.tasks import Task
from sgenet.models.resnet import AttentionResNet, create_resnet
from sgenet.weights.checkpoints import load_weights, save_weights

_NARROW = "demo"  # a scale with narrow networks
_DEPTH, _STAGES = 50, (1, 2, 3, 4)
_IMAGES, _SIDE = 2, 14  # of most feature maps; 14 x 14 is stage 3 of a 224 x 224 image
_ODD = ((7, 5), (13, 3), (1, 9))
_SMALL = 32  # pixels of an image whose last feature maps are 1 x 1
_BF16 = 0.05  # largest error over the largest output; bfloat16 has 8 bits


class CheckError(Exception):
    """A check failed, for this reason."""


@dataclass(frozen=True)
class Subject:
    """The module to check, on a device, with the settings of the recipe or of a narrow network."""

    name: str
    device: str

    @property
    def model(self) -> str:
        """The ResNet50 with the module."""
        return f"{self.name}-resnet{_DEPTH}"

    def settings(self, *, narrow: bool = False) -> Network:
        """Return the settings of the full-size network, or of a narrow one."""
        overrides = [params.load_scale(_NARROW).classification] if narrow else []
        recipe = params.load_recipe(Task.CLASSIFICATION)
        return network(self.model, params.merge_layers(None, self.model, recipe, *overrides))

    def channels(self, stage: int) -> int:
        """Return the channels of the module's input in a stage of the full-size network."""
        width = self.settings().width
        return (width if placement(self.name) == "conv" else stage_channels(_DEPTH, width)) * 2 ** (stage - 1)

    def module(self, stage: int = 1, **more: Any) -> nn.Module:
        """Build the module of a stage, with weights that differ a little from the initial ones, as after a step."""
        own = attention_settings(self.model, self.settings()) or {}
        built = attention.create(self.name, self.channels(stage), **own, **more).to(self.device)
        with torch.no_grad():
            for weight in built.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        return built

    def maps(self, *size: int, stage: int = 1, images: int = _IMAGES) -> Tensor:
        """Return random feature maps of a stage."""
        return torch.randn(images, self.channels(stage), *size, device=self.device)

    def network(self, *, narrow: bool) -> AttentionResNet:
        """Build the ResNet50 with the module, full-size or narrow."""
        settings = self.settings(narrow=narrow)
        own = attention_settings(self.model, settings)
        built = create_resnet(self.model, attention=own, width=settings.width, max_pool=settings.max_pool)
        return built.to(self.device)


def check_shape(subject: Subject) -> str:
    """The output has the shape of the input in every stage; with a stride, that of a strided convolution."""
    for stage in _STAGES:
        x = subject.maps(_SIDE, _SIDE, stage=stage)
        _expect_shape(subject.module(stage)(x), x.shape)
        if placement(subject.name) == "conv":
            _expect_shape(subject.module(stage, stride=2)(x), (*x.shape[:2], _SIDE // 2, _SIDE // 2))
    shown = ", ".join(str(subject.channels(stage)) for stage in _STAGES)
    return f"that of the input at {shown} channels"


def check_single_positions(subject: Subject) -> str:
    """Maps of 1 x 1, as the last ones of small images: two images in training mode, one in eval mode."""
    module = subject.module()
    _train(module, subject.maps(1, 1))
    _expect_finite("the output of one image in eval mode", [module.eval()(subject.maps(1, 1, images=1))])
    return f"finite for {_IMAGES} images in training mode and one in eval mode"


def check_odd_sizes(subject: Subject) -> str:
    """Sizes that are odd, not square, or a single row."""
    for size in _ODD:
        _train(subject.module(), subject.maps(*size))
    return "finite at " + ", ".join(f"{height} x {width}" for height, width in _ODD)


def check_gradients(subject: Subject) -> str:
    """Gradients of the input and of every weight are finite, also for maps without variation and for large ones."""
    x = subject.maps(_SIDE, _SIDE)
    kinds = {"random": x, "constant": torch.ones_like(x), "zero": torch.zeros_like(x), "large": 1000 * x}
    for kind, maps in kinds.items():
        module = subject.module()
        try:
            _train(module, maps)
        except CheckError as error:
            raise CheckError(f"{error}, for {kind} maps") from None
        if unused := [name for name, weight in module.named_parameters() if weight.grad is None]:
            raise CheckError(f"{unused[0]} has no gradient, expected one of every weight, which training needs")
    return f"finite for {', '.join(kinds)} maps"


def check_channels_last(subject: Subject) -> str:
    """The memory format changes no number."""
    module, x = subject.module().eval(), subject.maps(_SIDE, _SIDE)
    expected, last = module(x), x.to(memory_format=torch.channels_last)
    found = module(last)
    _expect_close(found, expected, 1e-3)
    _train(module, last)
    kept = found.is_contiguous(memory_format=torch.channels_last)
    return "the same numbers" + ("" if kept else "; but the output is not channels_last, which costs time")


def check_bf16(subject: Subject) -> str:
    """Under autocast to bfloat16, with the maps that convolutions return there, numbers are close to those of fp32."""
    module, x = subject.module().eval(), subject.maps(_SIDE, _SIDE)
    expected = module(x)
    with torch.autocast(torch.device(subject.device).type, torch.bfloat16):
        error = _expect_close(module(x.bfloat16()), expected, _BF16)
        _train(module, x.bfloat16())
    return f"under autocast within {100 * error:.2g} % of the numbers of fp32"


def check_narrow(subject: Subject) -> str:
    """The network of the scales `smoke` and `demo` can be trained, on images whose last maps are 1 x 1."""
    net = subject.network(narrow=True)
    _train(net, torch.randn(_IMAGES, 3, _SMALL, _SMALL, device=subject.device), same_shape=False)
    return f"{subject.model} of width {net.bn1.num_features} on images of {_SMALL} x {_SMALL} pixels"


def check_state_dict(subject: Subject) -> str:
    """Names of weights are under the module's own name, always the same, and enough to restore the network."""
    first, second = subject.network(narrow=True), subject.network(narrow=True)
    names = list(first.state_dict())
    plain = create_resnet(f"resnet{_DEPTH}", width=first.bn1.num_features).state_dict()
    own = [name for name in names if name not in plain]
    _expect_own_names(subject.name, own)
    if missing := [name for name in plain if name not in names and not {"conv2", "bn2"} & {*name.split(".")}]:
        raise CheckError(f"{missing[0]} is missing, expected all names of the plain network")
    images = torch.randn(_IMAGES, 3, _SMALL, _SMALL, device=subject.device)
    first(images)
    for other, when in ((list(second.state_dict()), "in a second network"), (list(first.state_dict()), "after a pass")):
        if names != other:
            different = sorted({*names} ^ {*other}) or ["their order"]
            raise CheckError(f"the names differ {when}: {different[0]}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        save_weights(first, path)
        load_weights(second, path)
    if not torch.equal(first.eval()(images), second.eval()(images)):
        raise CheckError("a network with the saved weights returns other numbers, expected the same")
    return f"{len(own)} names, such as {own[0]}; saved and loaded" if own else "no weights"


def _expect_own_names(name: str, found: Iterable[str]) -> None:
    """Raise a CheckError if a module that is a submodule of the network has a name elsewhere."""
    for each in found if placement(name) != "conv" else ():
        parts = each.split(".")
        if name not in parts and parts[0].rstrip("123") != name:
            raise CheckError(f"found the name {each}, expected names under {name}")


def _train(module: nn.Module, x: Tensor, *, same_shape: bool = True) -> None:
    """Forward and backward pass in training mode; CheckError unless output and gradients are finite."""
    module.train()
    x = x.detach().requires_grad_()
    output = module(x)
    if same_shape:
        _expect_shape(output, x.shape)
    _expect_finite("the output", [output])
    (output * torch.randn_like(output)).sum().backward()
    _expect_finite("the gradient of the input", [x.grad])
    for name, weight in module.named_parameters():
        _expect_finite(f"the gradient of {name}", [weight.grad])


def _expect_shape(found: Any, expected: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor) or found.shape != torch.Size(expected):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise CheckError(f"found an output of shape {shape}, expected {tuple(expected)}")


def _expect_finite(what: str, tensors: Iterable[Tensor | None]) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in tensors if tensor is not None):
        raise CheckError(f"{what} is not finite")


def _expect_close(found: Tensor, expected: Tensor, most: float) -> float:
    """Return the largest difference over the largest expected number; CheckError if it is above `most`."""
    _expect_shape(found, expected.shape)
    _expect_finite("the output", [found])
    difference = (found.float() - expected).detach().abs().max()
    error = float(difference / expected.detach().abs().max().clamp(min=1e-12))
    if error > most:
        raise CheckError(f"the output differs by {100 * error:.2g} %, expected at most {100 * most:g} %")
    return error


CHECKS: dict[str, Callable[[Subject], str]] = {
    "output shape": check_shape,
    "1 x 1 maps": check_single_positions,
    "odd sizes": check_odd_sizes,
    "gradients": check_gradients,
    "channels_last": check_channels_last,
    "bf16": check_bf16,
    "narrow width": check_narrow,
    "state dict": check_state_dict,
}
