"""Gains of a run over another, with their intervals, from what the two left on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgenet.files import InputError
from sgenet.params import Settings
from sgenet.report.results import PROPORTIONS, Result, RunResults

if TYPE_CHECKING:
    from sgenet.detection.coco_eval import Matches
    from sgenet.statistics import Gain, ResampledAP

MASKS = "mask_"  # before the name of a metric, and of an array of matches


class Gains:
    """Compares runs. The resamples behind an AP are drawn once a run, however many others it is compared with.

    Args:
        settings: `confidence` of the intervals, `bootstrap_samples` behind those of AP.
    """

    def __init__(self, settings: Settings) -> None:
        self.confidence: float = settings["confidence"]
        self._samples: int = settings["bootstrap_samples"]
        self._resampled: dict[tuple[Path, str], ResampledAP] = {}  # by file, and kind: boxes or masks

    def over(self, baseline: RunResults, other: RunResults, metrics: list[str]) -> dict[str, "Gain"]:
        """Gains by metric, where both runs have a value of it.

        With two seeds or more in common the seeds are the sample; with one, the validation images are.

        Raises:
            InputError: the images of the two cannot be paired.
        """
        from sgenet import statistics

        gains: dict[str, Gain] = {}
        single: dict[int, list[str]] = {}  # seed -> metrics that it alone has
        for metric in metrics:
            before, after = baseline.values(metric), other.values(metric)
            seeds = sorted(before.keys() & after.keys())
            by_images = other.task == "detection" or metric in PROPORTIONS
            if len(seeds) > 1 or (seeds and not by_images):
                pair = [before[seed] for seed in seeds], [after[seed] for seed in seeds]
                gains[metric] = statistics.seed_gain(*pair, self.confidence)
            elif seeds:
                single.setdefault(seeds[0], []).append(metric)
        compare = self._ap_gains if other.task == "detection" else self._accuracy_gains
        for seed, wanted in single.items():
            one, two = baseline.by_seed[seed], other.by_seed[seed]
            _check_data(one, two)
            gains |= compare(one, two, wanted)
        return gains

    def difference(self, baseline: RunResults, other: RunResults, metric: str, than: str) -> "Gain | None":
        """How much larger the gain of one metric is than that of another; None where a value is missing.

        Raises:
            InputError: the images of the two runs cannot be paired.
        """
        from sgenet import statistics

        values = [run.values(name) for name in (metric, than) for run in (baseline, other)]
        seeds = sorted(set.intersection(*(set(found) for found in values)))
        if not seeds:
            return None
        if len(seeds) == 1 and other.task == "detection":
            one, two = baseline.by_seed[seeds[0]], other.by_seed[seeds[0]]
            _check_data(one, two)
            pair = self._resample(one, [metric, than]), self._resample(two, [metric, than])
            try:
                return statistics.ap_gain_difference(*pair, metric, than, self.confidence)
            except ValueError as error:
                raise InputError(f"{two.folder / 'matches.npz'}: {error}") from None
        gains = [[after[seed] - before[seed] for seed in seeds] for before, after in (values[:2], values[2:])]
        return statistics.seed_gain(gains[1], gains[0], self.confidence)

    def _accuracy_gains(self, baseline: Result, other: Result, metrics: list[str]) -> dict[str, "Gain"]:
        from sgenet import statistics

        gains = {}
        for metric in metrics:
            before, after = baseline.correct(metric), other.correct(metric)
            if not np.array_equal(baseline.labels(), other.labels()):
                path = other.folder / "predictions.npz"
                raise InputError(f"{path}: label: differs from the baseline's, expected the same images")
            gains[metric] = statistics.accuracy_gain(before, after, self.confidence)
        return gains

    def _ap_gains(self, baseline: Result, other: Result, metrics: list[str]) -> dict[str, "Gain"]:
        from sgenet import statistics

        gains: dict[str, Gain] = {}
        for kind in ("", MASKS):
            wanted = [metric for metric in metrics if metric.startswith(MASKS) == bool(kind)]
            if not wanted:
                continue
            before, after = self._resample(baseline, wanted), self._resample(other, wanted)
            try:
                found = statistics.ap_gains(before, after, self.confidence)
            except ValueError as error:
                raise InputError(f"{other.folder / 'matches.npz'}: {error}") from None
            gains |= {metric: found[metric.removeprefix(kind)] for metric in wanted}
        return gains

    def _resample(self, result: Result, metrics: list[str]) -> "ResampledAP":
        """The resamples of a run's boxes, or masks, for these metrics of theirs at least."""
        from sgenet import statistics

        kind = MASKS if metrics[0].startswith(MASKS) else ""
        path, names = result.folder / "matches.npz", [metric.removeprefix(kind) for metric in metrics]
        known = self._resampled.get((path, kind))
        missing = [name for name in names if known is None or name not in known.ap]
        if missing:
            new = statistics.resample_ap(_matches(path, kind), missing, self._samples)
            for name in missing:
                found, expected = float(new.ap[name][0]), result.metrics[kind + name]
                if expected is None or not abs(found - expected) <= 1e-3:
                    raise InputError(
                        f"{path}: {kind}{name}: found {found:.3f}, expected {expected} as in metrics.json beside it"
                    )
            if known:
                new.ap.update(known.ap)
            self._resampled[path, kind] = known = new
        assert known is not None
        return known


def value_interval(results: RunResults, metric: str, confidence: float) -> tuple[float, float] | None:
    """Interval of a run's value, or of its mean over seeds.

    Over seeds where there are three or more; over the validation images where there is one training, and the metric
    is an accuracy. So the number of seeds tells what the interval covers the choice of.
    """
    from sgenet import statistics

    if len(results.by_seed) != 1:
        return statistics.seed_interval(list(results.values(metric).values()), confidence)
    if metric not in PROPORTIONS:
        return None
    metrics = next(iter(results.by_seed.values())).metrics
    images, value = metrics.get("images"), metrics.get(metric)
    if not images or value is None:
        return None
    return statistics.wilson(round(value * images / 100), int(images), confidence)


def _check_data(baseline: Result, other: Result) -> None:
    if baseline.data != other.data:
        path = other.folder / "metrics.json"
        raise InputError(f"{path}: data fingerprint: found {other.data!r}, expected the baseline's {baseline.data!r}")


def _matches(path: Path, kind: str) -> "Matches":
    from sgenet.detection.coco_eval import Matches

    try:
        return Matches.load(path, kind)
    except InputError:
        raise
    except Exception as error:  # zlib, which a damaged archive may raise
        name = type(error).__name__
        raise InputError(f"{path}: cannot be read ({name}), expected the matches of an evaluation") from None
