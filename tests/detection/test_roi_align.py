"""RoIAlign on torchvision's operator: against mmcv's published results, torchvision, and its derivative."""

import pytest
import torch
import torchvision

from sgenet.detection import ops

ops.install()

import mmcv.ops  # noqa: E402

pytestmark = pytest.mark.skipif(ops.describe().startswith("mmcv"), reason="a compiled mmcv is installed")

# Inputs, outputs and gradients as mmcv's own tests state them (mmcv/tests/test_ops, version 2.1.0).
ROI_ALIGN_CASES = [  # shape of the features, the features, box, pooled to 2 x 2, gradient of its sum
    ((1, 1, 2, 2), [1, 2, 3, 4], [0, 0, 1, 1], [1, 1.25, 1.5, 1.75], [3.0625, 0.4375, 0.4375, 0.0625]),
    (
        (1, 2, 2, 2),
        [1, 2, 3, 4, 4, 3, 2, 1],
        [0, 0, 1, 1],
        [1, 1.25, 1.5, 1.75, 4, 3.75, 3.5, 3.25],
        [3.0625, 0.4375, 0.4375, 0.0625] * 2,
    ),
    (
        (1, 1, 4, 4),
        [1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 13, 14, 11, 12, 15, 16],
        [0, 0, 3, 3],
        [1.9375, 4.75, 7.5625, 10.375],
        [0.47265625, 0.4296875, 0.4296875, 0.04296875]
        + [0.4296875, 0.390625, 0.390625, 0.0390625] * 2
        + [0.04296875, 0.0390625, 0.0390625, 0.00390625],
    ),
]


def random_rois(count: int, images: int) -> torch.Tensor:
    """Return (count, 5) rois: an image's index and a box, 1 to 31 wide and high, from -20 to 91."""
    generator = torch.Generator().manual_seed(2)
    image, corner = torch.arange(count) % images, torch.rand(count, 2, generator=generator) * 80 - 20
    other = corner + 1 + 30 * torch.rand(count, 2, generator=generator)
    return torch.cat([image[:, None].float(), corner, other], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("shape", "features", "box", "pooled", "gradient"), ROI_ALIGN_CASES)
def test_roi_align_gives_mmcv_published_result(shape, features, box, pooled, gradient, dtype):
    x = torch.tensor(features, dtype=dtype).reshape(shape).requires_grad_()
    output = mmcv.ops.RoIAlign((2, 2), 1.0, 2, aligned=True)(x, torch.tensor([[0, *box]], dtype=dtype))
    output.sum().backward()
    assert output.shape == (1, shape[1], 2, 2)
    tolerance = {"rtol": 0, "atol": {torch.bfloat16: 0.05, torch.float16: 1e-3}.get(dtype, 1e-7)}
    torch.testing.assert_close(output.flatten(), torch.tensor(pooled, dtype=dtype), **tolerance)
    torch.testing.assert_close(x.grad.flatten(), torch.tensor(gradient, dtype=dtype), **tolerance)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
def test_roi_align_equals_torchvision(aligned, sampling_ratio):
    """Same pooled values and gradients, two images, boxes within and beyond their feature maps."""
    theirs = torch.randn(2, 3, 14, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = theirs.detach().clone().requires_grad_()
    rois = random_rois(40, images=2)
    pooled = mmcv.ops.roi_align(ours, rois, (3, 5), 0.25, sampling_ratio, "avg", aligned)
    expected = torchvision.ops.roi_align(theirs, rois, (3, 5), 0.25, sampling_ratio, aligned)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    pooled.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert expected.abs().max() > 0.1 and theirs.grad.abs().max() > 0.1


def test_roi_align_alignment_changes_the_result():
    x, rois = torch.arange(64.0).reshape(1, 1, 8, 8), torch.tensor([[0.0, 2, 2, 6, 6]])
    aligned = mmcv.ops.roi_align(x, rois, 2, 1.0, 2, "avg", True)
    shifted = mmcv.ops.roi_align(x, rois, 2, 1.0, 2, "avg", False)
    torch.testing.assert_close(shifted - aligned, torch.full((1, 1, 2, 2), 4.5))  # half a pixel: 0.5 * (8 + 1)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_gradient_is_the_derivative(aligned, sampling_ratio):
    x = torch.randn(2, 2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    rois = random_rois(4, images=2).double()
    assert torch.autograd.gradcheck(lambda x: mmcv.ops.roi_align(x, rois, 2, 0.1, sampling_ratio, "avg", aligned), x)


def test_roi_align_takes_a_gradient_with_strides():
    """A head that permutes its features sends a gradient back that is not contiguous."""
    x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    upstream = torch.randn(9, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    pooled = mmcv.ops.RoIAlign(3, 0.1)(x, random_rois(9, images=1))
    strided = upstream.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    assert not strided.is_contiguous()
    (a,) = torch.autograd.grad(pooled, x, upstream, retain_graph=True)
    (b,) = torch.autograd.grad(pooled, x, strided)
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_roi_align_refuses_max_pooling():
    with pytest.raises(NotImplementedError, match="pool_mode='max' needs a compiled mmcv"):
        mmcv.ops.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 2, "max", True)


def test_no_rois():
    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    pooled = mmcv.ops.RoIAlign(7)(x, torch.zeros(0, 5))
    pooled.sum().backward()
    assert pooled.shape == (0, 2, 7, 7) and torch.equal(x.grad, torch.zeros(1, 2, 8, 8))
