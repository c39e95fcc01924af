"""Gains of a run over another: over trainings, and the sampling error of the validation images."""

from collections.abc import Iterable

import numpy as np

from sgenet.config import paths
from sgenet.config.names import parse_name
from sgenet.config.recipes import TwoStage
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.errors import InputError
from sgenet.evaluation import bootstrap, statistics
from sgenet.evaluation.statistics import ImageGain
from sgenet.evaluation.trainings import Gain, SeedVariance, Values, mean_interval, seed_gain, seed_variance
from sgenet.judgement.evaluations import Result
from sgenet.judgement.images import PROPORTIONS, bare, kind_of, of_matches
from sgenet.judgement.results import Found, RunResults


class Gains:
    """Compares runs of a replication, by what was read of them."""

    def __init__(self, replication: Replication, found: Found) -> None:
        self.confidence: float = replication.pipeline.report.confidence
        self._replication, self._found = replication, found
        self._variances: dict[tuple[str, str, str | None], SeedVariance | None] = {}

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
        if not seeds or not all(of_matches(name) for name in (metric, than or metric)):
            return None
        kind, names = kind_of(metric), [bare(metric), bare(than or metric)]
        resampled = [[result.per_image.resampled.get(kind) for result in run] for run in (one, two)]
        known = [[one for one in run if one and all(name in one.ap for name in names)] for run in resampled]
        if known != resampled:
            return None
        try:
            before, after = map(bootstrap.mean_ap, known)
            if than is None:
                return bootstrap.ap_gain(before, after, bare(metric), self.confidence)
            return bootstrap.ap_gain_difference(before, after, bare(metric), bare(than), self.confidence)
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
        for result in (*baseline, *other):
            if result.per_image.labels != baseline[0].per_image.labels:
                path = result.folder / paths.PREDICTIONS
                raise InputError(f"{path}: label: differs from the baseline's, expected the same images")
        before, after = (np.stack([result.per_image.correct[metric] for result in run]) for run in (baseline, other))
        if len(before) == 1:
            return statistics.accuracy_gain(before[0], after[0], self.confidence)
        return statistics.mean_accuracy_gain(before, after, self.confidence)


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
