"""`bench/cuda-check [OUT]`: test and measure SGE on a CUDA machine, within eight minutes.

It runs the tests of the kernels, and the benchmarks `op` and `step`. A part that fails or runs out of time is reported,
and the others still run. The machine needs torch, torchvision, triton, numba, numpy and pytest, and no other package of
the pipeline; without matplotlib the benchmarks draw no plots.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from bench.output import RESULTS
from sgenet import errors
from sgenet.errors import InputError, writing

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "torchvision", "triton", "numba", "numpy", "pytest")
MINUTES = 7.5  # of all parts together
DONE = "done"
_PATIENCE = 5.0  # seconds from an interrupt to the kill


@dataclass(frozen=True)
class Part:
    """A command, and the share of the total time at which it is interrupted."""

    name: str
    command: Sequence[str]
    until: float


PARTS = (
    Part("tests", (sys.executable, "-m", "pytest", "-vv", "--durations=10", "tests/kernels"), 0.5),
    Part("op", (sys.executable, "-m", "bench", "op"), 0.75),
    Part("step", (sys.executable, "-m", "bench", "step"), 1.0),
)


def main(arguments: list[str] | None = None) -> int:
    """Run all parts; returns the exit status: 0 if each of them succeeded, otherwise 1."""
    parser = argparse.ArgumentParser("bench/cuda-check", description="Test and measure SGE on a CUDA machine.")
    text = "folder for log.txt and the results (default: %(default)s)"
    parser.add_argument("out", nargs="?", type=Path, default=RESULTS / "cuda-check", metavar="OUT", help=text)
    text = "cpu: run the same parts without a GPU, to test this command (default: %(default)s)"
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help=text)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time of all parts (default: %(default)s)")
    options = parser.parse_args(arguments)
    out = options.out.absolute()
    os.chdir(ROOT)
    try:
        found = survey(options.device)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            with open(out / "log.txt", "w", encoding="utf-8") as log:
                _print(found, log)
                return check(PARTS, 60 * options.minutes, options.device, out, log)
    except Exception as error:
        if not isinstance(error, InputError) and errors.explain(error) is None:
            raise
        print(f"bench/cuda-check: {errors.explain(error) or error}", file=sys.stderr)
        return 1


def survey(device: str) -> str:
    """Describe driver, device and versions.

    Raises:
        InputError: a package or the device is missing.
    """
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise InputError(f"found no package {package}, expected {', '.join(PACKAGES)}") from None
    import torch

    lines = [f"python {sys.version.partition(' ')[0]}", *(" ".join(pair) for pair in versions.items())]
    if device == "cuda":
        if not torch.cuda.is_available():
            raise InputError("found no CUDA device that torch can use, expected one (--device cpu runs without)")
        properties = torch.cuda.get_device_properties(0)
        memory, capability = properties.total_memory / 2**30, f"sm_{properties.major}{properties.minor}"
        lines = [
            f"driver {_driver()}, CUDA {torch.version.cuda} of torch",
            f"{properties.name}, {capability}, {properties.multi_processor_count} multiprocessors, {memory:.0f} GiB",
            *lines,
        ]
    return "\n".join(lines)


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown: nvidia-smi did not report it"


def check(parts: Sequence[Part], seconds: float, device: str, out: Path, log: IO[str]) -> int:
    """Run the parts within these seconds, copy the results that they wrote to `out`, and print a summary."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    before, started, summary = _written(), time.monotonic(), {}
    for part in parts:
        began = time.monotonic()
        _print(f"\n== {part.name}: {' '.join(part.command)}", log)
        summary[part.name] = run(part.command, started + part.until * seconds - began, environment, log)
        _print(f"== {part.name}: {summary[part.name]}, {time.monotonic() - began:.0f} s", log)
    for path, changed in _written().items():
        if before.get(path) != changed:
            shutil.copy2(path, out)
    _print("\n" + ", ".join(f"{name}: {outcome}" for name, outcome in summary.items()) + f"; results in {out}", log)
    return 0 if set(summary.values()) == {DONE} else 1


def run(command: Sequence[str], seconds: float, environment: dict[str, str], log: IO[str]) -> str:
    """Run a command, and copy its output to the terminal and the log; returns DONE, or what went wrong.

    After these seconds it is interrupted, so that pytest still prints its summary, and killed if it does not end.
    """
    if seconds <= 0:
        return "not started: no time left"
    late = threading.Event()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    ) as process, _stopping(process.pid, seconds, late):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            _print(line.rstrip("\n"), log)
        process.wait()
    if late.is_set():
        return "out of time"
    return f"failed with status {process.returncode}" if process.returncode else DONE


@contextlib.contextmanager
def _stopping(group: int, seconds: float, late: threading.Event) -> Iterator[None]:
    """Context that interrupts a group of processes after some seconds, then kills it; at its end none remains."""

    def stop(number: int) -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)

    timers = [
        threading.Timer(seconds, stop, [signal.SIGINT]),
        threading.Timer(seconds + _PATIENCE, stop, [signal.SIGKILL]),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _written() -> dict[Path, int]:
    """Results of the benchmarks, with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in RESULTS.glob("*.*") if path.is_file()}


def _print(text: str, log: IO[str]) -> None:
    for stream in (sys.stdout, log):
        print(text, file=stream, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the part in progress ends too
    sys.exit(main())
