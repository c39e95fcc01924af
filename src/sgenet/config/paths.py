"""Paths of each step's files, relative to the repository root."""

from pathlib import Path

from sgenet.config.tasks import BEST as BEST
from sgenet.config.tasks import LAST as LAST
from sgenet.config.tasks import Task
from sgenet.errors import InputError

HISTORY, TRAINING = "history.csv", "training.json"
METRICS, TIMING = "metrics.json", "timing.json"
PREDICTIONS, DETECTIONS, MATCHES = "predictions.npz", "detections.json", "matches.npz"


def data_folder(scale: str, task: str) -> Path:
    """Folder of the images and annotations of a task."""
    return Path("data", scale, task)


def manifest(scale: str, task: str) -> Path:
    """Manifest of a task's data: counts, files, fingerprint."""
    return Path("data", scale, f"{task}.json")


def checked_images(scale: str, task: str) -> Path:
    """Cache of the checks of a task's real images, so that each is checked once; not a declared output."""
    return Path(".resume", scale, f"prepare-{task}.sqlite")


def training(scale: str, run_id: str, seed: int | str) -> Path:
    """Folder of a run's weights, history.csv and training.json; in a rule, id and seed are wildcards."""
    return Path("results", scale, run_id, f"seed-{seed}")


def trained_files(scale: str, run_id: str, seed: int | str) -> dict[str, Path]:
    """Return the files that a training leaves, by name: best (classifiers only), last, history and training."""
    folder, task = training(scale, run_id, seed), Task(run_id.partition("/")[0])
    names = {name.partition(".")[0]: name for name in task.weights}
    return {key: folder / name for key, name in (names | {"history": HISTORY, "training": TRAINING}).items()}


def evaluation(scale: str, run_id: str, seed: int | str) -> Path:
    """Folder of what an evaluation leaves; in a rule, id and seed are wildcards."""
    return Path("results", scale, "evaluation", run_id, f"seed-{seed}")


def evaluated_files(scale: str, run_id: str, seed: int | str) -> dict[str, Path]:
    """Return the files that an evaluation leaves, by name.

    All have metrics and timing; classifiers have predictions, detectors have detections and matches.
    """
    folder, task = evaluation(scale, run_id, seed), Task(run_id.partition("/")[0])
    names = {"metrics": METRICS, "timing": TIMING}
    names |= {"detections": DETECTIONS, "matches": MATCHES} if task is Task.DETECTION else {"predictions": PREDICTIONS}
    return {key: folder / name for key, name in names.items()}


def activations(scale: str) -> Path:
    """Data of figures 2 to 4, measured on one trained run."""
    return Path("results", scale, "evaluation", "activations.json")


def released(model: str) -> Path:
    """Weights of a classifier that the authors released, as `sgenet import-checkpoint` writes them."""
    return Path("data", "released", f"{model}.safetensors")


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
