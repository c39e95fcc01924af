"""torchvision's ResNet with an attention module in every residual block.

The module stands after the block's last batch normalisation and before the shortcut is added, under its own name in
the state dict (`layer1.0.sge.weight`), as in the authors' code; so their weights load strictly. Initialisation is
torchvision's (kaiming, fan-out), without zero-initialised last normalisations.
"""

from typing import Any

from torch import Tensor, nn
from torchvision.models import resnet as torchvision_resnet

from sgenet import attention as registry
from sgenet.models.names import parse_name


class BasicBlock(torchvision_resnet.BasicBlock):
    """torchvision's basic block, its residual branch ending in the module that `attention` names."""

    attention: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = _attend(self, self.bn2(self.conv2(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(torchvision_resnet.Bottleneck):
    """torchvision's bottleneck (stride in the 3x3 convolution), its residual branch ending in `attention`."""

    attention: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = _attend(self, self.bn3(self.conv3(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def _attend(block: BasicBlock | Bottleneck, branch: Tensor) -> Tensor:
    return branch if block.attention is None else getattr(block, block.attention)(branch)


def _last_norm(block: BasicBlock | Bottleneck) -> nn.BatchNorm2d:
    return block.bn2 if isinstance(block, BasicBlock) else block.bn3


_LAYERS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class AttentionResNet(torchvision_resnet.ResNet):
    """ResNet of He et al. with an optional attention module in each block.

    Args:
        depth: 18, 34, 50 or 101.
        attention: a name of `sgenet.attention`, or None for the plain network.
        attention_settings: keyword arguments of the attention module (SGE: `groups`).
        width: channels of the stem; the paper's network has 64. The stages scale with it.
        num_classes: outputs of the last layer.

    Shape: (N, 3, H, W) -> logits (N, num_classes).
    """

    def __init__(
        self,
        depth: int,
        attention: str | None = None,
        attention_settings: dict[str, Any] | None = None,
        width: int = 64,
        num_classes: int = 1000,
    ) -> None:
        nn.Module.__init__(self)  # torchvision's own __init__ fixes the width at 64; the rest is its own
        block, layers = _LAYERS[depth]
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, width * 2, layers[1], stride=2)
        self.layer3 = self._make_layer(block, width * 4, layers[2], stride=2)
        self.layer4 = self._make_layer(block, width * 8, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if attention is not None:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    channels = _last_norm(module).num_features
                    module.attention = attention
                    module.add_module(attention, registry.create(attention, channels, **(attention_settings or {})))

    def set_residual_gain(self, gain: float) -> None:
        """Start each block's last normalisation at `gain` (1 in the paper; small networks learn sooner from less)."""
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.constant_(_last_norm(module).weight, gain)


def create_resnet(
    model: str, *, attention: dict[str, Any] | None = None, width: int = 64, num_classes: int = 1000
) -> AttentionResNet:
    """Build the network `model` names (`resnet50`, `sge-resnet50`); `attention` holds its module's settings."""
    name, depth = parse_name(model)
    return AttentionResNet(depth, name, attention, width, num_classes)
