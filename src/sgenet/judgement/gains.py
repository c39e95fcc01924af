"""Gains of a run over another: over trainings, and the sampling error of the validation images."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sgenet.config import paths
from sgenet.config.names import parse_name
from sgenet.config.recipes import TwoStage
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.config.tasks import Task
from sgenet.data.progress import progress
from sgenet.errors import InputError
from sgenet.evaluation import bootstrap, statistics
from sgenet.evaluation.bootstrap import ResampledAP
from sgenet.evaluation.coco_eval import AP_METRICS
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.statistics import ImageGain
from sgenet.evaluation.trainings import Gain, SeedVariance, Values, mean_interval, seed_gain, seed_variance
from sgenet.judgement.evaluations import PROPORTIONS, Result
from sgenet.judgement.results import Found, RunResults, trained_columns

MASKS = "mask_"  # before the name of a metric, and of an array of matches


class Gains:
    """Compares runs of a replication. What is behind an AP is resampled once a run, however many compare with it."""

    def __init__(self, replication: Replication, found: Found) -> None:
        settings = replication.pipeline.report
        self.confidence: float = settings.confidence
        self._samples: int = settings.bootstrap_samples
        self._replication, self._found = replication, found
        self._resampled: dict[tuple[Path, str], ResampledAP] = {}  # by file, and kind: boxes or masks
        self._variances: dict[tuple[str, str, str | None], SeedVariance | None] = {}

    def check(self) -> None:
        """Reject the results whose file of single images cannot be used: each becomes a problem of its run."""
        wanted = trained_columns(self._replication)
        results = [(run, seed) for run in self._found.runs.values() for seed in run.by_seed]
        for run, seed in progress(results, "resampling the validation images", "training", len(results)):
            result = run.by_seed[seed]
            measured = [name for name, value in result.metrics.items() if value is not None]
            try:
                if run.task == Task.CLASSIFICATION:
                    for metric in set(PROPORTIONS) & set(measured):
                        result.correct(metric)
                for kind in ("", MASKS):
                    shown = [name for name in wanted[run.id] if name in measured and _of_matches(name)]
                    if of_kind := [name for name in shown if _kind(name) == kind]:
                        self._resample(result, of_kind)
            except InputError as error:
                run.reject(seed, str(error))

    def over(self, baseline: RunResults, other: RunResults, metric: str, than: str | None = None) -> Gain | None:
        """The gain of a metric over the seeds that both have; None where they have none in common.

        Args:
            baseline: the run that is gained over.
            other: the run that is compared with it.
            metric: name of the metric.
            than: a second metric, whose gain is subtracted.

        Raises:
            InputError: the two were evaluated on different data.
        """
        _check_data(baseline, other)
        values = [_values(run, metric, than) for run in (baseline, other)]
        return seed_gain(values[0], values[1], self._variance(other.id, metric, than), self.confidence)

    def over_images(
        self, baseline: RunResults, other: RunResults, metric: str, than: str | None = None
    ) -> ImageGain | None:
        """The same gain of these very trainings, with the sampling error of the images; None if it is not known.

        Raises:
            InputError: the images of the two cannot be paired.
        """
        _check_data(baseline, other)
        seeds = sorted(_values(baseline, metric, than).keys() & _values(other, metric, than).keys())
        one, two = ([run.by_seed[seed] for seed in seeds] for run in (baseline, other))
        if seeds and metric in PROPORTIONS and than is None:
            return self._accuracy_gain(one, two, metric)
        if not seeds or not all(_of_matches(name) for name in (metric, than or metric)):
            return None
        metrics = [metric] if than is None else [metric, than]
        try:
            resampled = [[self._resample(result, metrics) for result in run] for run in (one, two)]
            before, after = map(bootstrap.mean_ap, resampled)
            if than is None:
                return bootstrap.ap_gain(before, after, _bare(metric), self.confidence)
            return bootstrap.ap_gain_difference(before, after, _bare(metric), _bare(than), self.confidence)
        except ValueError as error:
            raise InputError(f"{two[0].folder / paths.MATCHES}: {error}") from None

    def value_interval(self, results: RunResults, metric: str) -> tuple[float, float] | None:
        """Interval of a run's mean over trainings; of a single training, the sampling error of its accuracy."""
        if len(results.by_seed) != 1:
            return mean_interval(list(results.values(metric).values()), self.confidence)
        if metric not in PROPORTIONS:
            return None
        metrics = next(iter(results.by_seed.values())).metrics
        images, value = metrics.get("images"), metrics.get(metric)
        if not images or value is None:
            return None
        return statistics.wilson(round(value * images / 100), int(images), self.confidence)

    def _variance(self, run_id: str, metric: str, than: str | None) -> SeedVariance | None:
        """The variance of one training, pooled over the runs of a family: classifiers, one-stage or two-stage ones."""
        family = _family(self._replication.runs[run_id])
        key = (family, metric, than)
        if key not in self._variances:
            runs = [run for run in self._replication.runs.values() if _family(run) == family]
            self._variances[key] = seed_variance(self._blocks(runs, metric, than))
        return self._variances[key]

    def _blocks(self, runs: Iterable[Run], metric: str, than: str | None) -> list[Values]:
        """The values of these runs, in blocks of the same detector and depth; without what did not learn."""
        blocks: dict[tuple[str | None, int], dict[str, dict[int, float]]] = {}
        for run in runs:
            results = self._found.runs[run.id]
            if values := {} if results.remark else _values(results, metric, than):
                blocks.setdefault((run.detector, parse_name(run.model)[1]), {})[run.name.rpartition("/")[2]] = values
        return list(blocks.values())

    def _accuracy_gain(self, baseline: list[Result], other: list[Result], metric: str) -> ImageGain:
        labels = baseline[0].labels()
        for result in (*baseline[1:], *other):
            if not np.array_equal(labels, result.labels()):
                path = result.folder / paths.PREDICTIONS
                raise InputError(f"{path}: label: differs from the baseline's, expected the same images")
        before, after = (np.stack([result.correct(metric) for result in run]) for run in (baseline, other))
        if len(before) == 1:
            return statistics.accuracy_gain(before[0], after[0], self.confidence)
        return statistics.mean_accuracy_gain(before, after, self.confidence)

    def _resample(self, result: Result, metrics: list[str]) -> ResampledAP:
        """The resamples of a run's boxes, or masks, for at least these metrics."""
        kind, path, names = _kind(metrics[0]), result.folder / paths.MATCHES, list(map(_bare, metrics))
        known = self._resampled.get((path, kind))
        missing = [name for name in names if known is None or name not in known.ap]
        if missing:
            new = bootstrap.resample_ap(_matches(result, kind), missing, self._samples)
            for name in missing:
                found, expected = float(new.ap[name][0]), result.metrics[kind + name]
                if expected is None or not abs(found - expected) <= 1e-3:
                    raise InputError(f"{path}: {kind}{name}: found {found:.3f}, expected {expected} as in metrics.json")
            if known:
                new.ap.update(known.ap)
            self._resampled[path, kind] = known = new
        assert known is not None
        return known


def _values(results: RunResults, metric: str, than: str | None) -> dict[int, float]:
    """A metric by seed, or what it is above another."""
    values = results.values(metric)
    if than is None:
        return values
    others = results.values(than)
    return {seed: value - others[seed] for seed, value in values.items() if seed in others}


def _family(run: Run) -> str:
    if run.detector is None:
        return "classifiers"
    return "two-stage detectors" if isinstance(run.settings, TwoStage) else "one-stage detectors"


def _check_data(baseline: RunResults, other: RunResults) -> None:
    for seed in sorted(baseline.by_seed.keys() & other.by_seed.keys()):
        before, after = baseline.by_seed[seed], other.by_seed[seed]
        if before.data != after.data:
            found = f"data fingerprint: found {after.data!r}, expected the baseline's {before.data!r}"
            raise InputError(f"{after.folder / paths.METRICS}: {found}")


def _of_matches(metric: str) -> bool:
    """Whether the metric of any resample of the images can be computed from matches."""
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
        found = f"found {len(matches.image_ids)} images, expected {expected} as in metrics.json"
        raise InputError(f"{path}: {kind}image_ids: {found}")
    return matches
