"""`sgenet prepare`: preparation of the data of each kind of source."""

from pathlib import Path

from sgenet.config.scales import CocoData, EmbeddedImages, EmbeddedScenes, ImageData
from sgenet.data.manifest import Manifest
from sgenet.data.roots import resolve_root


def make_data(
    folder: Path,
    settings: EmbeddedImages | ImageData | EmbeddedScenes | CocoData,
    place: str,
    cache: Path,
    refused: Path,
) -> Manifest:
    """Write `folder` (replaced as a whole) for training; return its manifest.

    Args:
        folder: of the task's data.
        settings: the scale's `data` of the task.
        place: file and field of `root` in the parameters, for messages.
        cache: file that caches the checks of real images.
        refused: file for the list of all defects of real data, if they are refused.
    """
    match settings:
        case EmbeddedImages():
            from sgenet.data import embedded

            return embedded.make_classification(folder, settings)
        case EmbeddedScenes():
            from sgenet.data import embedded

            return embedded.make_detection(folder, settings)
        case ImageData():
            from sgenet.data import classified

            manifest = classified.make_classification(
                folder, settings, resolve_root(settings.root, place), cache, refused
            )
        case CocoData():
            from sgenet.data import coco

            manifest = coco.make_detection(folder, settings, resolve_root(settings.root, place), cache, refused)
    refused.unlink(missing_ok=True)  # the folder of the data has the list
    return manifest
