"""Gains of a run over another, with their intervals, from what the two left on disk."""

from pathlib import Path

import numpy as np

from sgenet.config import paths
from sgenet.config.pipeline import ReportSettings
from sgenet.config.replication import Replication
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.evaluation import bootstrap, statistics
from sgenet.evaluation.bootstrap import ResampledAP
from sgenet.evaluation.coco_eval import AP_METRICS
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.statistics import FEWEST_SEEDS, Gain
from sgenet.report.evaluations import PROPORTIONS, Result
from sgenet.report.results import Found, RunResults, trained_columns

MASKS = "mask_"  # before the name of a metric, and of an array of matches


class Gains:
    """Compares runs. The resamples behind an AP are drawn once a run, however many others it is compared with.

    Args:
        settings: `confidence` of the intervals, `bootstrap_samples` behind those of AP.
    """

    def __init__(self, settings: ReportSettings) -> None:
        self.confidence: float = settings.confidence
        self._samples: int = settings.bootstrap_samples
        self._resampled: dict[tuple[Path, str], ResampledAP] = {}  # by file, and kind: boxes or masks

    def check(self, replication: Replication, found: Found) -> None:
        """Reject the results whose file of single images cannot be used: each becomes a problem of its run.

        Of runs with fewer seeds than make a sample, AP is held against what the matches give; of others it would be
        resampled for nothing.
        """
        wanted = trained_columns(replication)
        for run in found.runs.values():
            for seed, result in list(run.by_seed.items()):
                measured = [name for name, value in result.metrics.items() if value is not None]
                try:
                    for metric in (
                        name for name in PROPORTIONS if name in measured and run.id.startswith(Task.CLASSIFICATION)
                    ):
                        result.correct(metric)
                    for kind in ("", MASKS):
                        shown = [name for name in wanted[run.id] if name in measured and _of_matches(name)]
                        of_kind = [name for name in shown if _kind(name) == kind]
                        if of_kind and len(replication.seeds) < FEWEST_SEEDS:
                            self._resample(result, of_kind)
                        elif of_kind:
                            _matches(result, kind)
                except InputError as error:
                    run.reject(seed, str(error))

    def over(self, baseline: RunResults, other: RunResults, metric: str) -> Gain | None:
        """The gain of a metric; None where the two have no value of a common seed.

        With three seeds or more in common the seeds are the sample; with fewer, the validation images are.

        Raises:
            InputError: the images of the two cannot be paired.
        """
        _check_data(baseline, other)
        before, after = baseline.values(metric), other.values(metric)
        seeds = sorted(before.keys() & after.keys())
        if not seeds:
            return None
        one, two = ([run.by_seed[seed] for seed in seeds] for run in (baseline, other))
        if len(seeds) < FEWEST_SEEDS and _of_matches(metric):
            return self._ap_gain(one, two, metric)
        if len(seeds) < FEWEST_SEEDS and metric in PROPORTIONS:
            return self._accuracy_gain(one, two, metric)
        pair = [before[seed] for seed in seeds], [after[seed] for seed in seeds]
        return statistics.seed_gain(*pair, self.confidence)

    def difference(self, baseline: RunResults, other: RunResults, metric: str, than: str) -> Gain | None:
        """How much larger the gain of one metric is than that of another; None where a value is missing.

        Raises:
            InputError: the images of the two runs cannot be paired.
        """
        _check_data(baseline, other)
        values = [run.values(name) for name in (metric, than) for run in (baseline, other)]
        seeds = sorted(set.intersection(*(set(found) for found in values)))
        if not seeds:
            return None
        both = _of_matches(metric) and _of_matches(than) and _kind(metric) == _kind(than)
        if both and len(seeds) < FEWEST_SEEDS:
            results = [[run.by_seed[seed] for seed in seeds] for run in (baseline, other)]
            try:
                before, after = (self._mean(of_run, [metric, than]) for of_run in results)
                return bootstrap.ap_gain_difference(before, after, _bare(metric), _bare(than), self.confidence)
            except ValueError as error:
                raise InputError(f"{results[1][0].folder / paths.MATCHES}: {error}") from None
        gains = [[after[seed] - before[seed] for seed in seeds] for before, after in (values[:2], values[2:])]
        return statistics.seed_gain(gains[1], gains[0], self.confidence)

    def _accuracy_gain(self, baseline: list[Result], other: list[Result], metric: str) -> Gain:
        labels = baseline[0].labels()
        for result in (*baseline[1:], *other):
            if not np.array_equal(labels, result.labels()):
                path = result.folder / paths.PREDICTIONS
                raise InputError(f"{path}: label: differs from the baseline's, expected the same images")
        before, after = (np.stack([result.correct(metric) for result in run]) for run in (baseline, other))
        if len(before) == 1:
            return statistics.accuracy_gain(before[0], after[0], self.confidence)
        return statistics.mean_accuracy_gain(before, after, self.confidence)

    def _ap_gain(self, baseline: list[Result], other: list[Result], metric: str) -> Gain | None:
        try:
            before, after = (self._mean(run, [metric]) for run in (baseline, other))
            return bootstrap.ap_gain(before, after, _bare(metric), self.confidence)
        except ValueError as error:
            raise InputError(f"{other[0].folder / paths.MATCHES}: {error}") from None

    def _mean(self, results: list[Result], metrics: list[str]) -> ResampledAP:
        """The mean over a run's trainings of the resamples of their boxes, or masks."""
        return bootstrap.mean_ap([self._resample(result, metrics) for result in results])

    def _resample(self, result: Result, metrics: list[str]) -> ResampledAP:
        """The resamples of a run's boxes, or masks, for these metrics of theirs at least."""
        kind, path, names = _kind(metrics[0]), result.folder / paths.MATCHES, list(map(_bare, metrics))
        known = self._resampled.get((path, kind))
        missing = [name for name in names if known is None or name not in known.ap]
        if missing:
            new = bootstrap.resample_ap(_matches(result, kind), missing, self._samples)
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
    if len(results.by_seed) != 1:
        return statistics.seed_interval(list(results.values(metric).values()), confidence)
    if metric not in PROPORTIONS:
        return None
    metrics = next(iter(results.by_seed.values())).metrics
    images, value = metrics.get("images"), metrics.get(metric)
    if not images or value is None:
        return None
    return statistics.wilson(round(value * images / 100), int(images), confidence)


def _check_data(baseline: RunResults, other: RunResults) -> None:
    for seed in sorted(baseline.by_seed.keys() & other.by_seed.keys()):
        before, after = baseline.by_seed[seed], other.by_seed[seed]
        if before.data != after.data:
            found = f"data fingerprint: found {after.data!r}, expected the baseline's {before.data!r}"
            raise InputError(f"{after.folder / paths.METRICS}: {found}")


def _of_matches(metric: str) -> bool:
    """Whether matches tell the metric of any choice of images."""
    return _bare(metric) in AP_METRICS


def _kind(metric: str) -> str:
    """MASKS of a metric of masks, "" of one of boxes."""
    return MASKS if metric.startswith(MASKS) else ""


def _bare(metric: str) -> str:
    """The metric's name among those of its kind."""
    return metric.removeprefix(MASKS)


def _matches(result: Result, kind: str) -> Matches:
    path, expected = result.folder / paths.MATCHES, result.metrics.get("images")
    matches = Matches.load(path, kind)
    if expected is not None and len(matches.image_ids) != expected:
        found = f"found {len(matches.image_ids)} images, expected {expected} as in metrics.json beside it"
        raise InputError(f"{path}: {kind}image_ids: {found}")
    return matches
