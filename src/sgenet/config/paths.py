"""Where each step's files stand, relative to the repository root."""

from pathlib import Path

from sgenet.errors import InputError


def data_folder(scale: str, task: str) -> Path:
    """Images and annotations of a task."""
    return Path("data", scale, task)


def manifest(scale: str, task: str) -> Path:
    """What the data are: counts, files, fingerprint."""
    return Path("data", scale, f"{task}.json")


def checked_images(scale: str, task: str) -> Path:
    """What is known of the images of a task's real data, so that they are checked once; no declared output."""
    return Path(".resume", scale, f"prepare-{task}.sqlite")


def training(scale: str, run_id: str, seed: int) -> Path:
    """Weights, history.csv and training.json of a run."""
    return Path("results", scale, run_id, f"seed-{seed}")


def evaluation(scale: str, run_id: str, seed: int) -> Path:
    """metrics.json of a run, timing.json, and its predictions or detections."""
    return Path("results", scale, "evaluation", run_id, f"seed-{seed}")


def activations(scale: str) -> Path:
    """What figures 2 to 4 show, measured on one trained run."""
    return Path("results", scale, "evaluation", "activations.json")


def released(model: str) -> Path:
    """Weights of a classifier that the authors released, as `sgenet import-checkpoint` writes them."""
    return Path("data", "released", f"{model}.safetensors")


def released_evaluation(scale: str, run_id: str) -> Path:
    """What released weights reach in place of the run's own."""
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
    """What a step of the workflow printed."""
    return Path("logs", scale, f"{step}.log")


def run_log(scale: str, step: str, run_id: str, seed: int | str) -> Path:
    """What the step `train` or `evaluate` of a run printed; a rule has wildcards in place of name and seed."""
    return log(scale, f"{step}/{run_id}-seed-{seed}")


def require(path: Path, made_by: str) -> Path:
    """Return `path`; InputError naming the command that makes it when it is not there."""
    if not path.exists():
        raise InputError(f"{path}: missing, expected from `{made_by}`")
    return path
