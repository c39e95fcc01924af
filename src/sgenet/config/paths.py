"""Paths of each step's files, relative to the repository root."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from sgenet.config.tasks import BEST as BEST
from sgenet.config.tasks import LAST as LAST
from sgenet.config.tasks import Task
from sgenet.errors import InputError

RESUME = Path(".resume")  # outside all declared outputs, which Snakemake deletes before a job starts
HISTORY, TRAINING = "history.csv", "training.json"
METRICS, TIMING = "metrics.json", "timing.json"
PREDICTIONS, DETECTIONS, MATCHES = "predictions.npz", "detections.json", "matches.npz"
TRIES = "tries"  # folder of the results of all tries of a scale
_LONGEST_NAME = 100  # characters of a try's settings in the name of its folder


def in_checkout() -> bool:
    """Return whether the working folder is the root of the repository, which has the parameters."""
    return Path("params/pipeline.yaml").exists()


def data_folder(scale: str, task: str) -> Path:
    """Folder of the images and annotations of a task."""
    return Path("data", scale, task)


def manifest(scale: str, task: str) -> Path:
    """Manifest of a task's data: counts, files, fingerprint."""
    return Path("data", scale, f"{task}.json")


def checked_images(scale: str, task: str) -> Path:
    """Cache of the checks of a task's real images, so that each is checked once; not a declared output."""
    return RESUME / scale / f"prepare-{task}.sqlite"


def refused_data(scale: str, task: str) -> Path:
    """List of all defects of a task's data, if `prepare` refused them; not a declared output."""
    return Path("logs", scale, f"prepare-{task}-defects.txt")


def resume_folder(scale: str, run_id: str, seed: int, identity: str, device: str, start: str | None) -> Path:
    """Folder of a run's checkpoints; its name depends on everything that determines the run's numbers.

    Args:
        scale: of the run.
        run_id: of the run.
        seed: of the training.
        identity: digest of what decides the training, see provenance/identity.py.
        device: `cpu` or `cuda`.
        start: SHA-256 digest of the weights that the training starts from, if any.
    """
    digest = hashlib.sha256(json.dumps([identity, device, start]).encode()).hexdigest()[:16]
    return RESUME / scale / resume_name(run_id) / f"seed-{seed}-{digest}"


def resume_name(run_id: str) -> str:
    """Name of the folder with the folders of a run's checkpoints."""
    return run_id.replace("/", "_")


def resume_lock(folder: Path) -> Path:
    """File that a training has locked while it uses a folder of checkpoints."""
    return folder / "lock"


def results(scale: str) -> Path:
    """Folder of all results."""
    return Path("results", scale)


def tries(scale: str) -> Path:
    """Folder of results of other settings than those of params/."""
    return results(scale) / TRIES


def try_folder(run_id: str, tried: Sequence[str]) -> str:
    """Folder that the functions below accept in place of a run's id: that of a try with these settings.

    Its name is the settings; a digest is appended if they contain other characters than a name should, or are long.
    """
    text = ",".join(tried)
    name = re.sub(r"[^A-Za-z0-9.,=_+-]", "-", text)[:_LONGEST_NAME]
    digest = "" if name == text else "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{TRIES}/{run_id}/{name}{digest}"


def training(scale: str, run_id: str, seed: int | str) -> Path:
    """Folder of a run's weights, history.csv and training.json; in a rule, id and seed are wildcards."""
    return Path("results", scale, run_id, f"seed-{seed}")


def trained_files(scale: str, run_id: str, seed: int | str) -> dict[str, Path]:
    """Return the files that a training leaves, by name: best (classifiers only), last, history and training."""
    folder, task = training(scale, run_id, seed), _task(run_id)
    names = {name.partition(".")[0]: name for name in task.weights}
    return {key: folder / name for key, name in (names | {"history": HISTORY, "training": TRAINING}).items()}


def evaluation(scale: str, run_id: str, seed: int | str) -> Path:
    """Folder of what an evaluation leaves, of a try that of its training; in a rule, id and seed are wildcards."""
    if run_id.startswith(f"{TRIES}/"):
        return training(scale, run_id, seed)
    return Path("results", scale, "evaluation", run_id, f"seed-{seed}")


def evaluated_files(scale: str, run_id: str, seed: int | str) -> dict[str, Path]:
    """Return the files that an evaluation leaves, by name.

    All have metrics and timing; classifiers have predictions, detectors have detections and matches.
    """
    folder, task = evaluation(scale, run_id, seed), _task(run_id)
    names = {"metrics": METRICS, "timing": TIMING}
    names |= {"detections": DETECTIONS, "matches": MATCHES} if task is Task.DETECTION else {"predictions": PREDICTIONS}
    return {key: folder / name for key, name in names.items()}


def _task(run_id: str) -> Task:
    return Task(run_id.removeprefix(f"{TRIES}/").partition("/")[0])


def activations(scale: str) -> Path:
    """Data of figures 2 to 4, measured on one trained run."""
    return Path("results", scale, "evaluation", "activations.json")


def released(model: str) -> Path:
    """Weights of a classifier that the authors released, as `sgenet import-checkpoint` writes them."""
    return Path("data", "released", f"{model}.safetensors")


def torchvision(model: str) -> Path:
    """Weights of a plain classifier that torchvision offers; the user puts them there."""
    return Path("data", "released", "torchvision", f"{model}.pth")


def released_files(scale: str, run_id: str) -> dict[str, Path]:
    """Return the files of an evaluation of released weights with the settings of a run: metrics and timing."""
    folder = Path("results", scale, "evaluation", "released", run_id)
    return {"metrics": folder / METRICS, "timing": folder / TIMING}


def complexity(scale: str) -> Path:
    """Parameters and operation counts of every run's full-size model."""
    return Path("results", scale, "complexity.json")


def latency(scale: str) -> Path:
    """Time of a forward pass of every full-size model in a table of complexity, on this machine."""
    return Path("results", scale, "evaluation", "latency.json")


def report(scale: str) -> Path:
    """Folder of the report."""
    return Path("reports", scale)


def plan(scale: str) -> Path:
    """Result of the last `sgenet plan`."""
    return Path("logs", scale, "plan.json")


def log(scale: str, step: str) -> Path:
    """Log of a step of the workflow."""
    return Path("logs", scale, f"{step}.log")


def run_log(scale: str, step: str, run_id: str, seed: int | str) -> Path:
    """Log of the step `train` or `evaluate` of a run; in a rule, id and seed are wildcards."""
    return log(scale, f"{step}/{run_id}-seed-{seed}")


def require(path: Path, made_by: str) -> Path:
    """Return `path`; if it does not exist, raise an InputError that names the command that creates it."""
    if not path.exists():
        raise InputError(f"{path}: missing, expected from `{made_by}`")
    return path
