"""mmdet's configs after a run's settings: the authors' recipe where it differs from mmdet's own."""

from pathlib import Path

import pytest

from sgenet.detection import ops

ops.install()

from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.runs import Run, load_replication  # noqa: E402


@pytest.fixture
def paper(project):
    """Configs of the paper's recipe, no scale over it."""

    def build(detector):
        replication = load_replication("demo")
        run = replication.run(f"detection/{detector}/sge-resnet50")
        from sgenet.params import load_recipe, merge

        recipe = load_recipe("detection")
        settings = merge(recipe, recipe["detectors"][detector])
        paper_run = Run(run.task, run.name, run.model, settings, run.detector, run.starts_from)
        return detector_config(paper_run, Path("data"), ["a", "b"], Path("w.safetensors"))

    return build


def test_faster_rcnn_follows_the_authors(paper):
    config = paper("faster-rcnn")
    model = config.model
    assert model.type == "FasterRCNN" and model.backbone.type == "AttentionResNetBackbone"
    assert (model.backbone.frozen_stages, model.backbone.norm_eval) == (1, True)
    assert model.neck.in_channels == [256, 512, 1024, 2048] and model.neck.out_channels == 256
    assert model.rpn_head.loss_bbox == {"type": "SmoothL1Loss", "beta": 1 / 9, "loss_weight": 1.0}
    assert model.roi_head.bbox_head.loss_bbox == {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0}
    assert model.rpn_head.anchor_generator.type == "LegacyAnchorGenerator"
    for head in (model.rpn_head, model.roi_head.bbox_head):
        assert head.bbox_coder.type == "LegacyDeltaXYWHBBoxCoder"
    layer = model.roi_head.bbox_roi_extractor.roi_layer
    assert (layer.sampling_ratio, layer.aligned) == (2, False)
    assert model.train_cfg.rpn.allowed_border == 0
    assert (model.train_cfg.rpn.sampler.num, model.train_cfg.rcnn.sampler.num) == (256, 512)
    assert model.train_cfg.rpn_proposal.max_per_img == 2000
    assert (model.test_cfg.rpn.nms_pre, model.test_cfg.rpn.max_per_img) == (2000, 2000)
    assert (model.test_cfg.rcnn.score_thr, model.test_cfg.rcnn.max_per_img) == (0.05, 100)
    assert model.test_cfg.rcnn.nms.iou_threshold == 0.5
    assert model.train_cfg.rcnn.assigner.ignore_iof_thr > 0  # crowd regions are ignored
    assert model.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])
    resize = next(step for step in config.train_dataloader.dataset.pipeline if step.type == "Resize")
    assert (resize.scale, resize.keep_ratio) == ((1333, 800), True)


def test_retinanet_follows_the_authors(paper):
    head = paper("retinanet").model.bbox_head
    assert head.loss_bbox == {"type": "SmoothL1Loss", "beta": 0.11, "loss_weight": 1.0}
    assert head.anchor_generator.type == "LegacyAnchorGenerator" and head.anchor_generator.octave_base_scale == 4
    assert (head.num_classes, head.stacked_convs, head.feat_channels) == (2, 4, 256)
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (2.0, 0.25)
    assert paper("retinanet").model.train_cfg.assigner.ignore_iof_thr == -1
