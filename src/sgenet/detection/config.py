"""Configurations of detectors and their data: mmdet's own configs with the settings of a run."""

from pathlib import Path
from typing import Any

import mmdet
from mmengine.config import Config, ConfigDict

from sgenet.config.names import attention_settings, parse_name
from sgenet.config.recipes import MaskRCNN, RetinaNet, TestSettings, TwoStage
from sgenet.config.runs import Run
from sgenet.data.manifest import Manifest
from sgenet.data.splits import annotation_file, image_folder
from sgenet.detection import loading  # noqa: F401  (registers the step that reads images)
from sgenet.errors import InputError

# Read directly: mmengine's get_config("mmdet::...") gives the same, but reads the metadata of all configs first.
_CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
_FILES = {
    "retinanet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "faster-rcnn": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask-rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "cascade-rcnn": "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
}


def detector_config(run: Run, data: Path, manifest: Manifest, weights: Path | None = None) -> Config:
    """mmdet's configuration of a run's detector and data.

    Args:
        run: a detection run.
        data: folder of the prepared data.
        manifest: of the prepared data; `classes` and `source` are sufficient if only the model is used.
        weights: file of a classifier that initialises the backbone.

    Raises:
        InputError: the detector predicts masks, but some objects in the data have none.
    """
    assert run.detector is not None
    config = Config.fromfile(_CONFIGS / _FILES[run.detector])
    if "mask_head" in config.model.get("roi_head", {}) and manifest.masks is False:
        raise InputError(
            f"{run.id}: masks: found objects without a mask in {data}, expected a segmentation of each object"
        )
    _set_model(config.model, run, len(manifest.classes), weights)
    for split in ("train", "val"):
        _set_data(config[f"{split}_dataloader"].dataset, split, run, data, manifest)
    return config


def _set_model(model: ConfigDict, run: Run, classes: int, weights: Path | None) -> None:
    settings = run.detection
    scale = {"mean": [255 * value for value in settings.mean], "std": [255 * value for value in settings.std]}
    model.data_preprocessor.update(scale, non_blocking=True)
    model.backbone = ConfigDict(
        type="AttentionResNetBackbone",
        model=run.model,
        attention=attention_settings(run.model, settings),
        width=settings.width,
        frozen_stages=settings.frozen_stages,
        norm_eval=settings.norm_eval,
        weights=None if weights is None else str(weights),
        max_pool=settings.max_pool,
    )
    stage1 = settings.width * (4 if parse_name(run.model)[1] >= 50 else 1)
    model.neck.update(in_channels=[stage1 * 2**stage for stage in range(4)], out_channels=settings.neck_channels)
    if isinstance(settings, RetinaNet):
        _set_retinanet(model, settings, classes)
    elif isinstance(settings, TwoStage):
        _set_two_stage(model, settings, classes)
    if settings.legacy_boxes:
        _use_legacy_boxes(model)


def _set_retinanet(model: ConfigDict, settings: RetinaNet, classes: int) -> None:
    head = model.bbox_head
    head.update(
        num_classes=classes,
        in_channels=settings.neck_channels,
        feat_channels=settings.head_channels,
        stacked_convs=settings.head_convs,
        loss_bbox=_smooth_l1(settings.box_loss_beta),
        init_cfg=_head_init(settings.head_init_std),
    )
    head.anchor_generator.update(octave_base_scale=settings.anchor_scale, strides=_levels(settings.strides[1]))
    _set_test(model.test_cfg, settings.test)


def _head_init(std: float) -> dict[str, Any]:
    """RetinaHead's own initialisation, with another standard deviation in the convolutions before the last ones."""
    outputs = [{"type": "Normal", "name": "retina_reg", "std": 0.01}]
    outputs += [{"type": "Normal", "name": "retina_cls", "std": 0.01, "bias_prob": 0.01}]
    return {"type": "Normal", "layer": "Conv2d", "std": std, "override": outputs}


def _set_two_stage(model: ConfigDict, settings: TwoStage, classes: int) -> None:
    """Set Faster, Mask and Cascade R-CNN; the IoUs, deviations and weights of the Cascade's stages remain mmdet's."""
    rpn, roi, channels = settings.rpn, settings.roi, settings.neck_channels
    model.rpn_head.update(in_channels=channels, feat_channels=channels, loss_bbox=_smooth_l1(rpn.box_loss_beta))
    model.rpn_head.anchor_generator.update(scales=[settings.anchor_scale], strides=_levels(settings.strides[0]))
    _set_extractor(model.roi_head.bbox_roi_extractor, settings)
    for head in _stages(model.roi_head.bbox_head):
        head.update(
            in_channels=channels,
            fc_out_channels=roi.fc_channels,
            num_classes=classes,
            loss_bbox=_smooth_l1(roi.box_loss_beta),
        )
    train, test = model.train_cfg, model.test_cfg
    train.rpn.allowed_border = rpn.allowed_border
    train.rpn.sampler.num = rpn.samples
    train.rpn_proposal.update(nms_pre=rpn.train_candidates, max_per_img=rpn.train_proposals)
    for stage in _stages(train.rcnn):
        stage.sampler.num = roi.samples
    test.rpn.update(nms_pre=rpn.test_proposals, max_per_img=rpn.test_proposals)
    _set_test(test.rcnn, settings.test)
    if isinstance(settings, MaskRCNN):
        _set_masks(model, settings, classes)


def _set_masks(model: ConfigDict, settings: MaskRCNN, classes: int) -> None:
    mask, extractor = settings.mask, model.roi_head.mask_roi_extractor
    _set_extractor(extractor, settings)
    extractor.roi_layer.output_size = mask.roi_size
    model.roi_head.mask_head.update(
        num_convs=mask.convs,
        roi_feat_size=mask.roi_size,
        in_channels=settings.neck_channels,
        conv_out_channels=mask.channels,
        num_classes=classes,
    )
    model.train_cfg.rcnn.mask_size = 2 * mask.roi_size  # the head doubles the resolution


def _set_extractor(extractor: ConfigDict, settings: TwoStage) -> None:
    roi, strides = settings.roi, settings.strides
    finest = 14 * strides[0]  # up to twice this side, in pixels, a region is pooled from the finest map; mmdet's own 56
    extractor.update(out_channels=settings.neck_channels, featmap_strides=strides, finest_scale=finest)
    extractor.roi_layer.update(sampling_ratio=roi.sampling_ratio, aligned=roi.aligned)


def _levels(stride: int) -> list[int]:
    """The strides of the feature pyramid's five maps."""
    return [stride * 2**level for level in range(5)]


def _stages(part: Any) -> list[Any]:
    """The stages of a Cascade R-CNN, or the single stage of another detector, as a list."""
    return part if isinstance(part, list) else [part]


def _use_legacy_boxes(part: Any) -> None:
    """Replace all anchors, box coders and assigners in `part` by those of mmdetection 1.x and earlier."""
    if isinstance(part, dict):
        if part.get("type") == "AnchorGenerator":
            part.update(type="LegacyAnchorGenerator", center_offset=0.5)
        elif part.get("type") == "DeltaXYWHBBoxCoder":
            part.update(type="LegacyDeltaXYWHBBoxCoder")
        elif part.get("type") == "MaxIoUAssigner":
            part.update(match_low_quality=True)  # 0.6 always did this
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _use_legacy_boxes(child)


def _smooth_l1(beta: float) -> dict[str, Any]:
    return {"type": "SmoothL1Loss", "beta": beta, "loss_weight": 1.0}


def _set_test(config: ConfigDict, test: TestSettings) -> None:
    config.update(score_thr=test.score_threshold, max_per_img=test.max_detections)
    config.nms.iou_threshold = test.nms_iou


def _set_data(dataset: ConfigDict, split: str, run: Run, data: Path, manifest: Manifest) -> None:
    dataset.update(
        data_root="",
        ann_file=str(annotation_file(data, manifest, split)),
        data_prefix={"img": str(image_folder(data, manifest, split))},
        metainfo={"classes": tuple(manifest.classes)},
        serialize_data=run.settings.workers > 0,  # slower, but saves memory where worker processes share the list
    )
    # The evaluation reads the annotations itself.
    replaced = {"LoadImageFromFile"} if split == "train" else {"LoadImageFromFile", "LoadAnnotations"}
    steps = [step for step in dataset.pipeline if step.type not in replaced]
    dataset.pipeline = [ConfigDict(type="LoadUprightImage"), *steps]
    for step in steps:
        if step.type == "Resize":
            step.scale = tuple(run.detection.image_scale)
        elif step.type == "RandomFlip":
            step.prob = run.settings.flip
