"""Paths of each step's files, relative to the repository root."""

from pathlib import Path

from sgenet.errors import InputError


def data_folder(scale: str, task: str) -> Path:
    """Folder of the images and annotations of a task."""
    return Path("data", scale, task)


def manifest(scale: str, task: str) -> Path:
    """Manifest of a task's data: counts, files, fingerprint."""
    return Path("data", scale, f"{task}.json")


def checked_images(scale: str, task: str) -> Path:
    """Cache of the checks of a task's real images, so that each is checked once; not a declared output."""
    return Path(".resume", scale, f"prepare-{task}.sqlite")


def training(scale: str, run_id: str, seed: int) -> Path:
    """Folder of a run's weights, history.csv and training.json."""
    return Path("results", scale, run_id, f"seed-{seed}")


def evaluation(scale: str, run_id: str, seed: int) -> Path:
    """Folder of a run's metrics.json, timing.json, and predictions or detections."""
    return Path("results", scale, "evaluation", run_id, f"seed-{seed}")


def activations(scale: str) -> Path:
    """Data of figures 2 to 4, measured on one trained run."""
    return Path("results", scale, "evaluation", "activations.json")


def released(model: str) -> Path:
    """Weights of a classifier that the authors released, as `sgenet import-checkpoint` writes them."""
    return Path("data", "released", f"{model}.safetensors")


def released_evaluation(scale: str, run_id: str) -> Path:
    """Metrics of the released weights, evaluated with the settings of a run."""
    return Path("results", scale, "evaluation", "released", run_id, "metrics.json")


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
