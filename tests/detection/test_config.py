"""mmdet's configs after a run's settings: the authors' recipe where it differs from mmdet's own."""

from pathlib import Path

import pytest

from sgenet.detection import ops

ops.install()

import torch  # noqa: E402
from mmdet.registry import MODELS, TASK_UTILS  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.config import recipes  # noqa: E402
from sgenet.config.params import layers, load_recipe, load_scale, merge  # noqa: E402
from sgenet.config.replication import load_replication  # noqa: E402
from sgenet.config.runs import Run  # noqa: E402
from sgenet.config.tasks import Task  # noqa: E402
from sgenet.data.manifest import Manifest  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.errors import InputError  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)

TWO_STAGE = ["faster-rcnn", "mask-rcnn", "cascade-rcnn"]
DETECTORS = ["retinanet", *TWO_STAGE]


def _settings(detector, model, *more):
    sources = (load_recipe("detection"), *more)
    return merge({}, *(layer for source in sources for layer in layers(source, detector, model)))


@pytest.fixture
def paper(project):
    """Configs of the paper's recipe, no scale over it."""

    def build(detector):
        settings = recipes.DETECTORS[detector].model_validate(_settings(detector, "sge-resnet50"))
        run = Run(Task.DETECTION, "x", "sge-resnet50", settings, detector)
        return detector_config(run, Path("data"), Manifest.of_classes(["a", "b"]), Path("w.safetensors"))

    return build


@pytest.mark.parametrize("detector", DETECTORS)
def test_backbone_neck_and_images_follow_the_authors(paper, detector):
    config = paper(detector)
    model = config.model
    assert model.type.lower() == detector.replace("-", "")
    assert model.backbone.type == "AttentionResNetBackbone" and model.backbone.model == "sge-resnet50"
    assert (model.backbone.frozen_stages, model.backbone.norm_eval) == (1, True)
    assert model.backbone.weights == "w.safetensors"
    assert model.neck.in_channels == [256, 512, 1024, 2048] and model.neck.out_channels == 256
    assert model.data_preprocessor.mean == pytest.approx([123.675, 116.28, 103.53])
    assert model.data_preprocessor.std == pytest.approx([58.395, 57.12, 57.375])
    assert model.data_preprocessor.bgr_to_rgb
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert (steps["Resize"].scale, steps["Resize"].keep_ratio) == ((1333, 800), True)
    assert steps["RandomFlip"].prob == 0.5
    assert steps["LoadAnnotations"].get("with_mask", False) == (detector == "mask-rcnn")
    test = model.test_cfg.get("rcnn", model.test_cfg)
    assert (test.score_thr, test.max_per_img, test.nms) == (0.05, 100, {"type": "nms", "iou_threshold": 0.5})


@pytest.mark.parametrize("detector", TWO_STAGE)
def test_two_stage_detectors_follow_the_authors(paper, detector):
    model = paper(detector).model
    rpn, train = model.rpn_head, model.train_cfg.rpn
    assert rpn.loss_bbox == {"type": "SmoothL1Loss", "beta": 1 / 9, "loss_weight": 1.0}
    assert rpn.anchor_generator.type == "LegacyAnchorGenerator" and rpn.anchor_generator.scales == [8]
    assert rpn.bbox_coder.type == "LegacyDeltaXYWHBBoxCoder"
    assert train.allowed_border == 0
    assert (train.sampler.num, train.sampler.pos_fraction) == (256, 0.5)
    assert (train.assigner.pos_iou_thr, train.assigner.neg_iou_thr) == (0.7, 0.3)
    proposals = model.train_cfg.rpn_proposal, model.test_cfg.rpn
    assert all((kept.nms_pre, kept.max_per_img, kept.nms.iou_threshold) == (2000, 2000, 0.7) for kept in proposals)
    layer = model.roi_head.bbox_roi_extractor.roi_layer
    assert (layer.output_size, layer.sampling_ratio, layer.aligned) == (7, 2, False)
    heads, stages = model.roi_head.bbox_head, model.train_cfg.rcnn
    cascade = detector == "cascade-rcnn"
    ious, deviations = [0.5], [[0.1, 0.1, 0.2, 0.2]]
    if cascade:
        assert model.roi_head.stage_loss_weights == [1, 0.5, 0.25]
        ious += [0.6, 0.7]
        deviations += [[0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
    else:
        heads, stages = [heads], [stages]
    for head, stage, iou, stds in zip(heads, stages, ious, deviations, strict=True):
        assert head.loss_bbox == {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0}
        assert (head.bbox_coder.type, head.bbox_coder.target_stds) == ("LegacyDeltaXYWHBBoxCoder", stds)
        assert (head.num_classes, head.fc_out_channels, head.reg_class_agnostic) == (2, 1024, cascade)
        assert (stage.assigner.pos_iou_thr, stage.assigner.neg_iou_thr, stage.assigner.min_pos_iou) == (iou,) * 3
        assert (stage.sampler.num, stage.sampler.pos_fraction) == (512, 0.25)


def test_masks_follow_the_authors(paper):
    model = paper("mask-rcnn").model
    layer = model.roi_head.mask_roi_extractor.roi_layer
    assert (layer.output_size, layer.sampling_ratio, layer.aligned) == (14, 2, False)
    head = model.roi_head.mask_head
    assert (head.num_convs, head.conv_out_channels, head.in_channels, head.num_classes) == (4, 256, 256, 2)
    assert model.train_cfg.rcnn.mask_size == 28 and model.test_cfg.rcnn.mask_thr_binary == 0.5


def test_retinanet_follows_the_authors(paper):
    model = paper("retinanet").model
    head, assigner = model.bbox_head, model.train_cfg.assigner
    assert head.loss_bbox == {"type": "SmoothL1Loss", "beta": 0.11, "loss_weight": 1.0}
    assert head.anchor_generator.type == "LegacyAnchorGenerator" and head.anchor_generator.octave_base_scale == 4
    assert head.bbox_coder.type == "LegacyDeltaXYWHBBoxCoder"
    assert (head.num_classes, head.stacked_convs, head.feat_channels) == (2, 4, 256)
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (2.0, 0.25)
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr) == (0.5, 0.4)
    assert model.train_cfg.allowed_border == -1


@pytest.mark.parametrize(("max_pool", "finest"), [(True, 4), (False, 2)])
@pytest.mark.parametrize("detector", DETECTORS)
def test_anchors_and_regions_follow_the_strides_of_the_backbone(project, detector, max_pool, finest):
    """Strides as the maps of a built detector have them, and the levels of regions by He et al.'s rule."""
    own = {"max_pool": max_pool, "width": 8, "attention": {"sge": {"groups": 64}}}
    settings = recipes.DETECTORS[detector].model_validate(_settings(detector, "sge-resnet50", own))
    run = Run(Task.DETECTION, "x", "sge-resnet50", settings, detector)
    init_default_scope("mmdet")
    model = MODELS.build(detector_config(run, Path("data"), Manifest.of_classes(["a", "b"])).model).eval()
    maps = model.extract_feat(torch.zeros(1, 3, 256, 256))
    strides = [256 // found.shape[-1] for found in maps]
    assert strides == [finest * 2**level for level in range(detector == "retinanet", 5 + (detector == "retinanet"))]
    head = model.bbox_head if detector == "retinanet" else model.rpn_head
    assert head.prior_generator.strides == [(stride, stride) for stride in strides]
    if detector != "retinanet":
        extractors = model.roi_head.bbox_roi_extractor
        for extractor in extractors if detector == "cascade-rcnn" else [extractors]:
            assert extractor.featmap_strides == strides[:4]
            side = 28 * finest  # regions from here on belong to the second map: 112 pixels at stride 4
            regions = torch.tensor([[0, 0, 0, side - 1.0, side - 1], [0, 0, 0, side + 1, side + 1]])
            assert extractor.map_roi_levels(regions, 4).tolist() == [0, 1]


def _assigners(part):
    if isinstance(part, dict) and "Assigner" in str(part.get("type")):
        yield part
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _assigners(child)


@pytest.mark.parametrize(("detector", "number"), zip(DETECTORS, [1, 2, 2, 4], strict=True))
def test_assigners_ignore_no_crowds_and_match_as_mmdetection_06(paper, detector, number):
    init_default_scope("mmdet")  # whatever was trained before in this process
    found = list(_assigners(paper(detector).model))
    assert len(found) == number  # RetinaNet's, or the RPN's and one a stage
    for assigner in found:
        built = TASK_UTILS.build(assigner)
        assert built.ignore_iof_thr == -1
        assert built.match_low_quality  # 0.6 had no switch for it


RECIPES = [  # detector, model, learning rate, images a step on 8 devices, epochs, milestones
    ("faster-rcnn", "resnet50", 0.02, 16, 24, [16, 22]),
    ("faster-rcnn", "sge-resnet50", 0.02, 16, 24, [16, 22]),
    ("faster-rcnn", "se-resnet101", 0.02, 16, 24, [16, 22]),
    ("faster-rcnn", "sge-resnet101", 0.01, 8, 24, [16, 22]),
    ("mask-rcnn", "sge-resnet50", 0.02, 16, 24, [16, 22]),
    ("mask-rcnn", "sge-resnet101", 0.01, 8, 24, [16, 22]),
    ("cascade-rcnn", "resnet101", 0.02, 16, 20, [16, 19]),
    ("cascade-rcnn", "sge-resnet101", 0.01, 8, 20, [16, 19]),
    ("retinanet", "resnet50", 0.01, 16, 24, [16, 22]),
    ("retinanet", "se-resnet50", 0.01, 16, 24, [16, 22]),
    ("retinanet", "sge-resnet50", 0.01, 16, 24, [16, 22]),
    ("retinanet", "bam-resnet50", 0.01, 8, 24, [16, 22]),
    ("retinanet", "cbam-resnet50", 0.01, 8, 24, [16, 22]),
    ("retinanet", "sk-resnet50", 0.01, 8, 24, [16, 22]),
    ("retinanet", "resnet101", 0.01, 8, 24, [16, 22]),
    ("retinanet", "sge-resnet101", 0.01, 8, 24, [16, 22]),
]


@pytest.mark.parametrize(("detector", "model", "lr", "batch", "epochs", "milestones"), RECIPES)
def test_schedules_follow_the_authors(project, detector, model, lr, batch, epochs, milestones):
    settings = _settings(detector, model)
    assert settings["optimizer"] == {"type": "SGD", "lr": lr, "momentum": 0.9, "weight_decay": 1e-4}
    assert (settings["batch_size"], settings["epochs"]) == (batch, epochs)
    assert settings["schedule"] == {"type": "step", "milestones": milestones, "gamma": 0.1}
    assert settings["warmup"] == {"iterations": 500, "ratio": pytest.approx(1 / 3)}
    assert settings["gradient_clip"] == 35
    assert not {"detectors", "models"} & settings.keys()


def test_a_scale_goes_over_what_the_paper_does_by_model(project):
    scale = load_scale("demo").detection
    assert scale.pop("models") == {"*resnet101": {"epochs": 1}}
    of_row = [_settings("retinanet", model, scale) for model in ("resnet50", "sk-resnet50", "sge-resnet101")]
    assert of_row[0] == of_row[1] == of_row[2]
    assert of_row[0]["optimizer"]["type"] == "AdamW" and of_row[0]["batch_size"] == scale["batch_size"]
    own = {"models": {"sk-*": {"batch_size": 3}}, "batch_size": 5}
    assert _settings("retinanet", "sk-resnet50", scale, own)["batch_size"] == 3
    assert _settings("retinanet", "bam-resnet50", scale, own)["batch_size"] == 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda own: own["models"].update({"sge-resnet100": {}}), "models: found 'sge-resnet100', expected a model or"),
        (lambda own: own["models"].update({"resnet50": {"bach_size": 1}}), "resnet50.bach_size: unknown key, did you"),
        (lambda own: own.pop("mask"), "detectors.mask-rcnn.mask: missing"),
        (lambda own: own["mask"].pop("convs"), "mask.convs: missing"),
    ],
)
def test_bad_settings_of_a_detector_are_told(project, change, sentence):
    def edit(recipe):
        recipe["detectors"]["mask-rcnn"]["models"] = {}
        change(recipe["detectors"]["mask-rcnn"])

    if "missing" in sentence:  # else the scale says it
        project("params/scales/demo.yaml", lambda scale: scale["detection"]["detectors"].pop("mask-rcnn"))
    project("params/recipes/detection.yaml", edit)
    with pytest.raises(InputError, match=sentence):
        load_replication("demo")


@pytest.mark.parametrize("detector", DETECTORS)
def test_nothing_is_loaded_but_by_our_own_backbone(paper, detector):
    """mmdet's own configs name checkpoints, which mmengine would fetch and unpickle."""
    config = paper(detector)

    def walk(part):
        yield part
        for child in part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ():
            yield from walk(child)

    parts = [*walk(config.model), *walk(config.train_dataloader.dataset), *walk(config.val_dataloader.dataset)]
    assert not any("://" in part or part in ("Pretrained", "PretrainedInit") for part in parts if isinstance(part, str))
    named = {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
    assert not named.keys() & {"checkpoint", "pretrained", "load_from", "proposal_file", "custom_imports"}
    assert named.get("backend_args") is None
