"""`sgenet doctor`: print installed packages, devices, data folders, missing inputs and disk usage of each scale."""

import os
import platform
import shutil
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from sgenet.config import params, paths
from sgenet.config.model import Model
from sgenet.config.replication import load_replication
from sgenet.config.tasks import TASKS
from sgenet.data.roots import expand_root, unset_variables
from sgenet.errors import InputError
from sgenet.pipeline.disk import size_text, usage
from sgenet.provenance.origin import commit
from sgenet.runtime import packages, user
from sgenet.runtime.machine import cpu_name
from sgenet.training import devices

_TOOLS = ("torch", "torchvision", "mmengine", "mmcv-lite", "mmcv", "mmdet", "pycocotools", "snakemake", "dvc", "wandb")


def doctor() -> int:
    """Print the survey; returns 0 if the default replication can run here, otherwise 1."""
    _installed()
    _device()
    for sentence in user.stand_in():
        print(f"user       {sentence}")
    broken = _scales()
    if not user.has_home():
        broken.append("HOME is not set, which snakemake and dvc need (export HOME=/tmp)")
    print()
    print("not ready: " + "; ".join(broken) if broken else "ready: snakemake --cores all")
    return 1 if broken else 0


def _installed() -> None:
    """Print versions, and which extras are complete."""
    found = []
    for name in _TOOLS:
        with suppress(metadata.PackageNotFoundError):  # either mmcv-lite or mmcv
            found.append(f"{name} {metadata.version(name)}")
    print(f"code       sgenet {metadata.version('sgenet')}, commit {commit() or 'unknown (none contains it)'}")
    print(f"python     {platform.python_version()} on {platform.system()} {platform.machine()}")
    print("packages   " + ", ".join(found[:5]) + ",\n           " + ", ".join(found[5:]))
    print(packages.describe())


def _device() -> None:
    try:
        import torch

        from sgenet.detection import ops

        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        operators = ops.describe()
    except ImportError as error:
        gpus, operators = [], f"unknown ({error})"
    print(f"processor  {cpu_name()}, {os.cpu_count()} cores")
    print("GPU        " + (", ".join(gpus) or "none: scales with device cpu or auto run on the processor"))
    print(f"operators  mmcv runs on {operators}")
    free = shutil.disk_usage(".").free / 2**30
    print(f"disk       {free:.0f} GiB free here")


def _scales() -> list[str]:
    """Print a line for each scale; return the problems of the chosen one."""
    try:
        chosen = params.load_pipeline().scale
    except InputError as error:
        return [str(error)]
    problems = []
    for name in params.names("scales"):
        try:
            replication = load_replication(name)
            scale = replication.scale
            found = {task: _data_state(name, task, scale.data.of(task)) for task in TASKS}
            state = [f"{task} {text}" for task, (text, _) in found.items()]
            if name == chosen:
                problems += [f"{task}: {problem}" for task, (_, problem) in found.items() if problem]
                lacking = (run.missing_weights for run in replication.runs.values())
                problems += dict.fromkeys(sentence for sentence in lacking if sentence)
            report = "report built" if (paths.report(name) / "index.html").exists() else "no report yet"
            line = ", ".join([*state, report, f"{size_text(usage(name).used)} used"])
            if why := devices.lacking(scale.device, scale.devices):
                line += f"; {why}"
        except InputError as error:
            line = str(error)
            if name == chosen:
                problems.append(line)
        print(f"scale      {name}{' (chosen)' if name == chosen else ''}: {line}")
    return problems


def _data_state(scale: str, task: str, settings: Model) -> tuple[str, str]:
    """State of a task's data, and the problem that prevents finding real data ("" if there is none)."""
    made = paths.manifest(scale, task).exists()
    root: str | None = getattr(settings, "root", None)
    if root is None:
        folder: Path = paths.data_folder(scale, task)
        return (f"data in {folder}" if made else f"data not prepared yet (will be in {folder})"), ""
    if names := unset_variables(root):
        return f"data in {root} ({names[0]} is not set)", f"{names[0]} is not set"
    place = Path(expand_root(root))
    if not place.is_dir():
        return f"data in {place} (no such folder)", f"{place}: no such folder"
    return f"data in {place} ({'prepared' if made else 'not prepared yet'})", ""
