"""A try is trained and evaluated by the same commands as the run that it changes, and apart from it."""

import shlex
from contextlib import contextmanager

import pytest
import torch

from sgenet import cli
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.tries import change
from sgenet.runtime.files import read_json
from sgenet.training import devices, resume, tracking

RUN = "classification/sge-resnet50"
SETS = ["optimizer.lr=0.01", "epochs=1", "crop_scale=[0.5, 1]"]
OPTIONS = [argument for text in SETS for argument in ("--set", text)]


@pytest.fixture
def smoke(prepared_project, monkeypatch):
    """A project with prepared data at scale `smoke`, without W&B."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    threads = torch.get_num_threads()
    yield prepared_project
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_try_is_trained_and_evaluated_apart_from_its_run(smoke, monkeypatch, capsys):
    names, folders = [], []

    @contextmanager
    def record(*_, name, **__):
        names.append(name)
        yield None

    remove = resume.remove_checkpoints
    monkeypatch.setattr(tracking, "wandb_run", record)
    monkeypatch.setattr(resume, "remove_checkpoints", lambda folder: (folders.append(folder), remove(folder)))
    smoke("params/pipeline.yaml", lambda value: value.update(tables=["ablation-init"]))
    assert cli.main(["train", RUN, "--scale", "smoke", *OPTIONS]) == 0
    assert names == ["sge-resnet50 seed 0 crop_scale=[0.5, 1] epochs=1 optimizer.lr=0.01"]
    assert [folder.parent.name for folder in folders] == ["tries_classification_sge-resnet50"]
    assert not paths.training("smoke", RUN, 0).exists()
    assert cli.main(["evaluate", RUN, "--scale", "smoke"]) == 2  # a try is not the run
    assert "training.json: missing" in capsys.readouterr().err
    assert cli.main(["evaluate", RUN, "--scale", "smoke", *OPTIONS]) == 0
    run = change(load_replication("smoke").run(RUN), SETS)
    metrics = paths.evaluated_files("smoke", run.folder, 0)["metrics"]
    result = read_json(metrics)
    top1, top5 = (result["metrics"][name] for name in ("top1", "top5"))
    first, *remark = capsys.readouterr().out.splitlines()
    assert first == f"{RUN}: top1 {top1:.2f}, top5 {top5:.2f} ({metrics})"
    assert all(line.startswith(f"{RUN}: did not learn: ") for line in remark)
    assert not paths.evaluation("smoke", RUN, 0).exists()
    origin = result["origin"]
    assert origin["train"]["settings"]["optimizer"]["lr"] == 0.01
    assert origin["train"]["command"] == (
        f"sgenet train {RUN} --scale smoke --seed 0 --set 'crop_scale=[0.5, 1]' --set epochs=1 --set optimizer.lr=0.01"
    )
    metrics.unlink()
    assert cli.main(shlex.split(origin["evaluate"]["command"])[1:]) == 0
    assert read_json(metrics)["metrics"] == result["metrics"]


def test_the_processes_of_several_devices_train_the_try(smoke, monkeypatch):
    launched = []
    monkeypatch.setattr(devices, "launch", lambda arguments, *_: launched.append(arguments))
    smoke("params/scales/smoke.yaml", lambda scale: scale.update(devices=2, device="cpu"))
    smoke("params/scales/smoke.yaml", lambda scale: scale["classification"].update(device_batch_size=8))
    assert cli.main(["train", RUN, "--scale", "smoke", "--seed", "2", *OPTIONS]) == 0
    options = cli._parser().parse_args(launched[0])
    replication = load_replication("smoke")
    assert (options.step, options.scale, options.seed) == ("train", "smoke", 2)
    assert change(replication.run(options.run), options.sets) == change(replication.run(RUN), SETS)
