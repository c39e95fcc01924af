"""Gains of a run over its baseline, with their intervals, from what the two left on disk."""

from typing import TYPE_CHECKING

import numpy as np

from sgenet.files import InputError
from sgenet.params import Settings
from sgenet.report.results import Result, RunResults

if TYPE_CHECKING:
    from sgenet.detection.coco_eval import Matches
    from sgenet.statistics import Gain


def gains_over(baseline: RunResults, other: RunResults, metrics: list[str], settings: Settings) -> dict[str, "Gain"]:
    """Gains by metric, where both runs have a value of it.

    With two seeds or more in common the seeds are the sample; with one, the validation images are.

    Args:
        settings: `confidence` of the intervals, `bootstrap_samples` behind those of AP.

    Raises:
        InputError: the images of the two cannot be paired.
    """
    from sgenet import statistics

    gains: dict[str, Gain] = {}
    single: dict[int, list[str]] = {}  # seed -> metrics that it alone has
    for metric in metrics:
        before, after = baseline.values(metric), other.values(metric)
        seeds = sorted(before.keys() & after.keys())
        if len(seeds) > 1:
            pair = [before[seed] for seed in seeds], [after[seed] for seed in seeds]
            gains[metric] = statistics.seed_gain(pair[0], pair[1], settings["confidence"])
        elif seeds:
            single.setdefault(seeds[0], []).append(metric)
    by_images = _ap_gains if other.task == "detection" else _accuracy_gains
    for seed, wanted in single.items():
        one, two = baseline.by_seed[seed], other.by_seed[seed]
        if one.data != two.data:
            path = two.folder / "metrics.json"
            raise InputError(f"{path}: data fingerprint: found {two.data!r}, expected the baseline's {one.data!r}")
        gains |= by_images(one, two, wanted, settings)
    return gains


def accuracy_interval(results: RunResults, metric: str, confidence: float) -> tuple[float, float] | None:
    """Interval of an accuracy over the validation images, where there is one training; none for AP."""
    from sgenet import statistics

    if results.task != "classification" or len(results.by_seed) != 1:
        return None
    metrics = next(iter(results.by_seed.values())).metrics
    images, value = metrics.get("images"), metrics.get(metric)
    if not images or value is None:
        return None
    return statistics.wilson(round(value * images / 100), int(images), confidence)


def _accuracy_gains(baseline: Result, other: Result, metrics: list[str], settings: Settings) -> dict[str, "Gain"]:
    from sgenet import statistics

    gains = {}
    for metric in metrics:
        before, after = baseline.correct(metric), other.correct(metric)
        if not np.array_equal(baseline.labels(), other.labels()):
            path = other.folder / "predictions.npz"
            raise InputError(f"{path}: label: differs from the baseline's, expected the same images")
        gains[metric] = statistics.accuracy_gain(before, after, settings["confidence"])
    return gains


def _ap_gains(baseline: Result, other: Result, metrics: list[str], settings: Settings) -> dict[str, "Gain"]:
    from sgenet import statistics

    path = other.folder / "matches.npz"
    before, after = _matches(baseline), _matches(other)
    try:
        gains = statistics.ap_gains(before, after, settings["confidence"], settings["bootstrap_samples"], seed=0)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for metric in metrics:
        expected = other.metrics[metric] - baseline.metrics[metric]  # type: ignore[operator]  # both are numbers
        found = gains[metric].value if metric in gains else None
        if found is None or abs(found - expected) > 1e-3:
            told = "nothing" if found is None else f"{found:.3f}"
            raise InputError(f"{path}: gain of {metric}: found {told}, expected {expected:.3f} as in metrics.json")
    return {metric: gains[metric] for metric in metrics}


def _matches(result: Result) -> "Matches":
    from sgenet.detection.coco_eval import Matches

    path = result.folder / "matches.npz"
    try:
        return Matches.load(path)
    except InputError:
        raise
    except Exception as error:  # zlib, which a damaged archive may raise
        name = type(error).__name__
        raise InputError(f"{path}: cannot be read ({name}), expected the matches of an evaluation") from None
