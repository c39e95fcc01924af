"""What the evaluation of a classifier makes of its history."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize(("classes", "expected"), [(2, np.int8), (128, np.int8), (129, np.int16), (70_000, np.int32)])
def test_indices_of_classes_are_exact_in_the_smallest_type(monkeypatch, classes, expected):
    class Reversed(SimpleNamespace):
        """Predicts the last classes, best first."""

        def __call__(self, images, _):
            return torch.arange(classes - 1, classes - 3, -1).repeat(len(images), 1)

    monkeypatch.setattr(evaluate, "load_weights", lambda *_: None)
    batches = [(torch.zeros(2, 3, 1, 1), torch.tensor([0, classes - 1])), (torch.zeros(1, 3, 1, 1), torch.tensor([1]))]
    weights = SimpleNamespace(stem="best")
    predicted, labels = evaluate._predict(Reversed(network=None), batches, weights, "cpu")
    assert (predicted.dtype, labels.dtype) == (expected, expected)
    assert predicted.tolist() == [[classes - 1, classes - 2]] * 3
    assert labels.tolist() == [0, classes - 1, 1]
