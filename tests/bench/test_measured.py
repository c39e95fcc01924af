"""The benchmarks of the operation, the training step and the loaders, on little: rows, and what their numbers mean."""

import csv
from pathlib import Path

import pytest
import torch
from torch._inductor.exc import InvalidCxxCompiler

from bench import loader, op, step
from sgenet import kernels


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sgenet.training.devices.acquire", lambda device: "cpu")
    for module in (loader, op, step):
        monkeypatch.setattr(module, "TURNS", 2)


def written(name: str) -> list[dict[str, str]]:
    """The rows of the one CSV file, which has a plot beside it."""
    path, picture = sorted(Path("bench/results").iterdir())
    assert path.name.startswith(f"{name}-") and path.suffix == ".csv"
    assert picture.stem == path.stem and picture.read_bytes().startswith(b"\x89PNG")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small_op(monkeypatch):
    """Small maps, and no compiling; returns the names of the forms that were called."""
    monkeypatch.setattr(op, "SHORTEST", 0.0)
    monkeypatch.setattr(op, "BATCHES", {"cpu": (2, 1)})
    monkeypatch.setattr(op, "STAGES", {"stage 1": (128, 3, 5)})
    monkeypatch.setattr(op, "DETECTION_STAGES", {"detection stage 1": (64, 4, 2)})
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    called, plain = [], kernels.reference
    for name in ("reference", "spatial_group_enhance"):
        monkeypatch.setattr(
            kernels, name, lambda *given, name=name, **more: called.append(name) or plain(*given, **more)
        )
    return called


def test_op(small_op):
    op.bench()
    rows = written("op")
    forms = ["reference", "fused", "compiled reference"]
    alone, in_block = [*forms, "copy"], [*forms, "without SGE", "copy"]
    assert [row["variant"] for row in rows] == [*alone * 2, *in_block * 2] * 4
    titles = list(dict.fromkeys(row["what"] for row in rows))
    assert titles == [
        f"{what}, {shape}, float32, {layout}, {kind}"
        for shape in ("stage 1, 2x128x3x5", "detection stage 1, 1x64x4x2")
        for layout in ("contiguous", "channels_last")
        for what in ("SGE", "SGE, addition, ReLU")
        for kind in ("forward", "forward + backward")
    ]
    moves = dict(zip(titles, [2, 5, 3, 8] * 4, strict=True))  # of the feature map, 4 bytes a number
    numbers = dict(zip(titles, [2 * 128 * 3 * 5] * 8 + [64 * 4 * 2] * 8, strict=True))
    for row in rows:
        gigabytes = float(row["gb_per_second"]) * float(row["median_seconds"])
        assert gigabytes * 1e9 == pytest.approx(4 * moves[row["what"]] * numbers[row["what"]], rel=1e-3)
        assert float(row["processor_seconds"]) > 0
    calls = 8 * (1 + 2)  # one that does not count, and two turns
    assert small_op.count("spatial_group_enhance") == calls
    assert small_op.count("reference") == 4 * calls + 16  # as itself and compiled, and while it is compiled, twice
    assert {row["share_of_copy"] for row in rows if row["variant"] == "copy"} == {"1"}


def test_op_without_a_compiler(small_op, monkeypatch):
    def fail(function, dynamic):
        def call(*_):
            raise InvalidCxxCompiler()

        return call

    monkeypatch.setattr(torch, "compile", fail)
    op.bench()
    rows = written("op")
    missing = [row for row in rows if row["note"]]
    assert len(rows) == 72 and {row["variant"] for row in missing} == {"compiled reference"} and len(missing) == 16
    assert all("needs a C++ compiler" in row["note"] and not row["median_seconds"] for row in missing)


def test_step(monkeypatch):
    settings = (step.Setting(32, 4), step.Setting(64, 24, channels_last=True))
    monkeypatch.setattr(step, "SETTINGS", {"cpu": settings})
    models = {"plain": ("resnet18", False), "reference": ("sge-resnet18", True)}
    monkeypatch.setattr(step, "MODELS", models)
    step.bench()
    rows = written("step")
    assert [row["variant"] for row in rows] == [*models] * 2
    assert [row["what"] for row in rows[::2]] == [
        "training step, 32 px, batch 4, contiguous", "training step, 64 px, batch 24, channels_last",
    ]  # fmt: skip
    memory = [float(row["peak_memory_mib"]) for row in rows]
    for place, row in enumerate(rows):
        batch = 4 if place < 2 else 24
        assert float(row["images_per_second"]) * float(row["median_seconds"]) == pytest.approx(batch, rel=1e-3)
        # 11.7 million weights and as many gradients take 89 MiB; the buffers of oneDNN and the allocator add to it
        assert 89 < memory[place] < 900
    assert min(memory[2:]) > max(memory[:2]) + 30  # the maps of the first stages alone take 50 MiB more


def test_a_step_trains_in_the_form_that_was_asked_for(monkeypatch):
    used, networks = [], []
    use, create = kernels.use, step.create_resnet
    monkeypatch.setattr(kernels, "use", lambda form: used.append(form) or use(form))
    monkeypatch.setattr(step, "create_resnet", lambda model: networks.append(create(model)) or networks[-1])
    for model, plain, form in (("sge-resnet18", False, "fused"), ("sge-resnet18", True, "reference")):
        take = step.create_step(model, plain, step.Setting(32, 2), "cpu")
        before = networks[-1].fc.bias.detach().clone()
        take()
        assert used.pop() == form
        assert not torch.equal(networks[-1].fc.bias, before)


def test_loader(monkeypatch):
    def take_turns(epochs, turns):
        for epoch in epochs.values():
            epoch()
        return {name: [6.4 * turn for turn in range(1, 1 + turns)] for name in epochs}

    monkeypatch.setattr(loader, "take_turns", take_turns)
    monkeypatch.setattr(loader, "IMAGES", {"large": ((40, 56), 32, 32, "jpg"), "small": ((32, 32), 32, 64, "webp")})
    loader.bench()
    found = [
        (row["what"], row["variant"], row["median_seconds"], row["images_per_second"]) for row in written("loader")
    ]
    large, small = ("0.3", "3.3333"), ("0.15", "6.6667")  # 9.6 s an epoch of 32, and of 64 images
    assert found == [
        ("large", "torchvision", *large), ("large", "ours", *large),
        ("small", "torchvision", *small), ("small", "ours", *small), ("small", "ours, resident (cpu)", *small),
    ]  # fmt: skip
