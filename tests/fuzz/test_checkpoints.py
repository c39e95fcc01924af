"""Checkpoints, mutated: those that others released, weights, and what a run continues from."""

import hashlib
import io
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.optim import MultiStepLR, OptimWrapper

from sgenet.errors import InputError
from sgenet.training import resume
from sgenet.weights.checkpoints import load_weights, read_weights
from sgenet.weights.released import fit_released, read_released
from support.mutations import forms, fuzz, mutated_bytes, mutated_documents, refused


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def saved(content, old=False):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


STATE = OrderedDict((f"module.{name}", tensor) for name, tensor in network().state_dict().items())
AUTHORS = {
    "epoch": 97,
    "state_dict": STATE,
    "best_acc": np.float64(77.5),
    "optimizer": {"state": {}, "param_groups": []},
}
DETECTOR = {"state_dict": dict(STATE), "meta": {"epoch": 12, "CLASSES": ("zero", "one")}}


@pytest.fixture
def use_released(tmp_path):
    """Read a file as a released checkpoint and give a network what it holds."""
    path = tmp_path / "released.pth.tar"

    def use():
        found = read_released(path)
        for number in (found.epoch, found.accuracy):
            assert number is None or f"{number:g}"
        refused(lambda: fit_released(network(), found.state, path), path)
        return found

    def run(content):
        path.write_bytes(content)
        return refused(use, path) is not None

    return run


@forms(120, 4000)
def test_bytes_of_released_checkpoints(use_released, form):
    files = [saved(content, old) for content in (AUTHORS, DETECTOR) for old in (False, True)]
    fuzz(mutated_bytes(*files), use_released, form, also=files)


@forms(60, 1500)
def test_structure_of_released_checkpoints(use_released, form):
    def check(content):
        return use_released(saved(content, old=isinstance(content, dict) and "meta" in content))

    fuzz(mutated_documents(AUTHORS, DETECTOR, dict(STATE)), check, form)


@forms(120, 5000)
def test_bytes_of_weights(tmp_path, form):
    path = tmp_path / "weights.safetensors"
    file = safetensors.torch.save(dict(network().state_dict()))

    def check(content):
        path.write_bytes(content)
        refused(lambda: load_weights(network(), path), path)
        return refused(lambda: read_weights(path), path) is not None

    fuzz(mutated_bytes(file), check, form, also=[file])


def runner():
    """As much of mmengine's as `resume` looks at, after a step."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedulers = [MultiStepLR(optimizer, milestones=[2], by_epoch=True)]
    model[0](torch.ones(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    loop = SimpleNamespace(_epoch=0, _iter=0)
    wrapper = OptimWrapper(optimizer)
    return SimpleNamespace(
        model=model, optim_wrapper=wrapper, param_schedulers=schedulers, train_loop=loop, train_dataloader=[1, 2]
    )


@pytest.fixture
def resumed(tmp_path):
    """What a run continues from, as `resume` wrote it; a function lets a run continue from other bytes in its place."""
    history = [{"epoch": 1, "loss": 0.5, "lr": 0.1, "seconds": 0.1}]
    resume.save_checkpoint(runner(), history, dict(network().state_dict()), tmp_path)
    (whole,) = (path.read_bytes() for path in tmp_path.glob("epoch-*.pth"))

    def run(content, digest=None):
        for path in tmp_path.glob("epoch-*"):
            path.unlink()
        digest = digest or hashlib.sha256(content).hexdigest()
        (tmp_path / f"epoch-0001-{digest}.pth").write_bytes(content)
        return refused(lambda: continue_from(tmp_path), "epoch-0001") is not None

    def continue_from(folder):
        found, damaged = resume.newest_checkpoint(folder)
        assert (found is None) == bool(damaged) == (not list(folder.glob("epoch-*")))
        if found is None:
            raise InputError(damaged[0])  # what training tells before it begins anew
        continued = runner()
        resume.load_checkpoint(continued, found)
        assert (continued.train_loop._epoch, continued.train_loop._iter) == (1, 2)
        resume.write_history(found.state["history"], folder / "history.csv")
        safetensors.torch.save(found.state["best"] or {})
        return found

    return whole, run


@forms(60, 1500)
def test_bytes_of_what_a_run_continues_from(resumed, form):
    whole, run = resumed
    digest = hashlib.sha256(whole).hexdigest()
    fuzz(mutated_bytes(whole), lambda content: run(content, digest), form, also=[whole])
    fuzz(mutated_bytes(whole), run, form)


@forms(60, 1500)
def test_structure_of_what_a_run_continues_from(resumed, form):
    whole, run = resumed
    state = torch.load(io.BytesIO(whole), weights_only=True)
    found = {"history": [{"epoch": 10**400}]}, {"epoch": {"a": 1}}, {"epoch": 2}, {"best": {"a": 1}}, {"optimizer": []}
    assert not any(run(saved(state | other)) for other in found)
    fuzz(mutated_documents(state), lambda content: run(saved(content)), form, also=[state])
