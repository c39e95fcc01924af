"""torchvision's ResNet with an attention module at the module's `placement` (`sgenet.attention`).

Modules have their own names in the state dict (`layer1.0.sge.weight`), as in the authors' code, so that the authors'
weights load strictly. Initialisation is torchvision's (kaiming, fan-out), without zero-initialised last normalisations.

With the same seed, networks with different modules start with the same weights in all layers that they share with the
plain network, and leave torch's random generator in the same state. So two trainings with one seed are a pair.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet as torchvision_resnet

from sgenet import attention as registry
from sgenet.attention import SpatialGroupEnhance
from sgenet.config.names import parse_name
from sgenet.errors import InputError


class _Scriptable:
    """A module that torch.jit.script compiles from its torch.fx graph: modules by name are no part of TorchScript."""

    def __prepare_scriptable__(self: Any) -> nn.Module:
        return torch.fx.symbolic_trace(self)


class BasicBlock(_Scriptable, torchvision_resnet.BasicBlock):
    """torchvision's basic block; its residual branch ends with the module named by `attention`."""

    attention: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, P, H / stride, W / stride) of x (N, C, H, W), where P is the block's width."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return _end(self, out, x if self.downsample is None else self.downsample(x))


class Bottleneck(_Scriptable, torchvision_resnet.Bottleneck):
    """torchvision's bottleneck (stride in the 3x3 convolution) with a module inside, or at the end of its branch."""

    attention: str | None = None
    inner: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 P, H / stride, W / stride) of x (N, C, H, W), where P is the block's width."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out))) if self.inner is None else self.inner.forward(out)
        out = self.bn3(self.conv3(out))
        return _end(self, out, x if self.downsample is None else self.downsample(x))

    def replace_conv2(self, module: nn.Module) -> None:
        """Replace conv2, bn2 and relu by `module`; the block registers its layers under their own names.

        As in the authors' state dicts, only the layers are submodules of the block; `module` itself, which only calls
        them, is not. So its hooks would not be copied or traced, and `forward` calls its `forward`. A layer with the
        name and the shapes of a layer that it replaces starts with that one's weights.
        """
        for name, layer in module.named_children():
            replaced = dict(self.named_children()).get(name, nn.Identity()).state_dict()
            if _shapes(replaced) == _shapes(layer.state_dict()):
                layer.load_state_dict(replaced)
            setattr(self, name, layer)
        self.__dict__["inner"] = module


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _end(block: BasicBlock | Bottleneck, branch: Tensor, identity: Tensor) -> Tensor:
    """The module at the end of the branch, the shortcut's addition and the ReLU; SGE does all three in one pass."""
    if block.attention is not None:
        module = getattr(block, block.attention)
        if type(module) is SpatialGroupEnhance:  # the forward of a subclass may take the branch alone
            return module(branch, identity, relu=True)
        branch = module(branch)
    return block.relu(branch + identity)


def _last_norm(block: BasicBlock | Bottleneck) -> nn.BatchNorm2d:
    return block.bn2 if isinstance(block, BasicBlock) else block.bn3


_LAYERS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class AttentionResNet(_Scriptable, torchvision_resnet.ResNet):
    """ResNet of He et al. with an optional attention module.

    Args:
        depth: 18, 34, 50 or 101.
        attention: a name of `sgenet.attention`, or None for the plain network; InputError if it cannot be built.
        attention_settings: keyword arguments of the attention module (SGE: `groups`) for this width.
        width: channels of the stem; the paper's network has 64. The stages scale with it.
        num_classes: outputs of the last layer.
        max_pool: whether the stem ends with its 3x3 max pooling, of stride 2; False is for small images.

    Shape: (N, 3, H, W) -> logits (N, num_classes).
    """

    def __init__(
        self,
        depth: int,
        attention: str | None = None,
        attention_settings: dict[str, Any] | None = None,
        width: int = 64,
        num_classes: int = 1000,
        max_pool: bool = True,
    ) -> None:
        nn.Module.__init__(self)  # torchvision's __init__ fixes the width at 64; the rest is the same
        block, layers = _LAYERS[depth]
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if max_pool else nn.Identity()
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, width * 2, layers[1], stride=2)
        self.layer3 = self._make_layer(block, width * 4, layers[2], stride=2)
        self.layer4 = self._make_layer(block, width * 8, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.between: str | None = None  # name of the attention module between the stages
        if attention is not None:
            try:
                with torch.random.fork_rng(devices=[]):  # what is drawn next does not depend on the module
                    self._add_attention(attention, attention_settings or {})
            except ValueError as error:
                raise InputError(f"{attention}-resnet{depth}, width {width}: {error}") from None

    def _add_attention(self, name: str, settings: dict[str, Any]) -> None:
        placement = registry.placement(name)
        if placement == "conv" and "stride" in settings:
            raise ValueError(f"attention.{name}.stride: found {settings['stride']}, but each block sets it")
        if placement == "stage":
            self.between = name
            for number, stage in enumerate((self.layer1, self.layer2, self.layer3), start=1):
                channels = _last_norm(stage[-1]).num_features
                self.add_module(f"{name}{number}", registry.create(name, channels, **settings))
            return
        for block in [module for module in self.modules() if isinstance(module, BasicBlock | Bottleneck)]:
            if placement == "conv":
                assert isinstance(block, Bottleneck)  # ensured by names.parse_name
                channels, stride = block.conv2.out_channels, block.conv2.stride[0]
                block.replace_conv2(registry.create(name, channels, stride=stride, **settings))
            else:
                block.attention = name
                block.add_module(name, registry.create(name, _last_norm(block).num_features, **settings))

    def stage_outputs(self, x: Tensor) -> list[Tensor]:
        """The feature maps of the four stages; a module between two stages belongs to the first of them.

        Shape: (N, 3, H, W) -> four maps of stride 4, 8, 16, 32, without max pooling of half of that.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for number in (1, 2, 3, 4):
            x = getattr(self, f"layer{number}")(x)
            if self.between is not None and number < 4:
                x = getattr(self, f"{self.between}{number}")(x)
            outputs.append(x)
        return outputs

    def forward(self, x: Tensor) -> Any:
        """Logits (N, num_classes) of images (N, 3, H, W)."""
        return self.fc(torch.flatten(self.avgpool(self.stage_outputs(x)[-1]), 1))

    def set_residual_gain(self, gain: float) -> None:
        """Set the weight of each block's last normalisation to `gain` (1 in the paper; less helps small networks)."""
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.constant_(_last_norm(module).weight, gain)


def create_resnet(
    model: str,
    *,
    attention: dict[str, Any] | None = None,
    width: int = 64,
    num_classes: int = 1000,
    max_pool: bool = True,
) -> AttentionResNet:
    """Build the network `model` (`resnet50`, `sge-resnet50`); `attention` are the settings of its module."""
    name, depth = parse_name(model)
    return AttentionResNet(depth, name, attention, width, num_classes, max_pool)
