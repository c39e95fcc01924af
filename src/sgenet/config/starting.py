"""Where a training starts from: new weights, a classifier of the replication, or a file of weights.

`starts_from` of a run's settings is one of the words below or a path. A file is never downloaded.
"""

import os
from pathlib import Path

from sgenet.config import paths
from sgenet.config.names import PAPER_WIDTH, parse_name
from sgenet.config.tasks import Task

SCRATCH, CLASSIFIER, RELEASED, TORCHVISION, FILE = "scratch", "classifier", "released", "torchvision", "file"
_WORDS = (SCRATCH, CLASSIFIER, RELEASED, TORCHVISION)


def check_start(start: str) -> str:
    """Return `start` if it is one of the words or may be a path; a ValueError otherwise."""
    if start in _WORDS or (start.isprintable() and ("/" in start or Path(start).suffix)):
        return start
    raise ValueError(f"found {start!r:.80}, expected {', '.join(_WORDS)}, or a file such as weights/resnet50.pth")


def check_width(start: str | None, width: int) -> None:
    """Raise a ValueError if weights of full-size networks are to initialise a network of another width."""
    if start in (RELEASED, TORCHVISION) and width != PAPER_WIDTH:
        raise ValueError(
            f"starts_from: found {start} at width {width}, expected width {PAPER_WIDTH}, that of its weights"
        )


def kind_of(start: str | None) -> str | None:
    """Return which kind of file a training starts from; None where it starts from no file."""
    if start in (None, SCRATCH, CLASSIFIER):
        return None
    return start if start in (RELEASED, TORCHVISION) else FILE


def weights_file(start: str | None, model: str) -> Path | None:
    """Return the file that a training of `model` starts from, which may be missing; None where it is no file."""
    match kind_of(start):
        case None:
            return None
        case "released":
            return paths.released(model)
        case "torchvision":
            return _of_torchvision(model)[0]
    return Path(os.path.expandvars(os.path.expanduser(str(start))))


def classifier_of(start: str | None, model: str) -> str | None:
    """Return the run of the classifier that a detector with this start and model starts from; None where it is none."""
    return f"{Task.CLASSIFICATION}/{model}" if start in (None, CLASSIFIER) else None


def missing_file(start: str | None, model: str) -> str | None:
    """Return one sentence if the file that a training starts from is missing; None otherwise."""
    path = weights_file(start, model)
    if start == TORCHVISION and len(found := _of_torchvision(model)) > 1:
        names = ", ".join(file.name for file in found)
        return f"{found[0].parent}: found {names} (starts_from: {start}), expected one file of {_plain(model)}"
    if path is None or path.is_file():
        return None
    plain, command = _plain(model), f"sgenet import-checkpoint FILE.pth.tar {path} --model {model}"
    expected = {
        RELEASED: f"expected the authors' checkpoint of {model}, converted by `{command}`",
        TORCHVISION: f"expected torchvision's file of {plain}: put it there, as {plain}.pth or {plain}-<digits>.pth",
    }.get(str(start), "expected a file of weights, .safetensors or of torch.save")
    state = "not a file" if path.exists() else "missing"
    return f"{path}: {state} (starts_from: {start}), {expected}"


def _of_torchvision(model: str) -> list[Path]:
    """The files of torchvision's network of the same depth: `resnet50.pth`, or with the digits of its own name."""
    plain = paths.torchvision(_plain(model))
    named = sorted(plain.parent.glob(f"{plain.stem}-*.pth"))
    return named if named and not plain.exists() else [plain]


def _plain(model: str) -> str:
    return f"resnet{parse_name(model)[1]}"
