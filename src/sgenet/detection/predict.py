"""Detect objects in images that belong to no prepared data."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from sgenet.data.manifest import Manifest
from sgenet.detection import ops

ops.install()  # before mmdet is imported

from mmcv.transforms import Compose  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.config.runs import Run  # noqa: E402
from sgenet.data.coco_fields import Detection  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.detection.evaluate import AT_ONCE, coco_results, detect  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.weights.checkpoints import load_weights  # noqa: E402


def predict(
    run: Run, manifest: Manifest, images: Iterable[tuple[int, Path]], *, weights: Path, device: str
) -> Iterator[list[Detection]]:
    """Yield the detections in each image, in order, as in an evaluation.

    Args:
        run: a detection run.
        manifest: its classes and category ids are used.
        images: id and file of each.
        weights: of the detector.
        device: `cpu` or `cuda`.
    """
    init_default_scope("mmdet")
    config = detector_config(run, Path(), manifest)
    detector = MODELS.build(config.model).to(memory_format=torch.channels_last)
    load_weights(detector, weights)
    detector.to(device).eval()
    transform = Compose(config.val_dataloader.dataset.pipeline)
    samples = (transform({"img_id": number, "img_path": str(path)}) for number, path in images)
    for found in detect(detector, samples, AT_ONCE):
        yield coco_results(found, manifest.category_ids or [])
