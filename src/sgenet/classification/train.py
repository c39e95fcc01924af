"""Train a classifier; saves history, best and last weights (the authors report the best validation epoch)."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.evaluator import BaseMetric, Evaluator

from sgenet.classification.classifier import Classifier, build_loaders, build_network
from sgenet.config.names import parse_name
from sgenet.config.runs import Run
from sgenet.data.manifest import Manifest
from sgenet.models.start import start_from
from sgenet.training import engine
from sgenet.training.hooks import Log, training_hooks


class Accuracy(BaseMetric):
    """Top-1 and Top-5 in percent, from the top five classes of each image."""

    default_prefix = "val"

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """After each validation batch: count its images and its Top-1 and Top-5 hits."""
        hits = torch.stack(list(data_samples)) == data_batch[1].view(-1, 1).to(data_samples[0].device)
        self.results.append((len(hits), int(hits[:, 0].sum()), int(hits.any(1).sum())))

    def evaluate(self, size: int) -> dict[str, float]:
        """Add up the counts of all processes; mmengine's own collection requires shares of equal size."""
        counts = torch.tensor(self.results).sum(dim=0)
        all_reduce(counts)
        self.results.clear()
        return {
            f"{self.prefix}/{name}": value for name, value in self.compute_metrics([tuple(counts.tolist())]).items()
        }

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Return `top1` and `top5` in percent; each result is (images, Top-1 hits, Top-5 hits)."""
        images, top1, top5 = (sum(column) for column in zip(*results, strict=True))
        return {"top1": 100 * top1 / images, "top5": 100 * top5 / images}


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
        run: a classification run.
        data: folder of the prepared images.
        manifest: of the prepared images.
        folder: of the run's checkpoints.
        output: folder for history.csv and the weights of the best and the last epoch.
        seed: of initialisation, order and augmentation.
        device: `cpu` or `cuda`.
        weights: initial weights; None for random initialisation.
        log: called with each epoch's row of the history.

    Returns:
        one sentence on what was loaded of the initial weights; empty without any.
    """
    settings = run.classification
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    classifier = Classifier(build_network(run.model, settings, len(manifest.classes)), settings)
    started = "" if weights is None else start_from(classifier.network, weights, parse_name(run.model)[1])
    if started and is_main_process():
        print(f"{run.id}: {started}", flush=True)
    loader, val_loader = build_loaders(data, manifest, settings, seed, device)
    optimizer = engine.optim_wrapper(settings)
    steps = len(loader) // optimizer["accumulative_counts"]
    end = round(settings.warmup_epochs * steps)
    start = {"type": "LinearLR", "start_factor": 0.1, "begin": 0, "end": end, "by_epoch": False}
    runner = engine.QuietRunner(
        model=classifier.to(device),
        train_dataloader=loader,
        val_dataloader=val_loader,
        val_cfg={},
        val_evaluator=Evaluator(Accuracy()),
        optim_wrapper=optimizer,
        param_scheduler=engine.schedulers(settings, [start] if end else [], steps),
        custom_hooks=training_hooks(run.id, folder, output, seed, classifier.network, best="top1", log=log),
        env_cfg={"cudnn_benchmark": True},  # all images have one size
        **engine.runner_settings(folder, seed, settings.epochs),
    )
    runner.train()
    return started
