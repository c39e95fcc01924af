"""mmcv's operators on torchvision's: against mmcv's published results, torchvision, and plain definitions."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from sgenet.detection import ops

ops.install()

import mmcv  # noqa: E402
import mmcv.ops  # noqa: E402

pytestmark = pytest.mark.skipif(ops.describe().startswith("mmcv"), reason="a compiled mmcv is installed")

# Inputs, outputs and gradients as mmcv's own tests state them (mmcv/tests/test_ops, version 2.1.0).
NMS_BOXES = [[6.0, 3, 8, 7], [3, 6, 9, 11], [3, 7, 10, 12], [1, 4, 13, 7]]
NMS_SCORES = [0.6, 0.9, 0.7, 0.2]
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


def random_boxes(count: int, seed: int = 0, size: float = 60.0) -> torch.Tensor:
    """Return (count, 4) boxes, 1 to 31 wide and high, that overlap often."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size
    return torch.cat([corner, corner + 1 + 30 * torch.rand(count, 2, generator=generator)], dim=1)


def random_scores(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def random_rois(count: int, images: int) -> torch.Tensor:
    """Return (count, 5) rois: an image's index and a box."""
    image = torch.arange(count) % images
    return torch.cat([image[:, None].float(), random_boxes(count, seed=2)], dim=1)


def loop_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    """Non-maximum suppression by its definition, in float64, one pair of boxes at a time."""
    rows = boxes.double().tolist()
    area = [(x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in rows]
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        for j in kept:
            width = min(rows[i][2], rows[j][2]) - max(rows[i][0], rows[j][0]) + offset
            height = min(rows[i][3], rows[j][3]) - max(rows[i][1], rows[j][1]) + offset
            overlap = max(width, 0.0) * max(height, 0.0)
            if overlap > threshold * (area[i] + area[j] - overlap):
                break
        else:
            kept.append(i)
    return kept


def one_hot(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Return (N, classes) in float64; the row of the background class is empty."""
    return torch.nn.functional.one_hot(target, classes + 1)[:, :classes].double()


# --- NMS


def test_nms_gives_mmcv_published_result():
    boxes, scores = torch.tensor(NMS_BOXES), torch.tensor(NMS_SCORES)
    dets, kept = mmcv.ops.nms(boxes, scores, iou_threshold=0.3, offset=0)
    assert kept.tolist() == [1, 0, 3]
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[[1, 0, 3]])


def test_nms_gives_the_documented_example_on_numpy_arrays():
    boxes = torch.tensor(
        [
            [49.1, 32.4, 51.0, 35.9],
            [49.3, 32.9, 51.0, 35.3],
            [49.2, 31.8, 51.0, 35.4],
            [35.1, 11.5, 39.1, 15.7],
            [35.6, 11.8, 39.3, 14.2],
            [35.3, 11.5, 39.9, 14.5],
            [35.2, 11.7, 39.7, 15.7],
        ]
    ).numpy()
    scores = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.5, 0.4, 0.3]).numpy()
    dets, kept = mmcv.ops.nms(boxes, scores, 0.6)
    assert dets.shape == (3, 5) and kept.tolist() == loop_nms(torch.tensor(boxes), torch.tensor(scores), 0.6, 0)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_nms_equals_torchvision(threshold):
    boxes, scores = random_boxes(500), random_scores(500)
    kept = mmcv.ops.nms(boxes, scores, threshold)[1]
    assert torch.equal(kept, torchvision.ops.nms(boxes, scores, threshold))
    assert 0 < len(kept) < 500


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_nms_equals_its_definition(offset, seed):
    boxes, scores = random_boxes(200, seed), random_scores(200, seed + 100)
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=offset)[1].tolist() == loop_nms(boxes, scores, 0.5, offset)


def test_nms_offset_decides_where_it_should():
    """Boxes of one pixel: without the offset they have no area, with it they are the same pixel."""
    boxes, scores = torch.tensor([[4.0, 4, 4, 4], [4, 4, 4, 4]]), torch.tensor([0.9, 0.8])
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=0)[1].tolist() == [0, 1]
    assert mmcv.ops.nms(boxes, scores, 0.5, offset=1)[1].tolist() == [0]
    assert boxes.eq(4).all()  # the caller's boxes stay as they were


def test_nms_keeps_an_overlap_of_exactly_the_threshold():
    boxes, scores = torch.tensor([[0.0, 0, 6.5, 1], [3.5, 0, 10, 1]]), torch.tensor([0.9, 0.8])  # 3 of 10
    assert mmcv.ops.nms(boxes, scores, 0.3)[1].tolist() == [0, 1]
    assert mmcv.ops.nms(boxes, scores, 0.2999)[1].tolist() == [0]


def test_nms_filters_by_score_and_number():
    boxes, scores = random_boxes(300), random_scores(300)
    kept = mmcv.ops.nms(boxes, scores, 0.5, score_threshold=0.4, max_num=7)[1]
    assert kept.tolist() == [i for i in loop_nms(boxes, scores, 0.5, 0) if scores[i] > 0.4][:7]


def test_nms_takes_half_precision():
    boxes, scores = random_boxes(200).half(), torch.linspace(0, 1, 200).half()  # scores without ties
    assert mmcv.ops.nms(boxes, scores, 0.5)[1].tolist() == loop_nms(boxes, scores, 0.5, 0)


@pytest.mark.parametrize("split", [10, 10000])
def test_batched_nms_suppresses_within_a_class_only(split):
    boxes, scores = random_boxes(300), random_scores(300)
    classes = torch.arange(300) % 3
    kept = mmcv.ops.batched_nms(boxes, scores, classes, {"iou_threshold": 0.5, "split_thr": split})[1]
    expected = []
    for label in range(3):
        members = (classes == label).nonzero().flatten()
        expected += members[loop_nms(boxes[members], scores[members], 0.5, 0)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])


# --- RoIAlign


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
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_equals_torchvision(aligned, sampling_ratio):
    """Same pooled values and gradients, two images, a scale as between an image and its feature map."""
    theirs = torch.randn(2, 3, 14, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = theirs.detach().clone().requires_grad_()
    rois = random_rois(9, images=2)
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


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_gradient_is_the_derivative(aligned):
    x = torch.randn(2, 2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    rois = random_rois(4, images=2).double()
    assert torch.autograd.gradcheck(lambda x: mmcv.ops.roi_align(x, rois, 2, 0.1, 0, "avg", aligned), x)


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


# --- focal loss


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


# --- empty inputs


def test_no_boxes():
    dets, kept = mmcv.ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=1)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.int64


def test_no_rois():
    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    pooled = mmcv.ops.RoIAlign(7)(x, torch.zeros(0, 5))
    pooled.sum().backward()
    assert pooled.shape == (0, 2, 7, 7) and torch.equal(x.grad, torch.zeros(1, 2, 8, 8))


def test_no_anchors():
    x = torch.zeros(0, 3, requires_grad=True)
    loss = mmcv.ops.sigmoid_focal_loss(x, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0 and x.grad.shape == (0, 3)


# --- the module that stands in


def test_other_operators_name_themselves():
    with pytest.raises(NotImplementedError, match=r"softnms needs a compiled mmcv.*mmcv==2\.1\.0"):
        mmcv.ops.soft_nms(torch.tensor(NMS_BOXES), torch.tensor(NMS_SCORES))
    with pytest.raises(NotImplementedError, match="roi_pool_forward"):
        mmcv.ops.roi_pool(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2)


def test_module_is_found_and_has_no_invented_dunders():
    from mmcv.utils.ext_loader import check_ops_exist

    assert importlib.util.find_spec("mmcv._ext").origin == ops.__file__
    assert check_ops_exist()
    assert mmcv._ext is sys.modules["mmcv._ext"] and not hasattr(mmcv._ext, "__path__")
    assert mmcv.ops.get_compiling_cuda_version() == "not available"


def test_install_twice_is_harmless():
    before = sys.modules["mmcv._ext"]
    ops.install()
    assert sys.modules["mmcv._ext"] is before
    assert ops.describe() == "torchvision's (nms, roi_align, sigmoid_focal_loss)"


def test_a_compiled_mmcv_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    monkeypatch.setattr(mmcv.__spec__, "submodule_search_locations", [*mmcv.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    ops.install()
    assert "mmcv._ext" not in sys.modules
    assert ops.describe() == "mmcv's own compiled operators"


def test_import_and_describe_are_cheap():
    code = "import sys; from sgenet.detection import ops; ops.describe(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "torchvision", "mmcv", "mmengine"} & set(done.stdout.split())


# --- mmdet


@pytest.fixture(scope="module")
def mmdet_config():
    """Return a function that reads one of mmdet's own config files."""
    import mmdet
    from mmengine.config import Config

    folder = Path(mmdet.__file__).parent / ".mim" / "configs"
    return lambda name: Config.fromfile(folder / name)


def gt_sample(size: int = 128):
    """Return a data sample of one image with two boxes, as mmdet's heads take it."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    shapes = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), (size, size))
    sample = DetDataSample(metainfo={**shapes, "scale_factor": (1, 1)})
    boxes = torch.tensor([[8.0, 8, 60, 60], [40, 50, 120, 110]])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 3]))
    return sample


def pyramid(strides: list[int], size: int = 128) -> list[torch.Tensor]:
    """Return random feature maps (1, 256, size / stride, size / stride) that require gradients."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 256, -(-size // s), -(-size // s), generator=generator).requires_grad_() for s in strides]


def assert_nms_done(found, threshold: float) -> None:
    """Check that the best is first and no two detections of a class overlap by more than the threshold."""
    assert (found.scores.diff() <= 0).all()
    for label in found.labels.unique():
        boxes = found.bboxes[found.labels == label]
        overlap = torchvision.ops.box_iou(boxes, boxes).fill_diagonal_(0)
        assert overlap.max() <= threshold + 1e-4


def test_mmdet_imports():
    import mmdet.apis
    import mmdet.models

    assert callable(mmdet.apis.init_detector) and mmdet.models.RetinaNet.__name__ == "RetinaNet"


def test_retinanet_head_trains_and_detects(mmdet_config):
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    config = mmdet_config("retinanet/retinanet_r50_fpn_1x_coco.py").model
    config.test_cfg.score_thr = 0.0  # an untrained head is sure of nothing
    head = MODELS.build({**config.bbox_head, "train_cfg": config.train_cfg, "test_cfg": config.test_cfg})
    features, sample = pyramid([8, 16, 32, 64, 128]), gt_sample()
    losses, found = head.loss_and_predict(features, [sample], proposal_cfg=config.test_cfg)
    total = sum(sum(value) for value in losses.values())
    total.backward()
    assert torch.isfinite(total) and all(feature.grad.abs().sum() > 0 for feature in features)
    assert found[0].bboxes.shape == (config.test_cfg.max_per_img, 4)
    assert_nms_done(found[0], config.test_cfg.nms.iou_threshold)


def test_faster_rcnn_heads_train_and_detect(mmdet_config):
    """Proposals, detections and losses of both stages, through NMS, RoIAlign and its gradient."""
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    config = mmdet_config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").model
    train, test = config.train_cfg, config.test_cfg
    test.rcnn.score_thr = 0.0
    rpn = MODELS.build({**config.rpn_head, "train_cfg": train.rpn, "test_cfg": test.rpn, "num_classes": 1})
    roi = MODELS.build({**config.roi_head, "train_cfg": train.rcnn, "test_cfg": test.rcnn})
    features, sample = pyramid([4, 8, 16, 32, 64]), gt_sample()
    rpn_losses, proposals = rpn.loss_and_predict(features, [sample], proposal_cfg=train.rpn_proposal)
    assert 0 < len(proposals[0]) <= train.rpn_proposal.max_per_img and "loss_rpn_cls" in rpn_losses

    with torch.no_grad():
        found = roi.predict(features, proposals, [sample])
    assert found[0].bboxes.shape == (test.rcnn.max_per_img, 4)
    assert_nms_done(found[0], test.rcnn.nms.iou_threshold)

    losses = roi.loss(features, proposals, [sample])
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert torch.isfinite(losses["loss_cls"]) and losses["loss_bbox"] > 0
    assert features[0].grad.abs().sum() > 0
