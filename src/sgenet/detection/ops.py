"""mmdet without a compiler: torchvision's operators in place of mmcv's compiled ones.

mmdet's detectors use three compiled operators of mmcv: NMS, RoIAlign and the sigmoid focal loss. The package
`mmcv-lite` does not include the module `mmcv._ext` that contains them. `install` creates this module with the
signatures of mmcv 2.1.0 (`mmcv/ops/csrc/pytorch/pybind.cpp`). These three operators then run on torchvision's, and
any other operator raises an error that names it. A compiled mmcv, if installed, is used unchanged.

Differences from mmcv's own kernels (float32 training is not affected; mmdet passes no class weights):

- half and bfloat16 inputs are computed in float32 and rounded once, at the end;
- on the CPU the gradient of RoIAlign is computed by `_spread`, in a third of the time of torchvision's kernel;
- the focal loss keeps growing beyond logits of +-87, where mmcv clamps the logarithm;
- with class weights, background rows have weight 1 (mmcv reads past the end of the weights).
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

NAME = "mmcv._ext"


def install() -> None:
    """Make `import mmcv.ops` work; call it before anything imports `mmcv.ops` or `mmdet`.

    Does nothing when a compiled mmcv is installed or when it has been called before.
    """
    if NAME in sys.modules or _compiled():
        return
    import mmcv

    module = ModuleType(NAME, __doc__)
    module.__spec__ = ModuleSpec(NAME, SourceFileLoader(NAME, __file__), origin=__file__)
    module.__dict__.update(
        nms=nms,
        roi_align_forward=roi_align_forward,
        roi_align_backward=roi_align_backward,
        sigmoid_focal_loss_forward=sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward=sigmoid_focal_loss_backward,
        get_compiler_version=lambda: "none (torchvision's operators)",
        get_compiling_cuda_version=lambda: "not available",
        __getattr__=_missing,
    )
    sys.modules[NAME] = module
    mmcv._ext = module


def describe() -> str:
    """Describe the operators that mmcv uses; imports neither torch nor mmcv."""
    own = "mmcv's own compiled operators"
    return own if _compiled() else "torchvision's (nms, roi_align, sigmoid_focal_loss)"


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices (int64) of the boxes that non-maximum suppression keeps, best score first.

    boxes: (N, 4) as x1, y1, x2, y2; scores: (N,). A box's width is x2 - x1 + offset, its height likewise.
    """
    boxes, scores = _float(boxes), _float(scores)
    if offset:  # equivalent: x2 and y2 enter every width, height and overlap once
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv's threshold is a C float, like the overlaps: an overlap of exactly 0.3 does not exceed 0.3.
    threshold = ctypes.c_float(iou_threshold).value
    return _torchvision().nms(boxes, scores.to(boxes.dtype), threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write RoIAlign of `input` (N, C, H, W) at `rois` (K, 5) into `output` (K, C, height, width).

    rois hold an image's index and x1, y1, x2, y2. sampling_ratio 0 takes as many samples as a bin has pixels.
    The argmax tensors belong to max pooling (pool_mode 0), which raises a NotImplementedError.
    """
    if pool_mode == 0:  # torchvision averages only
        _missing("roi_align with pool_mode='max'")()
    features = _float(input)
    size = (aligned_height, aligned_width)
    roi_align = _torchvision().roi_align
    output.copy_(roi_align(features, rois.to(features.dtype), spatial_scale, *size, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of `roi_align_forward` with respect to its input into `grad_input` (N, C, H, W)."""
    grad = _float(grad_output)
    boxes = rois.to(grad.dtype)
    if grad.is_cuda or sampling_ratio == 0:
        size = (aligned_height, aligned_width, *grad_input.shape)
        backward = _torchvision()._roi_align_backward
        grad_input.copy_(backward(grad, boxes, spatial_scale, *size, sampling_ratio, aligned))
    else:
        grad_input.copy_(_spread(grad, boxes, grad_input.shape, spatial_scale, sampling_ratio, aligned))


def _spread(grad: Tensor, rois: Tensor, shape: tuple[int, ...], scale: float, samples: int, aligned: bool) -> Tensor:
    """The gradient of RoIAlign with respect to its input, of the given shape, on the CPU.

    Adds all channels of a sample at once; torchvision's kernel adds them one by one and is three times slower.

    Args:
        grad: with respect to the output, (K, C, height, width).
        rois: image index and x1, y1, x2, y2 in pixels of the image, (K, 5).
        shape: of the input, (N, C, H, W).
        scale: pixels of the input per pixel of the image.
        samples: per bin and side.
        aligned: whether the boxes are shifted by half a pixel of the input.
    """
    images, channels, height, width = shape
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    sides = boxes[:, 2:] - boxes[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    rows = _neighbours(boxes[:, 1], sides[:, 1], grad.shape[2], samples, height)
    columns = _neighbours(boxes[:, 0], sides[:, 0], grad.shape[3], samples, width)
    of_bins = grad.permute(0, 2, 3, 1)
    of_samples = of_bins.repeat_interleave(samples, 1).repeat_interleave(samples, 2).reshape(-1, channels)
    total = grad.new_zeros(images * height * width, channels)
    first = rois[:, :1].long() * height
    for row, row_weight in rows:
        for column, column_weight in columns:
            position = (first + row)[:, :, None] * width + column[:, None, :]
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            total.index_add_(0, position.flatten(), of_samples * weight.reshape(-1, 1))
    return total.view(images, height, width, channels).permute(0, 3, 1, 2)


def _neighbours(start: Tensor, side: Tensor, bins: int, samples: int, length: int) -> list[tuple[Tensor, Tensor]]:
    """The two neighbours of each sample along an axis of `length` positions, and their weights in the bin's mean.

    Args:
        start: of K boxes, (K,), in positions.
        side: of the K boxes, (K,), in positions.
        bins: per box along the axis.
        samples: per bin along the axis.
        length: positions of the axis.

    Returns:
        (index, weight) of the lower and of the upper neighbour, each (K, bins * samples).
    """
    import torch

    steps = (torch.arange(bins * samples, dtype=start.dtype) + 0.5) / (bins * samples)
    at = start[:, None] + side[:, None] * steps
    share = ((at >= -1) & (at <= length)) / samples  # samples farther outside count as 0
    at = at.clamp(0, length - 1)
    lower = at.floor()
    upper_share = share * (at - lower)
    lower = lower.long()
    return [(lower, share - upper_share), ((lower + 1).clamp(max=length - 1), upper_share)]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write each logit's focal loss (arXiv 1708.02002, equation 5) into `output` (N, C).

    input: logits (N, C); target: class indices (N,), where C means background; weight: (C,), the weight of
    the rows whose target is that class, or empty.
    """
    from torchvision.ops import sigmoid_focal_loss

    logits, positive, scale = _focal_operands(input, target, weight, alpha)
    loss = sigmoid_focal_loss(logits, positive.to(logits.dtype), alpha=-1, gamma=gamma)  # -1: without alpha
    output.copy_(scale * loss)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each logit's focal loss with respect to that logit into `grad_input` (N, C).

    With z = x for negatives and z = -x for positives, 1 - p_t = sigmoid(z) and the cross entropy CE is
    softplus(z), so d/dz (1 - p_t)^gamma CE = (1 - p_t)^gamma (1 - p_t + gamma p_t CE).
    """
    import torch
    from torch.nn.functional import logsigmoid

    logits, positive, scale = _focal_operands(input, target, weight, alpha)
    z = torch.where(positive, -logits, logits)
    p_t, cross_entropy = torch.sigmoid(-z), -logsigmoid(-z)
    slope = torch.sigmoid(z) ** gamma * (torch.sigmoid(z) + gamma * p_t * cross_entropy)
    grad_input.copy_(scale * torch.where(positive, -slope, slope))


def _focal_operands(input: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, ...]:
    """Return the logits in full precision, which of them are positive, and alpha_t times weight: (N, C)."""
    import torch

    logits = _float(input)
    positive = target[:, None] == torch.arange(input.shape[1], device=target.device)
    scale = torch.where(positive, alpha, logits.new_tensor(1 - alpha))
    if weight.numel():
        scale = scale * torch.cat([weight, weight.new_ones(1)])[target][:, None]  # index C: background
    return logits, positive, scale


def _torchvision() -> Any:
    """Return the namespace of torchvision's operators; importing torchvision registers them."""
    import torch
    import torchvision  # noqa: F401

    return torch.ops.torchvision


def _float(tensor: Tensor) -> Tensor:
    """Return half and bfloat16 tensors as float32, others as they are."""
    return tensor.float() if tensor.element_size() < 4 else tensor


def _compiled() -> bool:
    """Return whether a compiled mmcv is installed, without importing mmcv."""
    mmcv = importlib.util.find_spec("mmcv")
    return mmcv is not None and PathFinder.find_spec(NAME, mmcv.submodule_search_locations) is not None


def _missing(operator: str) -> Callable[..., Any]:
    """For an operator without a substitute, return a function that raises when it is called."""
    if operator.startswith("__"):
        raise AttributeError(operator)

    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"mmcv's operator {operator} needs a compiled mmcv, and mmcv-lite is installed; replace it: "
            "[uv] pip uninstall mmcv-lite, [uv] pip install --no-build-isolation mmcv==2.1.0 (compilation takes long)"
        )

    return call
