"""The network as an mmdet backbone: stage outputs, frozen stages, batch normalisation in eval mode."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.dist import is_main_process
from torch import Tensor, nn

from sgenet.config.names import parse_name
from sgenet.models.resnet import AttentionResNet
from sgenet.models.start import start_from


@MODELS.register_module()
class AttentionResNetBackbone(AttentionResNet):
    """ResNet without its classifier, as mmdet expects a backbone.

    As in the authors' detection backbone, a stage's output includes the module that follows the stage (BAM), and that
    module is trained even if its stage is frozen.

    Args:
        model: a model name such as `sge-resnet50`.
        attention: settings of the attention module for this width.
        width: channels of the stem (64 in the paper).
        frozen_stages: -1 trains everything, 0 freezes the stem, k the stem and the first k stages with the attention
            inside their blocks.
        norm_eval: keep every batch normalisation in eval mode while training.
        weights: file of a classifier as initialisation, as `start_from` reads it; its last layer is ignored. `started`
            states in one sentence what was loaded.
        max_pool: whether the stem ends with its max pooling.

    Shape: (N, 3, H, W) -> four maps of stride 4, 8, 16, 32, without max pooling of half of that.
    """

    def __init__(
        self,
        model: str,
        attention: dict[str, Any] | None = None,
        width: int = 64,
        frozen_stages: int = 1,
        norm_eval: bool = True,
        weights: str | None = None,
        max_pool: bool = True,
    ) -> None:
        name, depth = parse_name(model)
        super().__init__(depth, name, attention, width, max_pool=max_pool)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.model, self.depth = model, depth
        self.weights, self.started = weights, ""
        del self.fc
        del self.avgpool
        for module in self._frozen():
            module.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the classifier's weights; mmengine calls this after building the detector."""
        if self.weights is not None:
            self.started = start_from(self, self.weights, self.depth)
            if is_main_process():
                print(f"backbone {self.model}: {self.started}", flush=True)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of the four stages of images (N, 3, H, W)."""
        return tuple(self.stage_outputs(x))

    def train(self, mode: bool = True) -> "AttentionResNetBackbone":
        """Set the mode as torch does, but keep frozen parts and, if `norm_eval`, normalisations in eval mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        return [self.conv1, self.bn1, *(getattr(self, f"layer{stage}") for stage in range(1, self.frozen_stages + 1))]
