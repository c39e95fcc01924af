"""Fine-tune a detector with a pretrained backbone; the last epoch is evaluated, as in the paper."""

from pathlib import Path

import torch

from sgenet.data.manifest import Manifest
from sgenet.detection import ops

ops.install()  # before mmdet is imported

from mmdet.datasets.samplers import AspectRatioBatchSampler  # noqa: E402
from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from sgenet.config.runs import Run  # noqa: E402
from sgenet.detection.config import detector_config  # noqa: E402
from sgenet.models import backbone  # noqa: E402, F401  (registers the backbone)
from sgenet.training import batches, engine  # noqa: E402
from sgenet.training.hooks import Log, training_hooks  # noqa: E402


def train(
    run: Run,
    data: Path,
    manifest: Manifest,
    *,
    folder: Path,
    output: Path,
    seed: int,
    device: str,
    weights: Path | None = None,
    log: Log | None = None,
) -> str:
    """Train a run to its end, continuing from `folder` if it was interrupted.

    Args:
        run: a detection run.
        data: folder of images and COCO-format annotations.
        manifest: of the prepared data.
        folder: of the run's checkpoints.
        output: folder for history.csv and the weights of the last epoch.
        seed: of initialisation, order and augmentation.
        device: `cpu` or `cuda`.
        weights: file of a classifier that initialises the backbone.
        log: called with each epoch's row of the history.

    Returns:
        one sentence on what was loaded of the initial weights; empty without any.
    """
    settings = run.detection
    folder.mkdir(parents=True, exist_ok=True)
    init_default_scope("mmdet")
    config = detector_config(run, data, manifest, weights)
    torch.manual_seed(seed)
    detector = MODELS.build(config.model).to(memory_format=torch.channels_last)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    micro_batches = AspectRatioBatchSampler(batches.SeededSampler(dataset, seed), settings.device_batch_size)
    loader = batches.train_loader(micro_batches, settings, device, drop_last=False, collate_fn=pseudo_collate)
    clip = {"max_norm": settings.gradient_clip, "norm_type": 2}
    optimizer = engine.optim_wrapper(settings, clip_grad=clip)
    warmup, ratio = settings.warmup.iterations, settings.warmup.ratio
    start = {"type": "LinearLR", "start_factor": ratio, "begin": 0, "end": warmup, "by_epoch": False}
    steps = len(loader) // optimizer["accumulative_counts"]
    runner = engine.QuietRunner(
        model=detector.to(device),
        train_dataloader=loader,
        optim_wrapper=optimizer,
        param_scheduler=engine.schedulers(settings, [start] if warmup else [], steps),
        custom_hooks=training_hooks(run.id, folder, output, seed, detector, best=None, log=log),
        default_scope="mmdet",
        **engine.runner_settings(folder, seed, settings.epochs),
    )
    runner.train()
    return str(detector.backbone.started)
