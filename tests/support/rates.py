"""How often verdicts and intervals are right in made-up replications (`worlds`), where the truth is known."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sgenet.evaluation.statistics import accuracy_gain, mean_accuracy_gain
from sgenet.evaluation.trainings import (
    Gain,
    PublishedGain,
    SeedVariance,
    gain_ratio,
    mean_interval,
    seed_gain,
    seed_variance,
)
from sgenet.evaluation.verdicts import Judgement, Size, Verdict, combine, judge_gain
from support.worlds import SEED_SHARE, Array, PlantedColumn, draw_images, draw_worlds, load_columns, plant

CONFIDENCE = 0.95
EFFECTS = {"true": 1.0, "half": 0.5, "none": 0.0, "reversed": -1.0}
CLAIM, CLAIMED = "Claim C2: 1 to 2 points of AP with each of three detectors", Size(1.0, 2.0)
INTERVALS = {"top1": "Gain of Top-1", "ap": "Gain of AP", "ap_small": "Gain of AP of small objects"}
ROW, RATIO = "Mean of a row's trainings", "Ratio of reproduced to published gains"
ONE_OF_IMAGES, MEAN_OF_IMAGES = "Gain of one training, over images", "Mean gain of three trainings, over images"


@dataclass
class Rates:
    """Counts over made-up replications.

    `verdicts` are by group of gains and effect. `inside` has for each interval how often it contained its target, and
    how many there were. `clashes` are gains that are replicated as a cell and contradicted as a condition of a claim,
    or the reverse.
    """

    worlds: int
    verdicts: dict[tuple[str, str], Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    inside: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    clashes: int = 0

    def judged(self, effect: str, *groups: str) -> int:
        """How many gains of these groups have a verdict."""
        found = [self.verdicts[group, effect] for group in groups]
        return sum(one.total() - one[Verdict.NOT_JUDGED] for one in found)

    def rate(self, effect: str, verdicts: Iterable[Verdict], *groups: str) -> float:
        """Share of these verdicts among the judged gains of these groups."""
        count = sum(self.verdicts[group, effect][verdict] for group in groups for verdict in verdicts)
        return count / self.judged(effect, *groups)

    def coverage(self, interval: str) -> float:
        """Share of the intervals that contain their target."""
        hits, total = self.inside[interval]
        return hits / total

    def count(self, interval: str, low: float | None, high: float | None, target: float) -> None:
        """Count an interval, if there is one."""
        if low is not None and high is not None:
            self.inside[interval][0] += low <= target <= high
            self.inside[interval][1] += 1


@dataclass(frozen=True)
class TrainedColumn:
    """A column of one made-up replication: its trainings, by row and seed, and the values that the paper prints."""

    column: PlantedColumn
    rows: list[dict[int, float]]
    printed: Array
    variance: SeedVariance | None

    def base(self, index: int) -> int:
        """The index of a row's baseline."""
        base = self.column.rows[index].baseline
        assert base is not None
        return base

    def gain(self, index: int) -> Gain:
        """The reproduced gain of a row."""
        found = seed_gain(self.rows[self.base(index)], self.rows[index], self.variance, CONFIDENCE)
        assert found is not None
        return found

    def published(self, index: int) -> float:
        """The gain of a row that the paper prints."""
        return float(self.printed[index] - self.printed[self.base(index)])


def group_of(column: PlantedColumn, index: int) -> str:
    """The group in which the gain of a row is counted."""
    model = column.rows[index].model
    what = {"top1": "Top-1", "ap": "AP, two-stage detectors"}.get(column.id, "AP by size, RetinaNet")
    if not model.startswith("sge-"):
        return f"{what}, other modules"
    return f"{what}, {model.replace('sge-resnet', 'SGE-ResNet')}" if column.id == "top1" else f"{what}, SGE"


def measure(
    seeds: int,
    worlds: int,
    effects: Iterable[str] = EFFECTS,
    *,
    unequal: bool = False,
    uneven: bool = False,
    seed_share: float = SEED_SHARE,
) -> Rates:
    """Judge made-up replications.

    Args:
        seeds: of each row.
        worlds: number of replications of each effect.
        effects: what is true of them, keys of EFFECTS.
        unequal: rows have from 3 to `seeds` seeds.
        uneven: rows differ in their variance.
        seed_share: of the variance that is the seed's.
    """
    rng, rates = np.random.default_rng(seeds), Rates(worlds)
    drawn = draw_worlds(rng, worlds, seeds, uneven=uneven, seed_share=seed_share)
    columns = load_columns()
    planted = {(effect, column.id): plant(column, drawn, EFFECTS[effect]) for effect in effects for column in columns}
    for world in range(worlds):
        # A run has the same seeds in all columns.
        kept = {row: rng.integers(3 if unequal else seeds, seeds + 1) for column in columns for row in column.rows}
        variances = {
            column.id: _variance(column, _rows(column, drawn.trained[column.id][world], kept)) for column in columns
        }
        for effect in effects:
            trained = []
            for column in columns:
                values, printed = planted[effect, column.id]
                rows = _rows(column, values[world], kept)
                trained.append(TrainedColumn(column, rows, printed[world], variances[column.id]))
            _judge(rates, trained, effect)
            if effect == "true":
                _compare(rates, trained)
    return rates


def measure_images(worlds: int) -> Rates:
    """Compare the intervals over images with the gain of the same trainings over the population of images."""
    rng, rates = np.random.default_rng(0), Rates(worlds)
    for baseline, other, true in draw_images(rng, 1, 0.6, worlds):
        gain = accuracy_gain(baseline[0], other[0], CONFIDENCE)
        rates.count(ONE_OF_IMAGES, gain.low, gain.high, true)
    for baseline, other, true in draw_images(rng, 3, 0.6, worlds):
        gain = mean_accuracy_gain(baseline, other, CONFIDENCE)
        rates.count(MEAN_OF_IMAGES, gain.low, gain.high, true)
    return rates


def _rows(column: PlantedColumn, values: Array, kept: dict) -> list[dict[int, float]]:
    return [dict(enumerate(own[: kept[row]])) for row, own in zip(column.rows, values.tolist(), strict=True)]


def _variance(column: PlantedColumn, rows: list[dict[int, float]]) -> SeedVariance | None:
    blocks: dict[str, dict[str, dict[int, float]]] = defaultdict(dict)
    for row, values in zip(column.rows, rows, strict=True):
        blocks[row.block][row.model] = values
    return seed_variance(list(blocks.values()))


def _judge(rates: Rates, trained: list[TrainedColumn], effect: str) -> None:
    """Count the verdicts on cells and on the claim, and where the two do not agree."""
    conditions: list[Judgement] = []
    for one in trained:
        for index in one.column.gains:
            gain, size = one.gain(index), Size.of(one.published(index))
            judged = judge_gain(gain, size, paper=True, resolution=one.column.resolution)
            rates.verdicts[group_of(one.column, index), effect][judged.verdict] += 1
            row = one.column.rows[index]
            if one.column.id == "ap" and row.model == "sge-resnet50":
                condition = judge_gain(gain, CLAIMED, paper=True)
                conditions.append(condition)
                rates.clashes += {judged.verdict, condition.verdict} == {Verdict.REPLICATED, Verdict.CONTRADICTED}
    rates.verdicts[CLAIM, effect][combine(conditions).verdict] += 1


def _compare(rates: Rates, trained: list[TrainedColumn]) -> None:
    """Count the intervals that contain what was planted; the published gains are true."""
    gains, expected, weights = [], [], []
    for one in trained:
        for index, true in one.column.gains.items():
            if one.column.id in INTERVALS:
                gain = one.gain(index)
                rates.count(INTERVALS[one.column.id], gain.low, gain.high, true)
            model = one.column.rows[index].model
            if model.startswith("sge-") and one.variance is not None:
                published, base = one.published(index), one.base(index)
                gains.append(PublishedGain(published, one.rows[base], one.rows[index], one.variance.value, model))
                expected.append(true)
                weights.append(published / one.variance.value)
        low, high = mean_interval(list(one.rows[0].values()), CONFIDENCE) or (None, None)
        rates.count(ROW, low, high, one.column.values[0])
    ratio = gain_ratio(gains, CONFIDENCE)
    if ratio is not None:
        scale = np.dot(weights, [gain.published for gain in gains])
        rates.count(RATIO, ratio.low, ratio.high, float(np.dot(weights, expected) / scale))
