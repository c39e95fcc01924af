"""The replications that are compared: where an argument of `sgenet compare` leads, and what is read there."""

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sgenet.config import paths
from sgenet.config.plain_yaml import parse_yaml
from sgenet.config.tasks import TASKS
from sgenet.errors import InputError
from sgenet.evaluation.comparison import Comparison, read_comparison
from sgenet.judgement.inputs import CURVES
from sgenet.runtime.zips import unpacked

FILE = "comparison.json"
Points = tuple[tuple[float, float], ...]  # (epoch, value)
_LARGEST = 1e15  # value of a curve
_EXPECTED = "expected a comparison.json, a folder with one, an archive, a scale, a git revision or experiment of DVC"


@dataclass(frozen=True)
class Replicated:
    """A replication: the name it was asked for by, where it was found, its cells, and mean curves by run.

    `page` is its report, if that is next to it.
    """

    name: str
    place: str
    comparison: Comparison
    curves: dict[str, Points]
    page: Path | None = None


def find(name: str) -> Replicated:
    """Read the replication that an argument names: a file, folder, archive or scale, or `REVISION[:SCALE]`.

    Raises:
        InputError: it names none, or one that cannot be read.
    """
    if Path(name).suffix == ".zip" and Path(name).is_file():
        return _in_archive(name)
    candidates = (Path(name), Path(name, FILE), paths.report(name) / FILE)
    for path in candidates:
        if path.is_file():
            page = path.with_name("index.html")
            return _read(name, path, path.as_posix(), page if page.is_file() else None)
    tried = ", ".join(path.as_posix() for path in candidates[1:])
    return _at_revision(name, f"found {name!r}, {_EXPECTED} (tried {tried}")


def _in_archive(name: str) -> Replicated:
    """Read a replication from a file of `sgenet archive`."""
    with unpacked(Path(name), "reports/") as folder:
        found = sorted(folder.glob(f"reports/*/{FILE}"))
        if len(found) != 1:
            raise InputError(f"{name}: found {len(found)} reports, expected one in reports/ of an archive")
        return _read(name, found[0], f"{name}:{found[0].relative_to(folder).as_posix()}")


def _at_revision(name: str, message: str) -> Replicated:
    """Read a replication from git and from DVC's cache or remote."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    revision, _, scale = name.partition(":")
    try:
        files = DVCFileSystem(os.curdir, rev=revision or "?")
        scale = scale or _scale_of(files.read_text("params/pipeline.yaml"), revision)
    except (DvcException, OSError) as error:
        raise InputError(f"compare: {message}, revision: {str(error) or type(error).__name__})") from None
    folder = paths.report(scale)
    place = f"{revision}:{(folder / FILE).as_posix()}"
    with TemporaryDirectory() as temporary:
        path = Path(temporary, FILE)
        try:
            files.get_file((folder / FILE).as_posix(), path)
        except (DvcException, OSError) as error:
            expected = "expected in git, or in the cache or remote of DVC (`dvc fetch --all-commits`)"
            raise InputError(f"{place}: cannot be read ({error}), {expected}") from None
        for task in TASKS:
            curve = _curve_file(path, task)
            curve.parent.mkdir(exist_ok=True)
            try:
                files.get_file(_curve_file(folder / FILE, task).as_posix(), curve)
            except (DvcException, OSError):
                curve.unlink(missing_ok=True)  # the page states that there are no curves
        return _read(name, path, place)


def _scale_of(text: str, revision: str) -> str:
    """Return the scale of a params/pipeline.yaml."""
    place = f"{revision}:params/pipeline.yaml"
    value = parse_yaml(text, place)
    scale = value.get("scale") if isinstance(value, dict) else None
    if not isinstance(scale, str):
        raise InputError(f"{place}: scale: found {scale!r:.40}, expected text; name the scale: {revision}:SCALE")
    return scale


def _read(name: str, path: Path, place: str, page: Path | None = None) -> Replicated:
    comparison = read_comparison(path, place)
    curves: dict[str, Points] = {}
    for task in TASKS:
        file = _curve_file(path, task)
        if file.is_file():
            shown = place.replace(FILE, file.relative_to(path.parent).as_posix())
            curves |= _mean_curves(file, CURVES[task], shown)
    return Replicated(name, place, comparison, curves, page)


def _curve_file(comparison: Path, task: str) -> Path:
    return comparison.parent / "curves" / f"{task}.csv"


def _mean_curves(path: Path, column: str, place: str) -> dict[str, Points]:
    """Return epochs and values of each run, averaged over its seeds."""
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get(column):
                    found[str(row["run"])][_number(row["epoch"])].append(_number(row[column]))
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{place}: cannot be read ({error}), expected columns run, epoch and {column}") from None
    return {
        run: tuple((epoch, sum(values) / len(values)) for epoch, values in sorted(by_epoch.items()))
        for run, by_epoch in found.items()
    }


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) < _LARGEST:  # nor NaN
        raise ValueError(f"found {text:.40}")
    return value
