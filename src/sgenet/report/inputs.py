"""The other files that the steps left, read and checked: counts, histories, manifests."""

import csv
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from sgenet.config import paths
from sgenet.config.runs import Replication
from sgenet.config.tables import TIMED
from sgenet.data import manifest
from sgenet.data.manifest import Manifest
from sgenet.errors import InputError
from sgenet.provenance.origin import TIMES, split
from sgenet.runtime.files import check_file, read_json

_MEASURE = re.compile(r"[A-Za-z][\w.]*")
_LARGEST_HISTORY = 2**24  # bytes
COUNTS = ("params", "gflops", "macs")


def read_counts(scale: str) -> tuple[dict[str, dict[str, Any]], str | None]:
    """complexity.json by run id, and what is wrong with it; empty when it was not made."""
    path = paths.complexity(scale)
    if not path.exists():
        return {}, None
    try:
        value = read_json(path)
        expect(value, dict, path, "the whole file")
        for run_id, entry in value.items():
            expect(entry, dict, path, run_id)
            for key in COUNTS:
                if not is_number(entry.get(key), math.inf) or not entry[key]:
                    raise InputError(f"{path}: {run_id}.{key}: found {entry.get(key)!r}, expected a number above 0")
            for key, kind in {"model": str, "input": list, "part": str}.items():
                expect(entry.get(key), kind, path, f"{run_id}.{key}")
            _check_sides(entry["input"], path, f"{run_id}.input")
    except InputError as error:
        return {}, str(error)
    return value, None


def read_latency(scale: str) -> tuple[dict[str, Any] | None, str | None]:
    """latency.json, and what is wrong with it; None when it was not made."""
    path = paths.latency(scale)
    if not path.exists():
        return None, None
    try:
        value = read_json(path)
        expect(value, dict, path, "the whole file")
        for key, kind in {"models": dict, "origin": dict, "input": list, "threads": int, "rounds": int}.items():
            expect(value.get(key), kind, path, key)
        _check_sides(value["input"], path, "input")
        for key in ("command", "device", "finished"):
            expect(value["origin"].get(key), str, path, f"origin.{key}")
        for name, entry in value["models"].items():
            expect(entry, dict, path, f"models.{name}")
            for metric in TIMED:
                spread = entry.get(metric) if metric in entry or metric == "latency" else {}
                expect(spread, dict, path, f"models.{name}.{metric}")
                for key in ("value", "low", "high") if spread else ():
                    if not is_number(spread.get(key), math.inf):
                        found = f"found {spread.get(key)!r}, expected a number above 0"
                        raise InputError(f"{path}: models.{name}.{metric}.{key}: {found}")
    except InputError as error:
        return None, str(error)
    return value, None


def read_histories(replication: Replication, task: str) -> tuple[list[dict[str, str]], list[str]]:
    """The histories of a task as rows with `run` and `seed` in front (without durations), and what is wrong."""
    rows, problems = [], []
    for run_id in sorted(run.id for run in replication.runs.values() if run.task == task):
        for seed in replication.seeds:
            path = paths.training(replication.scale_name, run_id, seed) / paths.HISTORY
            if not path.exists():
                continue
            try:
                rows += [{"run": run_id, "seed": str(seed)} | row for row in _read_history(path)]
            except InputError as error:
                problems.append(str(error))
    return rows, problems


def _read_history(path: Path) -> list[dict[str, str]]:
    try:
        check_file(path, _LARGEST_HISTORY)
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}), expected a history") from None
    for number, row in enumerate(rows, 1):
        row.pop("seconds", None)
        if not {"epoch", "loss"} <= row.keys():
            raise InputError(f"{path}: found the columns {', '.join(map(str, row))}, expected epoch and loss")
        for key in row.keys() - {None}:
            if not _MEASURE.fullmatch(key):  # the curves' CSV holds it too
                raise InputError(f"{path}: found the column {key!r}, expected names such as loss_rpn_cls")
        for key, text in row.items():
            try:
                finite = abs(float(text)) < 1e300  # neither is NaN
            except (TypeError, ValueError):
                finite = False
            if not finite:
                raise InputError(f"{path}: epoch {number}, {key}: found {text!r}, expected a finite number")
    return rows


def read_manifest(scale: str, task: str) -> tuple[Manifest | None, str | None]:
    """data/<scale>/<task>.json, and what is wrong with it; None when it was not made."""
    path = paths.manifest(scale, task)
    if not path.exists():
        return None, None
    try:
        return manifest.read_manifest(path), None
    except InputError as error:
        return None, str(error)


def check_head(found: dict[str, Any], run_id: str, scale: str, data: Any, path: Path) -> None:
    """InputError unless a measurement is of this run, scale and classification data (their present fingerprint).

    Where there is no manifest to hold it against, any data will do.
    """
    for key, expected in {"run": run_id, "scale": scale}.items():
        if found.get(key) != expected:
            raise InputError(f"{path}: {key}: found {found.get(key)!r}, expected {expected!r}")
    present, _ = read_manifest(scale, "classification")
    if present and data != present.fingerprint:
        expected = f"expected the present data's {present.fingerprint!r}: measure it again"
        raise InputError(f"{path}: data fingerprint: found {data!r}, {expected}")


def with_times(origin: dict[str, Any], step: str, folder: Path) -> dict[str, Any]:
    """The origin of a step with its duration, memory and date, as far as the timing.json of its evaluation tells them.

    Raises:
        InputError: they are no numbers of 0 or more, or no date.
    """
    path, lasting = folder / paths.TIMING, split(origin)[0]
    if not path.exists():
        return lasting
    timing = read_json(path)
    expect(timing, dict, path, "the whole file")
    times = timing.get(step, {})
    expect(times, dict, path, step)
    for key in TIMES:
        value = times.get(key)
        if value is None:
            continue
        if key != "finished":
            good, expected = is_number(value, math.inf), "a number of 0 or more"
        else:
            good, expected = _is_date(value), "an ISO 8601 date"
        if not good:
            raise InputError(f"{path}: {step}.{key}: found {value!r:.60}, expected {expected}")
    return lasting | split(times)[1]


def _check_sides(value: list[Any], path: Path, at: str) -> None:
    if not all(isinstance(side, int) and not isinstance(side, bool) for side in value):
        raise InputError(f"{path}: {at}: found {value!r:.60}, expected whole numbers of pixels")


def _is_date(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def is_number(value: Any, highest: float) -> bool:
    """Whether `value` is a finite number from 0 to `highest`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= min(highest, 2**53)


def expect(value: Any, kind: type, path: Path, at: str) -> None:
    """InputError unless `value`, found in file `path` under `at`, is of that type."""
    if not isinstance(value, kind):
        raise InputError(f"{path}: {at}: found {value!r:.60}, expected {kind.__name__}")
