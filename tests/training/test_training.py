"""Training and evaluation of both tasks on a handful of scenes: what is written, and what interruption changes."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sgenet.config import paths
from sgenet.config.optimizer import Optimizer
from sgenet.config.replication import load_replication
from sgenet.config.tries import change
from sgenet.data.manifest import read_manifest
from sgenet.errors import InputError
from sgenet.pipeline import steps
from sgenet.provenance.identity import Artifacts
from sgenet.runtime.files import read_json
from sgenet.training import resume
from sgenet.weights.checkpoints import load_weights

RUNS = ["classification/sge-resnet50", "detection/retinanet/sge-resnet50"]


class InterruptionError(Exception):
    pass


@pytest.fixture
def replication(prepared_project, monkeypatch):
    """The smoke scale with two epochs a run, W&B off, and its data made."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    prepared_project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(epochs=2))
    threads = torch.get_num_threads()
    yield load_replication("smoke")
    torch.set_num_threads(threads)


def _task(run):
    if run.task == "classification":
        from sgenet.classification import train
    else:
        from sgenet.detection import train
    return train


def _with(run, **settings):
    return replace(run, settings=run.settings.model_copy(update=settings))


def _train(run, folder, log=None):
    torch.set_num_threads(1)
    data, manifest = paths.data_folder("smoke", run.task), read_manifest(paths.manifest("smoke", run.task))
    _task(run).train(run, data, manifest, folder=folder, output=folder / "out", seed=0, device="cpu", log=log)
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def _history(text):
    return [line.rpartition(",")[0] for line in text.decode().splitlines()]  # without the seconds


@pytest.mark.parametrize("run_id", RUNS)
def test_interrupted_and_continued_equals_undisturbed(replication, tmp_path, run_id):
    run = replication.run(run_id)
    whole = _train(run, tmp_path / "whole")

    def interrupt(row):
        raise InterruptionError

    with pytest.raises(InterruptionError):
        _train(run, tmp_path / "torn", log=interrupt)
    assert not (tmp_path / "torn/out").exists()
    assert [row["epoch"] for row in resume.read_history(tmp_path / "torn/history.csv")] == [1]
    epochs = []
    torn = _train(run, tmp_path / "torn", log=lambda row: epochs.append(row["epoch"]))
    assert epochs == [1, 2]
    assert _history(whole.pop("history.csv")) == _history(torn.pop("history.csv"))
    assert whole == torn


def test_continued_from_the_checkpoint_before_a_damaged_one_equals_undisturbed(replication, tmp_path, capsys):
    run = replication.run(RUNS[0])
    whole = _train(run, tmp_path / "whole")

    def interrupt(row):
        if row["epoch"] == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        _train(run, tmp_path / "torn", log=interrupt)
    older, newest = sorted((tmp_path / "torn").glob("epoch-*"))
    content = bytearray(newest.read_bytes())
    content[1000] ^= 1
    newest.write_bytes(content)
    capsys.readouterr()
    torn = _train(run, tmp_path / "torn")
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{run.id}: damaged checkpoints are not used: epoch-0002 (the checksum of its content")
    assert told[1] == f"{run.id}: continues after epoch 1"
    assert _history(whole.pop("history.csv")) == _history(torn.pop("history.csv"))
    assert whole == torn
    for path in (tmp_path / "torn").glob("epoch-*"):
        path.write_bytes(b"")
    capsys.readouterr()
    again = _train(run, tmp_path / "torn")
    assert f"{run.id}: starts from the beginning" in capsys.readouterr().out
    assert again.pop("history.csv") and again == whole


def test_killed_before_its_state_is_forgotten_a_run_ends_the_same(replication, monkeypatch):
    run, output = replication.run(RUNS[0]), paths.training("smoke", RUNS[0], 0)
    folders = []

    def interrupt(folder):
        folders.append(folder)
        raise InterruptionError

    with monkeypatch.context() as patched:
        patched.setattr(resume, "remove_checkpoints", interrupt)
        with pytest.raises(InterruptionError):
            steps.train(replication, run, 0)
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.name != "training.json"}
    assert len(before) == 3 and len(list(folders[0].glob("epoch-*"))) == 2
    for path in output.iterdir():  # as Snakemake does with a job that did not end
        path.unlink()
    steps.train(replication, run, 0)
    assert all((output / name).read_bytes() == content for name, content in before.items())
    assert (output / "training.json").exists() and not folders[0].parent.exists()


def test_a_run_that_another_process_trains_is_refused(replication, monkeypatch):
    run, output = replication.run(RUNS[0]), paths.training("smoke", RUNS[0], 0)
    lock, others = resume.lock, []

    def lock_as_second(folder):
        folder.mkdir(parents=True)
        code = "import sys; from pathlib import Path; from sgenet.runtime.locks import acquire;"
        code += "acquire(Path(sys.argv[1]), ''); print('acquired', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, str(folder / "lock")]
        others.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert others[0].stdout.readline() == "acquired\n"
        return lock(folder)

    monkeypatch.setattr(resume, "lock", lock_as_second)
    monkeypatch.setattr(resume, "_PATIENCE", 0.2)
    try:
        with pytest.raises(InputError) as refused:
            steps.train(replication, run, 0)
        assert f"is in use by process {others[0].pid} on " in str(refused.value) and not output.exists()
    finally:
        others[0].communicate(timeout=120)


@pytest.mark.parametrize("run_id", ["classification/sge-resnet50", "detection/faster-rcnn/sge-resnet50"])
def test_steps_write_whole_results_with_their_origin(replication, run_id, capsys):
    run = replication.run(run_id)
    if run.starts_from:
        with pytest.raises(InputError, match="best.safetensors: missing, expected from `sgenet train classification/"):
            steps.train(replication, run, 0)
        steps.train(replication, replication.run(run.starts_from), 0)
    with pytest.raises(InputError, match="training.json: missing, expected from `sgenet train"):
        steps.evaluate(replication, run, 0)
    steps.train(replication, run, 0)
    steps.evaluate(replication, run, 0)
    output = paths.evaluation("smoke", run.id, 0)
    result = read_json(output / "metrics.json")
    training, times = result["origin"]["train"], read_json(output / "timing.json")
    made = read_json(paths.training("smoke", run.id, 0) / "training.json")
    identity, prepared = made.pop("identity"), read_json(paths.manifest("smoke", run.task))
    for name in ("classes", "category_ids"):
        assert made.pop(name, None) == prepared.get(name)
    assert training | times["train"] == made
    assert result["origin"]["evaluate"]["identity"]["inputs"] == {"training": identity["digest"]}
    assert identity["files"].keys() == set(run.task.weights)
    for step in ("train", "evaluate"):  # what equal runs do not share stands beside the metrics
        assert times[step].keys() == {"seconds", "peak_memory_mib", "finished", "machine"}
        assert times[step]["machine"].keys() == {"host", "threads", "load"}
        assert not times[step].keys() & result["origin"][step].keys()
    assert training["settings"]["epochs"] == 2 and training["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert training["data"]["fingerprint"] == read_json(paths.manifest("smoke", run.task))["fingerprint"]
    assert "epoch 2/2" in capsys.readouterr().out
    run = _with(run, epochs=3)
    told = "training.json: made with other settings: epochs 2, now 3; expected a current one from `sgenet train "
    with pytest.raises(InputError, match=told):
        steps.evaluate(replication, run, 0)
    assert not list(paths.RESUME.glob("*/*/*"))
    history = resume.read_history(paths.training("smoke", run.id, 0) / "history.csv")
    assert [row["epoch"] for row in history] == [1, 2] and all(row["seconds"] > 0 for row in history)
    if run.task == "classification":
        _check_classification(result["metrics"], output, history)
    else:
        _check_detection(result["metrics"], output)


def _check_classification(metrics, output, history):
    with np.load(output / "predictions.npz") as arrays:
        for which, suffix in (("best", ""), ("last", "_last")):
            hits = arrays[f"{which}_top5"] == arrays["label"][:, None]
            assert metrics[f"top1{suffix}"] == pytest.approx(100 * hits[:, 0].mean())
            assert metrics[f"top5{suffix}"] == pytest.approx(100 * hits.any(axis=1).mean())
    # what the evaluation computes from the stored weights is what the training saw
    assert metrics["top1"] == pytest.approx(max(row["top1"] for row in history), abs=1e-3)
    assert metrics["top1_last"] == pytest.approx(history[-1]["top1"], abs=1e-3)
    assert metrics["top1_mean10"] is None  # of two epochs
    assert history[metrics["best_epoch"] - 1]["top1"] == max(row["top1"] for row in history)


def _check_detection(metrics, output):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found = json.loads((output / "detections.json").read_text())
    assert found and all(len(entry["bbox"]) == 4 and 0 <= entry["score"] <= 1 for entry in found)
    truth = COCO(str(paths.data_folder("smoke", "detection") / "annotations/val.json"))
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    for name, value in zip(("ap", "ap50", "ap75"), evaluation.stats, strict=False):
        assert metrics[name] == pytest.approx(100 * value)


def test_resident_images_in_half_precision_train_and_evaluate_alike(replication):
    run = _with(replication.run("classification/sge-resnet50"), resident=True, precision="bf16", device_batch_size=8)
    steps.train(replication, run, 0)
    steps.evaluate(replication, run, 0)
    output = paths.evaluation("smoke", run.id, 0)
    history = resume.read_history(paths.training("smoke", run.id, 0) / "history.csv")
    _check_classification(read_json(output / "metrics.json")["metrics"], output, history)


@pytest.mark.parametrize("resident", [True, False])
def test_networks_with_one_seed_see_the_same_batches(replication, resident):
    from sgenet.classification.classifier import build_loaders, build_network

    data = paths.data_folder("smoke", "classification")
    manifest = read_manifest(paths.manifest("smoke", "classification"))
    batches = []
    for model in ("resnet50", "sk-resnet50", "cbam-resnet50"):
        settings = _with(replication.run(f"classification/{model}"), resident=resident).classification
        torch.manual_seed(3)
        build_network(model, settings, 10)
        batches.append(list(build_loaders(data, manifest, settings, 3, "cpu")[0]))
    for images in zip(*batches, strict=True):
        assert all(torch.equal(x, y) for other in images[1:] for x, y in zip(images[0], other, strict=True))


def test_the_backbone_starts_from_the_classifier_and_freezes_what_is_asked(replication, tmp_path):
    from sgenet.detection import ops
    from sgenet.weights.checkpoints import save_weights

    ops.install()
    from sgenet.models.backbone import AttentionResNetBackbone
    from sgenet.models.resnet import create_resnet

    classifier = create_resnet("sge-resnet50", width=8, attention={"groups": 8}, num_classes=10).eval()
    save_weights(classifier, tmp_path / "w.safetensors")
    backbone = AttentionResNetBackbone(
        "sge-resnet50", {"groups": 8}, 8, frozen_stages=1, norm_eval=True, weights=str(tmp_path / "w.safetensors")
    )
    backbone.init_weights()
    backbone.train()
    frozen = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in backbone.named_parameters() if name.startswith(("conv1", "bn1", "layer1"))}
    assert not any(m.training for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(32, 16, 24), (64, 8, 12), (128, 4, 6), (256, 2, 3)]
    pooled = maps[-1].mean((2, 3))
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 64)
    pooled = backbone.eval()(image)[-1].mean((2, 3))
    torch.testing.assert_close(classifier.fc(pooled), classifier(image))
    with pytest.raises(InputError, match="does not fit the model"):
        load_weights(backbone, tmp_path / "w.safetensors")  # its last layer is too many


@pytest.mark.slow
@pytest.mark.parametrize("run_id", RUNS)
def test_a_training_starts_from_a_file_and_records_it(replication, tmp_path, capsys, run_id):
    from sgenet.models.resnet import create_resnet

    classifier, path = create_resnet("resnet50", width=8, num_classes=4), tmp_path / "w.pth"
    torch.save(classifier.state_dict(), path)
    run = change(replication.run(run_id), [f"starts_from={path}", "optimizer.lr=1.0e-12", "epochs=1"])
    steps.train(replication, run, 0)
    folder = paths.training("smoke", run.folder, 0)
    recorded = read_json(folder / "training.json")["weights"]
    assert recorded["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and recorded["path"] == str(path)
    said = recorded["use"]
    assert f": {said}\n" in capsys.readouterr().out
    assert said.startswith(f"starts from {path}; ") and said.endswith("tensors of the attention modules are new")
    assert ("its last layer, of 4 classes, is replaced by a new one of 10" in said) == (run.task == "classification")
    prefix = "backbone." if run.detector else ""
    trained, name = load_file(folder / "last.safetensors"), "layer4.2.conv3.weight"
    torch.testing.assert_close(trained[prefix + name], classifier.state_dict()[name], atol=1e-6, rtol=0)
    assert Artifacts(replication).stale(Artifacts(replication).training(run, 0)) is None
    path.unlink()
    with pytest.raises(InputError, match="w.pth: missing"):
        steps.train(replication, run, 1)


def test_a_diverging_run_stops_with_one_sentence(replication, tmp_path):
    run = _with(replication.run("classification/resnet50"), optimizer=Optimizer(type="SGD", lr=1e30))
    with pytest.raises(InputError, match=r"classification/resnet50: the loss is (nan|inf) in epoch \d, iteration \d"):
        _train(run, tmp_path / "run")
