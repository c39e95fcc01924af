"""Several devices: the same numbers with two processes as with one, and no GPU held twice."""

import os
import random
import re
import subprocess
import sys
import uuid

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch._inductor.exc import InvalidCxxCompiler
from torch.utils.data import BatchSampler

from sgenet import errors
from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.recipes import Classification
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.runtime.files import read_json, write_json
from sgenet.training import batches, devices
from sgenet.training.resume import read_history
from support.faults import sgenet

RUNS = ["classification/sge-resnet50", "detection/retinanet/sge-resnet50"]
SGD = {"type": "SGD", "lr": 1e-3, "weight_decay": 1e-4}  # small steps: rounding grows by what is learned


def _sgenet(*arguments, **environment):
    command = [sys.executable, "-m", "sgenet.cli", *arguments, "--scale", "smoke"]
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("run_id", [RUNS[0], pytest.param(RUNS[1], marks=pytest.mark.slow)])
def test_two_processes_give_the_numbers_of_one(project, unpickled, monkeypatch, run_id):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    task, _, name = run_id.partition("/")

    def change(scale):
        scale["data"][task]["train_images"] = 64
        scale[task].update(batch_size=32, device_batch_size=8, epochs=2, optimizer=SGD)
        if task == "detection":
            head = {"head_channels": 48, "head_convs": 2, "head_init_std": 0.07, "box_loss_beta": 0.11}
            scale[task].update(detectors={"retinanet": {**head, "anchor_scale": 2}})

    project("params/scales/smoke.yaml", change)
    assert main(["prepare", task, "--scale", "smoke"]) == 0
    if task == "detection":
        classifier = paths.training("smoke", "classification/sge-resnet50", 0)
        from sgenet.models.resnet import create_resnet
        from sgenet.weights.checkpoints import save_weights

        torch.manual_seed(0)
        network = create_resnet("sge-resnet50", width=8, attention={"groups": 8}, num_classes=10)
        save_weights(network, classifier / "best.safetensors")
        settings = load_replication("smoke").run("classification/sge-resnet50").identity
        record = {"command": "sgenet train", "settings": settings, "data": {"fingerprint": "f"}}
        write_json(classifier / "training.json", record)
        (classifier / "history.csv").touch()
    output = paths.training("smoke", run_id, 0)
    found, (hooked, log) = [], unpickled
    for count in (1, 2):
        project("params/scales/smoke.yaml", lambda scale, count=count: scale.update(devices=count))
        if count == 1:
            assert sgenet("train", run_id, "--scale", "smoke") == (0, "")
        else:
            done = _sgenet("train", run_id, PYTHONPATH=hooked["PYTHONPATH"])
            assert done.returncode == 0, done.stderr
            assert log.read_text() == ""  # what a port receives is not unpickled either
            assert done.stdout.count(f"{run_id}: epoch 2/2") == 1  # one process speaks
        assert read_json(output / "training.json")["devices"] == count
        found.append((read_history(output / "history.csv"), load_file(output / "last.safetensors")))
    (history, weights), (other_history, other_weights) = found
    for row, other in zip(history, other_history, strict=True):
        row.pop("seconds"), other.pop("seconds")
        assert row == pytest.approx(other, rel=1e-4)
    assert history[0]["loss"] != history[1]["loss"]
    for key, value in weights.items():
        assert torch.allclose(other_weights[key], value, rtol=1e-3, atol=1e-5), key


def test_micro_batches_are_shared_in_turn_and_in_complete_steps(monkeypatch):
    order = batches.SeededSampler(list(range(26)), seed=3)

    def dealt(world, drop_last):
        found = []
        for rank in range(world):
            monkeypatch.setattr(batches, "get_dist_info", lambda rank=rank: (rank, world))
            micro_batches = batches.MicroBatchSampler(BatchSampler(order, 2, drop_last), 4, drop_last)
            found.append(list(micro_batches))
            assert len(found[-1]) == len(micro_batches)
        return [micro_batch for turn in zip(*found, strict=True) for micro_batch in turn]

    alone = dealt(1, True)
    assert len(alone) == 12 and len({index for micro_batch in alone for index in micro_batch}) == 24  # 3 steps of 8
    assert dealt(2, True) == alone and dealt(4, True) == alone
    filled = dealt(1, False)
    assert len(filled) == 16 and filled[13:] == filled[:3] and dealt(2, False) == filled
    assert sorted(index for micro_batch in filled[:13] for index in micro_batch) == list(range(26))
    order.set_epoch(1)
    assert dealt(1, True) != alone


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
    settings = Classification.model_construct(batch_size=16, device_batch_size=8)
    assert batches.micro_batches_per_step(settings) == 2 == settings.micro_batches(2)
    monkeypatch.setattr(batches, "get_dist_info", lambda: (0, 4))
    with pytest.raises(
        InputError, match="device_batch_size: found 8 on 4 devices, expected .* to divide the batch_size of 16"
    ):
        batches.micro_batches_per_step(settings)


def test_an_item_is_the_same_whatever_came_before():
    class Drawn:
        def __getitem__(self, index):
            return index, torch.rand(2).tolist(), np.random.rand(), random.random()

    data = batches.SeededDataset(Drawn(), seed=1)
    first, second = data[3], data[4]
    assert data[3] == first != second
    data.epoch = 1
    assert data[3] != first


HOLD = """
import sys, time
from sgenet.training import devices
print(*devices.acquire_gpus(sys.argv[2:], int(sys.argv[1])), flush=True)
time.sleep(600)
"""


def _hold(count, *visible):
    return subprocess.Popen([sys.executable, "-c", HOLD, str(count), *visible], stdout=subprocess.PIPE, text=True)


def test_no_gpu_is_held_twice_and_a_dead_run_frees_its_own():
    zero, one, two = ("a" + uuid.uuid4().hex for _ in range(3))  # the locks stand in a folder of the machine
    processes = []

    def hold(count, *visible):
        processes.append(_hold(count, *visible))
        return processes[-1]

    try:
        first = hold(1, zero, one, two)
        assert first.stdout.readline().split() == [zero]
        assert hold(2, zero, one, two).stdout.readline().split() == [one, two]
        third = hold(1, zero, one)
        assert third.stdout.readline().startswith(f"waiting for 1 of the GPUs {zero}, {one}")
        first.kill()
        first.wait()
        assert third.stdout.readline().split() == [zero]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for name in (zero, one, two):
            (devices.LOCKS / f"sgenet-gpu-{name}.lock").unlink()


def test_locks_that_others_prepared_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setattr(devices, "_uuids", dict)
    (tmp_path / "sgenet-gpu-0.lock").symlink_to(tmp_path / "made")
    os.mkfifo(tmp_path / "sgenet-gpu-1.lock")
    (tmp_path / "sgenet-gpu-2.lock").mkdir()
    for name, found in (("0", "cannot be written .too many levels"), ("1", "is not a reg"), ("2", "cannot be written")):
        with pytest.raises(InputError, match=f"gpu-{name}.lock: {found}"):
            devices.acquire_gpus([name], 1)
    assert not (tmp_path / "made").exists()


def test_more_gpus_than_there_are_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(InputError, match="devices: found 3 in the scale, expected at most the 2 CUDA devices here"):
        devices.acquire("cuda", 3)
    monkeypatch.setattr(devices, "acquire_gpus", lambda visible, count: visible[:count])
    assert devices.acquire("auto", 1) == "cuda" and os.environ["CUDA_VISIBLE_DEVICES"] == "4"


@pytest.mark.parametrize(
    ("device", "count", "there", "found"),
    [
        ("cpu", 8, 0, None),
        ("auto", 8, 0, None),
        ("cuda", 1, 0, "device: found cuda in the scale, and no CUDA device"),
        ("cuda", 4, 4, None),
        ("auto", 8, 4, "devices: found 8 in the scale, expected at most the 4 CUDA devices here"),
    ],
)
def test_a_machine_with_too_few_gpus_is_known_before_any_training(monkeypatch, device, count, there, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    why = devices.lacking(device, count)
    assert why is None if found is None else why.startswith(found)


def test_under_another_launcher_each_process_locks_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    held = []
    monkeypatch.setattr(devices, "acquire_gpus", lambda visible, count: held.append((visible, count)) or visible)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    assert devices.acquire("cuda", 2) == "cuda" and held == [(["7"], 1)]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4, 7"  # by which NCCL and mmengine count


def test_processes_end_with_the_one_that_started_them(prepared_project):
    endless = {"device_batch_size": 8, "epochs": 500}
    prepared_project("params/scales/smoke.yaml", lambda scale: scale.update(devices=2))
    prepared_project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(endless))
    command = [sys.executable, "-m", "sgenet.cli", "train", "classification/resnet50", "--scale", "smoke"]
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert "500 epochs of 4 steps, on 2 devices" in process.stdout.readline()
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_memory_is_pinned_where_a_gpu_takes_the_batches():
    settings = Classification.model_construct(batch_size=2, device_batch_size=2, workers=0)
    micro_batches = BatchSampler(batches.SeededSampler([0] * 4, 0), 2, True)
    for device, pinned in (("cuda", True), ("cpu", False)):
        assert batches.test_loader([0] * 4, settings, device).pin_memory is pinned
        assert batches.train_loader(micro_batches, settings, device, drop_last=True).pin_memory is pinned


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "the GPU's memory is full .*lower device_",
        ),
        (InvalidCxxCompiler(), "compile: torch.compile failed .*set it to false"),
    ],
)
def test_what_torch_cannot_do_is_told_in_a_sentence(error, sentence):
    assert re.match(sentence, errors.explain(error))
    assert errors.explain(RuntimeError("something else")) is None


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.acquire("auto") == "cpu" == devices.acquire("cpu", 2)
    with pytest.raises(InputError, match="0 CUDA devices here"):
        devices.acquire("cuda")


@pytest.mark.parametrize(
    ("listed", "reported", "count"),
    [(None, 4, 4), (None, 0, 1), ("2,3", 4, 2), ("GPU-a, GPU-b,", 4, 2), ("", 4, 1)],
)
def test_the_number_of_gpus_that_runs_may_use(monkeypatch, listed, reported, count):
    monkeypatch.setattr(devices, "_uuids", lambda: {str(index): f"GPU-{index}" for index in range(reported)})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert devices.visible() == count
