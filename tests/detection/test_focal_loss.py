"""The focal loss on torchvision's operators: against mmcv's published results, torchvision, and its derivative."""

import pytest
import torch
import torchvision

from sgenet.detection import ops

ops.install()

import mmcv.ops  # noqa: E402

pytestmark = pytest.mark.skipif(ops.describe().startswith("mmcv"), reason="a compiled mmcv is installed")

# Inputs, outputs and gradients as mmcv's own tests state them (mmcv/tests/test_ops, version 2.1.0).
FOCAL_CASES = [  # logits (N, C), row by row; classes; mean over the rows; its gradient
    ([1, 0, 0, 1], [0, 1], 0.13562961, [-0.00657264, 0.11185755, 0.11185755, -0.00657264]),
    (
        [1, 0, -1, 0, 1, 2],
        [2, 1],
        1.10251057,
        [0.28808805, 0.11185755, -0.09602935, 0.11185755, -0.00657264, 0.40376765],
    ),
    (
        [1e-6, 2e-6, 3e-6, 4e-6, 5e-5, 6e-4, 7e-3, 8e-2, 9e-1],
        [1, 2, 0],
        0.42287254,
        [0.07457182, -0.02485716, 0.07457201]
        + [0.07457211, 0.07457669, -0.02483728]
        + [-0.02462499, 0.08277918, 0.18050370],
    ),
]


def one_hot(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Return (N, classes) in float64; the row of the background class is empty."""
    return torch.nn.functional.one_hot(target, classes + 1)[:, :classes].double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("logits", "target", "loss", "gradient"), FOCAL_CASES)
def test_focal_loss_gives_mmcv_published_result(logits, target, loss, gradient, dtype):
    x = torch.tensor(logits, dtype=dtype).reshape(len(target), -1).requires_grad_()
    value = mmcv.ops.sigmoid_focal_loss(x, torch.tensor(target), 2.0, 0.25, None, "mean")
    value.backward()
    tolerance = {torch.float16: (4e-3, 1e-4), torch.bfloat16: (3e-2, 1e-3)}.get(dtype, (1e-5, 1e-7))
    expected = torch.tensor(loss, dtype=dtype), torch.tensor(gradient, dtype=dtype)
    torch.testing.assert_close((value, x.grad.flatten()), expected, rtol=tolerance[0], atol=tolerance[1])


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9), (0.5, 0.0)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_focal_loss_equals_torchvision(gamma, alpha, reduction):
    """Same losses and gradients, background rows (class 5 of 5) among them."""
    generator = torch.Generator().manual_seed(0)
    theirs = (4 * torch.randn(40, 5, dtype=torch.float64, generator=generator)).requires_grad_()
    ours = theirs.detach().clone().requires_grad_()
    target = torch.arange(40) % 6
    loss = mmcv.ops.sigmoid_focal_loss(ours, target, gamma, alpha, None, reduction)
    expected = torchvision.ops.sigmoid_focal_loss(theirs, one_hot(target, 5), alpha, gamma, reduction)
    torch.testing.assert_close(loss, expected)
    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    if reduction == "sum":
        upstream = torch.tensor(1.5, dtype=torch.float64)
    loss.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("weighted", [True, False])
def test_focal_loss_gradient_is_the_derivative(weighted):
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64) if weighted else None
    loss = mmcv.ops.SigmoidFocalLoss(gamma=1.5, alpha=0.3, weight=weight, reduction="sum")
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.arange(8) % 4), x)


def test_focal_loss_weights_rows_by_their_class():
    x, target = torch.randn(4, 3, generator=torch.Generator().manual_seed(5)), torch.tensor([0, 1, 2, 3])
    plain = mmcv.ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, "none")
    weighted = mmcv.ops.sigmoid_focal_loss(x, target, 2.0, 0.25, torch.tensor([0.5, 2.0, 3.0]), "none")
    torch.testing.assert_close(weighted, plain * torch.tensor([0.5, 2.0, 3.0, 1.0])[:, None])  # last: background


def test_focal_loss_of_background_is_that_of_negatives_only():
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(6)).requires_grad_()
    loss = mmcv.ops.sigmoid_focal_loss(x, torch.full((3,), 2), 2.0, 0.25, None, "none")
    p = x.detach().sigmoid()
    torch.testing.assert_close(loss, -0.75 * p**2 * (1 - p).log())
    loss.sum().backward()
    assert (x.grad > 0).all()


def test_focal_loss_stays_finite_at_extreme_logits():
    x = torch.tensor([[200.0, -200], [-200, 200]], requires_grad=True)
    loss = mmcv.ops.sigmoid_focal_loss(x, torch.tensor([0, 0]), 2.0, 0.25, None, "none")
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.tensor([[0.0, 0], [50, 150]]))
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 0], [-0.25, 0.75]]))


def test_no_anchors():
    x = torch.zeros(0, 3, requires_grad=True)
    loss = mmcv.ops.sigmoid_focal_loss(x, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0 and x.grad.shape == (0, 3)
