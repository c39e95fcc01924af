"""What the evaluation of a classifier makes of its history."""

import numpy as np

from sgenet.classification import evaluate
from sgenet.config.recipes import Classification
from sgenet.config.runs import Run
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest


def test_the_mean_of_the_last_ten_epochs(tmp_path, monkeypatch):
    rows = [f"{epoch},1.0,{top1},90.0,0.1,2.0" for epoch, top1 in enumerate([90, 50, *range(1, 11)], 1)]
    (tmp_path / "history.csv").write_text("\n".join(["epoch,loss,top1,top5,lr,seconds", *rows]) + "\n")
    monkeypatch.setattr(evaluate, "_prepare", lambda *_: (None, None))
    monkeypatch.setattr(evaluate, "_predict", lambda *_: (np.zeros((4, 5)), np.array([0, 0, 0, 1])))
    run = Run(Task.CLASSIFICATION, "resnet50", "resnet50", Classification.model_construct())
    manifest = Manifest.of_classes(["a"])
    metrics = evaluate.evaluate(run, tmp_path, manifest, trained=tmp_path, output=tmp_path, device="cpu")
    assert metrics["top1_mean10"] == 5.5  # of 1 to 10, without the first two
    (tmp_path / "history.csv").write_text("\n".join(["epoch,loss,top1,top5,lr,seconds", *rows[:9]]) + "\n")
    short = evaluate.evaluate(run, tmp_path, manifest, trained=tmp_path, output=tmp_path, device="cpu")
    assert short["top1_mean10"] is None  # nine epochs
    assert (metrics["best_epoch"], metrics["last_epoch"], metrics["top1"]) == (1, 12, 75)
