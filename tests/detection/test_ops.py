"""The module that stands in for mmcv's compiled one, and mmdet's heads on it."""

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


def test_other_operators_name_themselves():
    with pytest.raises(NotImplementedError, match=r"softnms needs a compiled mmcv.*mmcv==2\.1\.0"):
        mmcv.ops.soft_nms(torch.tensor([[6.0, 3, 8, 7]]), torch.tensor([0.6]))
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


@pytest.fixture(scope="module")
def mmdet_config():
    """Return a function that reads one of mmdet's own config files."""
    import mmdet
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")  # whatever was trained before in this process
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
