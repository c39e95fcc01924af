"""`sgenet prepare`: preparation of the data of each kind of source."""

from pathlib import Path
from typing import Any

from sgenet.data.roots import resolve_root


def make_data(task: str, folder: Path, settings: dict[str, Any], place: str, cache: Path) -> dict[str, Any]:
    """Write `folder` (replaced as a whole) for training; return its manifest.

    Args:
        task: `classification` or `detection`.
        folder: of the task's data.
        settings: the scale's `data` of the task; `source` selects the kind.
        place: file and field of `root` in the parameters, for messages.
        cache: file that caches the checks of real images.
    """
    if settings["source"] == "embedded":
        from sgenet.data import embedded

        make = embedded.make_classification if task == "classification" else embedded.make_detection
        return make(folder, settings)
    root = resolve_root(settings["root"], place)
    if task == "classification":
        from sgenet.data.classified import make_classification as make_real
    else:
        from sgenet.data.coco import make_detection as make_real
    return make_real(folder, settings, root, cache)
