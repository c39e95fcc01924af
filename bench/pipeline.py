"""The pipeline without its trainings: start-up, planning by Snakemake and DVC, and evaluation of detections."""

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import Row, device_name, row, take_turns
from bench.output import write
from bench.records import share_of_demo
from sgenet.config.params import load_pipeline
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.evaluation.coco_eval import evaluate
from sgenet.runtime.files import write_json

TURNS = 3
SEEDS = (1, 3, 24)  # of dry runs: 42, 126 and 1,008 runs of all tables
TABLES: list[str] | None = None  # of the replication; None: as in params/pipeline.yaml
IMAGES, CATEGORIES, OBJECTS, DETECTIONS = 5000, 80, 7, 20  # objects and detections per image


def bench() -> None:
    """Measure on the CPU, in a copy of the project in the working folder, and write the results.

    Raises:
        InputError: the working folder is not a checkout, or a command fails.
    """
    if not Path("Snakefile").is_file():
        raise InputError("Snakefile: missing, expected the repository's root as working folder")
    rows = [*share_of_demo(), *_start(), *_workflow(), *evaluation(IMAGES)]
    title = "the pipeline: seconds, ratio to the first"
    packages = ["torch", "snakemake", "dvc", "pycocotools"]
    write("pipeline", rows, title, device=device_name("cpu"), packages=packages)


def _start() -> list[Row]:
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "sgenet --help": _command("sgenet", "--help")}
    seconds = take_turns({name: partial(_run, command, Path()) for name, command in commands.items()}, 3 * TURNS)
    return [row("start-up", name, seconds) for name in seconds]


def _workflow() -> list[Row]:
    """Dry runs for increasing numbers of seeds, and both entry points with nothing to do, at scale `smoke`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        _copy_project(copy)
        snakemake = _command("snakemake", "--cores", "all")
        print("running a replication at scale smoke, for the measurements that follow", flush=True)
        _run(snakemake, copy)
        _run(_command("dvc", "commit", "--force", "--quiet"), copy)  # dvc.lock, as after a first `dvc repro`
        runs = len(load_replication("smoke", 1, TABLES).runs)
        dry = {
            f"{runs * seeds} runs": partial(_run, [*snakemake, "--dry-run", "--config", f"seeds={seeds}"], copy)
            for seeds in SEEDS
        }
        entry_points = {
            "snakemake": partial(_run, snakemake, copy),
            "dvc repro": partial(_run, _command("dvc", "repro"), copy),
        }
        rows = []
        for what, variants in (("snakemake --dry-run", dry), (f"nothing to do, {runs} runs", entry_points)):
            seconds = take_turns(variants, TURNS, warm=False)
            rows += [row(what, name, seconds) for name in seconds]
        return rows


def _copy_project(folder: Path) -> None:
    """Copy the checkout to a new git repository, without generated files, at scale `smoke` with one seed."""
    listing = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(listing, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if listed.returncode:
        raise InputError("bench pipeline: found no git repository in the working folder, expected a checkout")
    for name in map(os.fsdecode, listed.stdout.split(b"\0")):
        if Path(name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    write_json(folder / "params/pipeline.yaml", load_pipeline("smoke", 1, TABLES).plain())  # JSON is YAML
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*author, "commit", "--quiet", "--message", "copy"]):
        _run(["git", *command], folder)


def _command(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name(name)), *arguments]


def _run(command: list[str], folder: Path) -> None:
    """Run a command in a folder; if it fails, InputError with the last line of its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SGENET_")}
    done = subprocess.run(
        command, cwd=folder, env={**environment, "WANDB_MODE": "disabled"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stdout.strip().rpartition("\n")[2]
        raise InputError(
            f"bench pipeline: `{shlex.join(command)}`: found exit status {done.returncode} ({last}), expected 0"
        )


def evaluation(images: int) -> list[Row]:
    """Compare the evaluation of boxes, from files to the twelve metrics, by pycocotools and by sgenet."""
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder, "truth.json"), Path(folder, "found.json")
        for path, content in zip((truth, found), _scenes(images), strict=True):
            path.write_text(json.dumps(content), encoding="utf-8")
        variants: dict[str, Callable[[], object]] = {
            "pycocotools": partial(_pycocotools, truth, found),
            "sgenet": partial(evaluate, truth, found),
        }
        seconds = take_turns(variants, 2, warm=False)
    what = f"evaluation of {images:,} images, {CATEGORIES} categories, {images * DETECTIONS:,} detections"
    return [row(what, name, seconds) for name in seconds]


def _scenes(images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Objects, and detections of them with random offsets, some of another category."""
    rng = np.random.default_rng(0)
    categories = [{"id": number, "name": f"kind {number}"} for number in range(1, CATEGORIES + 1)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        boxes = np.concatenate([rng.uniform(0, 400, (OBJECTS, 2)), np.exp(rng.uniform(2, 5.2, (OBJECTS, 2)))], axis=1)
        kinds = rng.integers(1, CATEGORIES + 1, OBJECTS)
        for box, kind in zip(boxes.tolist(), kinds.tolist(), strict=True):
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": 0}
            annotations.append({**entry, "area": box[2] * box[3]})
        of = rng.integers(OBJECTS, size=DETECTIONS)
        moved = boxes[of] + rng.normal(0, 0.15, (DETECTIONS, 4)) * boxes[of][:, [2, 3, 2, 3]]
        moved[:, 2:] = np.maximum(moved[:, 2:], 1)
        predicted = np.where(rng.random(DETECTIONS) < 0.7, kinds[of], rng.integers(1, CATEGORIES + 1, DETECTIONS))
        scores = rng.random(DETECTIONS).tolist()
        for box, kind, score in zip(moved.tolist(), predicted.tolist(), scores, strict=True):
            detections.append({"image_id": image, "category_id": kind, "bbox": box, "score": score})
    frame = [{"id": image, "height": 640, "width": 640} for image in range(1, images + 1)]
    return {"images": frame, "annotations": annotations, "categories": categories}, detections


def _pycocotools(truth: Path, found: Path) -> list[float]:
    """The twelve metrics."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(truth))
        coco_eval = COCOeval(dataset, dataset.loadRes(str(found)), "bbox")
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return coco_eval.stats.tolist()
