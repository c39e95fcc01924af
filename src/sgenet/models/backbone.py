"""The network as an mmdet backbone: stage outputs, frozen stages, batch normalisation in eval mode."""

from typing import Any

from mmdet.registry import MODELS
from torch import Tensor, nn

from sgenet.checkpoints import load_weights
from sgenet.models.names import parse_name
from sgenet.models.resnet import AttentionResNet


@MODELS.register_module()
class AttentionResNetBackbone(AttentionResNet):
    """ResNet without its classifier, as mmdet expects a backbone.

    Args:
        model: a model name such as `sge-resnet50`.
        attention: settings of the attention module.
        width: channels of the stem (64 in the paper).
        frozen_stages: -1 trains everything, 0 freezes the stem, k the stem and the first k stages with their attention.
        norm_eval: keep every batch normalisation in eval mode while training.
        weights: safetensors file of a classifier to start from; its last layer is left out, all else must match.

    Shape: (N, 3, H, W) -> four maps of stride 4, 8, 16, 32.
    """

    def __init__(
        self,
        model: str,
        attention: dict[str, Any] | None = None,
        width: int = 64,
        frozen_stages: int = 1,
        norm_eval: bool = True,
        weights: str | None = None,
    ) -> None:
        name, depth = parse_name(model)
        super().__init__(depth, name, attention, width)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.weights = weights
        del self.fc
        del self.avgpool

    def init_weights(self) -> None:
        """Load the classifier's weights, once the detector is built (mmengine calls this)."""
        if self.weights is not None:
            load_weights(self, self.weights, leave_out=("fc.",))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            outputs.append(x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> "AttentionResNetBackbone":
        super().train(mode)
        frozen = [self.conv1, self.bn1, self.layer1, self.layer2, self.layer3, self.layer4]
        for module in frozen[: self.frozen_stages + 2 if self.frozen_stages >= 0 else 0]:
            module.eval()
            module.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
