"""`sgenet bench`: what SGE costs in time, and what the pipeline's start-up costs; ratios within one run."""

import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sgenet.files import atomic_path
from sgenet.provenance import cpu_name

REPEATS = 7
_STARTUPS = {
    "sgenet --help": [sys.executable, "-m", "sgenet.cli", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import for classification": [sys.executable, "-c", "import sgenet.classification.train"],
    "import for detection": [sys.executable, "-c", "import sgenet.detection.train"],
    "snakemake --dry-run": [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"],
}


def bench() -> int:
    """Measure, print, and write bench/results/<processor>.csv with medians and spreads in seconds."""
    rows = [*_steps(), *_startups()]
    name = "".join(letter if letter.isalnum() else "-" for letter in cpu_name()).strip("-")
    path = Path("bench/results") / f"{name}.csv"
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "median_seconds", "lowest", "highest", "over_first"])
        writer.writerows(rows)
    print(f"written to {path}")
    return 0


def _row(what: str, seconds: list[float], first: float | None) -> list[str]:
    median = statistics.median(seconds)
    row = [what, *(f"{value:.4f}" for value in (median, min(seconds), max(seconds)))]
    row.append(f"{median / (first or median):.3f}")
    print(f"{what:55} {median:8.3f} s ({row[2]} to {row[3]}), {row[4]} of the first", flush=True)
    return row


def _steps() -> list[list[str]]:
    """A training step of ResNet50 without and with SGE, turn by turn so that both see the same load."""
    import torch

    from sgenet.models.resnet import create_resnet

    images, labels = torch.randn(32, 3, 64, 64), torch.randint(1000, (32,))
    steps: dict[str, Callable[[], object]] = {}
    for model in ("resnet50", "sge-resnet50"):
        network = create_resnet(model).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

        steps[f"training step {model}, 64 px, batch 32"] = partial(_step, network, optimizer, images, labels)
    for step in steps.values():  # warm-up
        step()
    seconds: dict[str, list[float]] = {what: [] for what in steps}
    for _ in range(REPEATS):
        for what, step in steps.items():
            seconds[what].append(_time(step))
    first = statistics.median(next(iter(seconds.values())))
    return [_row(what, values, first) for what, values in seconds.items()]


def _step(network: Any, optimizer: Any, images: Any, labels: Any) -> None:
    import torch

    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()


def _startups() -> list[list[str]]:
    rows = []
    for what, command in _STARTUPS.items():
        run = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows.append(_row(what, [_time(run) for _ in range(3)], None))
    return rows


def _time(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
