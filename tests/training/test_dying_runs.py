"""Runs that diverge, lose a worker or find no memory: told in one sentence, and continued from the last epoch."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml

from sgenet.classification.classifier import Classifier
from sgenet.cli import main
from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.training import batches
from sgenet.training.step_hooks import SeedHook
from support.faults import forked, sgenet

ROOT = Path(__file__).parents[2]
CLASSIFIER, DETECTOR = "classification/resnet50", "detection/retinanet/resnet50"
ALLOCATOR = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project at scale smoke with its data, and both runs trained undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    for part in ("params", "workflow"):
        shutil.copytree(ROOT / part, folder / part)
    path = folder / "params/scales/smoke.yaml"
    scale = yaml.safe_load(path.read_text())
    scale["classification"] |= {"workers": 1}
    scale["detection"] |= {"epochs": 2}
    scale["data"]["classification"] |= {"train_images": 48, "val_images": 10}
    scale["data"]["detection"] |= {"train_images": 12, "val_images": 10}
    path.write_text(yaml.safe_dump(scale))
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "disabled")
        for step in ("prepare classification", "prepare detection", f"train {CLASSIFIER}", f"train {DETECTOR}"):
            assert main([*step.split(), "--scale", "smoke"]) == 0
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def train(whole, tmp_path, monkeypatch):
    """Train a run in a fork, as `change` has altered the process; returns status and standard error."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def train(run_id, change=None):
        def act():
            with pytest.MonkeyPatch.context() as patch:
                if change:
                    change(patch)
                return sgenet("train", run_id, "--scale", "smoke")

        return forked(act)

    return train


def check_checkpoint():
    """That of the first epoch is there and holds finite numbers."""
    (path,) = paths.RESUME.rglob("epoch-*.pth")
    assert path.name.startswith("epoch-0001-")
    state = torch.load(path, weights_only=True)["model"]
    assert all(value.isfinite().all() for value in state.values())


def check_continued(train, whole, run_id):
    """The same command again leads to the undisturbed run's weights."""
    weights = paths.training("smoke", run_id, 0) / "last.safetensors"
    weights.unlink()
    assert train(run_id) == [0, ""]
    assert weights.read_bytes() == (whole / weights).read_bytes()


def at_the_end(act):
    """Call `act` with the runner before the last iteration of the second epoch."""
    before = SeedHook.before_train_iter

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx + 1 == len(runner.train_dataloader):
            act(next(weight for weight in runner.model.parameters() if weight.requires_grad))
        return before(self, runner, batch_idx, data_batch)

    return lambda patch: patch.setattr(SeedHook, "before_train_iter", before_train_iter)


def poison(weight):
    weight.data.fill_(torch.nan)


def poison_gradient(weight):
    weight.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))


@pytest.mark.parametrize("run_id", [CLASSIFIER, DETECTOR])
@pytest.mark.parametrize(
    ("fault", "what"), [(poison, r"the loss is nan"), (poison_gradient, r"\S+\.weight is not finite")]
)
def test_what_diverges_at_the_end_of_an_epoch_leaves_a_good_checkpoint(train, whole, run_id, fault, what):
    """Through the loss, or past it: gradients that are not finite show in the weights alone."""
    status, told = train(run_id, at_the_end(fault))
    place = r"in epoch 2, iteration 3 \(last finite loss: \d+\.\d+\)"
    assert status == 2
    assert re.fullmatch(f"sgenet: {run_id}: {what} {place}; expected finite numbers: lower the learning rate\n", told)
    check_checkpoint()
    if fault == poison_gradient:
        check_continued(train, whole, run_id)


def in_second_epoch(act):
    """Have the process that reads a training image call `act` in the second epoch."""
    read = batches.SeededDataset.__getitem__

    def getitem(self, index):
        if self.epoch == 1:
            act()
        return read(self, index)

    return lambda patch: patch.setattr(batches.SeededDataset, "__getitem__", getitem)


def raise_(error):
    raise error


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            r"DataLoader worker \(pid.* (is killed by signal: Killed|exited unexpectedly).*",
        ),
        (lambda: raise_(InputError("a.png: no image")), "a.png: no image"),
        pytest.param(
            lambda: raise_(MemoryError("2 GiB")),
            r"the machine's memory is full \(2 GiB\); fewer `workers` or .*",
            marks=pytest.mark.soak,
        ),
    ],
    ids=["killed", "bad image", "no memory"],
)
def test_a_worker_that_dies_is_told(train, whole, act, sentence):
    status, told = train(CLASSIFIER, in_second_epoch(act))
    assert status == 2 and re.fullmatch(f"sgenet: {sentence}\n", told), told
    check_checkpoint()
    if "killed" in sentence:
        check_continued(train, whole, CLASSIFIER)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory."),
            "the GPU's memory is full (CUDA out of memory.); lower device_",
        ),
        (RuntimeError(ALLOCATOR), "the machine's memory is full (err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["of the GPU", "of the machine"],
)
def test_memory_that_is_full_is_told(train, error, sentence):
    forward, calls = Classifier.forward, []

    def fail_late(self, *arguments, mode="tensor", **more):
        calls.append(mode)
        if calls.count("loss") == 4:  # there are three iterations in an epoch
            raise error
        return forward(self, *arguments, mode=mode, **more)

    status, told = train(CLASSIFIER, lambda patch: patch.setattr(Classifier, "forward", fail_late))
    assert status == 2 and told.startswith(f"sgenet: {sentence}") and told.count("\n") == 1, told
    check_checkpoint()
