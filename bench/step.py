"""A training step of ResNet50, plain and with attention modules: forward, loss, backward, SGD."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch.nn.functional import cross_entropy

from bench.common import Row, Seconds, device_name, row, take_turns
from bench.output import write
from sgenet import attention, kernels
from sgenet.config.names import parse_name
from sgenet.models.resnet import create_resnet
from sgenet.runtime.machine import peak_memory_mib
from sgenet.training import devices

TURNS = 20
MODELS = {  # variant -> model, and whether SGE's reference replaces the fused form
    "resnet50": ("resnet50", False),
    "sge-resnet50, reference": ("sge-resnet50", True),
    "sge-resnet50, fused": ("sge-resnet50", False),
    "se-resnet50": ("se-resnet50", False),
    "cbam-resnet50": ("cbam-resnet50", False),
}


@dataclass(frozen=True)
class Setting:
    """Settings of a step: side in pixels, number of images, memory format, bf16 autocast, torch.compile."""

    size: int
    batch: int
    channels_last: bool = False
    bf16: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        words = [f"{self.size} px", f"batch {self.batch}", "channels_last" if self.channels_last else "contiguous"]
        return ", ".join([*words, *["bf16"] * self.bf16, *["torch.compile"] * self.compiled])


SETTINGS = {
    "cpu": (Setting(64, 32), Setting(224, 8), Setting(224, 8, channels_last=True)),
    "cuda": tuple(Setting(224, 256, True, True, compiled) for compiled in (False, True)),
}


def bench() -> None:
    """Measure on the GPU, or on the CPU if there is none, and write the results."""
    device = devices.acquire("auto")
    torch.backends.cudnn.benchmark = True  # as in training
    packages = ["torch", "torchvision", "triton" if device == "cuda" else "numba"]
    title = "a training step: seconds, ratio to ResNet50, images per second, peak memory"
    write_rows = partial(write, "step", title=title, device=device_name(device), packages=packages)
    rows: list[Row] = []
    for setting in SETTINGS[device]:
        rows += measure(setting, device)
        write_rows(rows, finished=False)  # what is measured stays if this is interrupted
    write_rows(rows)


def measure(setting: Setting, device: str) -> list[Row]:
    """Compare the variants in one setting."""
    built = {name: _build(*model, setting, device) for name, model in MODELS.items()}
    busy: Seconds = {}
    seconds = take_turns({name: step for name, (step, _) in built.items()}, TURNS, device=device, processor=busy)
    rows = []
    for name, own in seconds.items():
        rate, memory = setting.batch / median(own), built[name][1]
        values = {"images_per_second": rate, "peak_memory_mib": memory}
        label = f"{rate:.1f} images/s, {memory:.0f} MiB"
        rows.append(row(f"training step, {setting}", name, seconds, values, label, busy))
    return rows


def create_step(model: str, plain: bool, setting: Setting, device: str) -> Callable[[], object]:
    """Return a function that runs a training step on random images; with `plain`, SGE uses its reference."""
    torch.manual_seed(0)
    layout = _layout(setting)
    images = torch.randn(setting.batch, 3, setting.size, setting.size, device=device).to(memory_format=layout)
    labels = torch.randint(1000, (setting.batch,), device=device)
    network = create_resnet(model).to(device=device, memory_format=layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    forward = torch.compile(network) if setting.compiled else network

    def step() -> None:
        optimizer.zero_grad()
        with kernels.use("reference" if plain else "fused"):
            with torch.autocast(device, torch.bfloat16, enabled=setting.bf16):
                loss = cross_entropy(forward(images), labels)
            loss.backward()
        optimizer.step()

    return step


def _layout(setting: Setting) -> torch.memory_format:
    return torch.channels_last if setting.channels_last else torch.contiguous_format


def _build(model: str, plain: bool, setting: Setting, device: str) -> tuple[Callable[[], object], float]:
    """A training step, and its peak memory in MiB, including its network."""
    if device == "cpu":
        return create_step(model, plain, setting, device), _peak_on_cpu(model, plain, setting)
    before = torch.cuda.memory_allocated()
    step = create_step(model, plain, setting, device)
    step()  # excludes the search of cuDNN's algorithms and the compilation
    torch.cuda.reset_peak_memory_stats()
    step()
    return step, (torch.cuda.max_memory_allocated() - before) / 2**20


def _peak_on_cpu(model: str, plain: bool, setting: Setting) -> float:
    """Increase of peak memory in MiB by two steps, in a separate process that has imported all modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_growth, model, plain, setting, torch.get_num_threads()).result()


def _growth(model: str, plain: bool, setting: Setting, threads: int) -> float:
    torch.set_num_threads(threads)
    name, _ = parse_name(model)
    if name:  # excludes the compiler that SGE imports at its first use
        with kernels.use("reference" if plain else "fused"):
            small = torch.randn(2, 64, 8, 8).to(memory_format=_layout(setting))
            attention.create(name, 64)(small).sum().backward()
    before = peak_memory_mib()
    step = create_step(model, plain, setting, "cpu")
    for _ in range(2):
        step()
    return peak_memory_mib() - before
