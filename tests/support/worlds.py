"""Made-up replications of the paper's tables with planted gains, so that it is known which verdicts are right.

The rows, their published values and gains are those of params/tables. The run-to-run variance is assumed, as the
authors give none: standard deviations of 0.12 points of Top-1, 0.15 of AP
and 0.25 of AP by object size; a fifth of the variance is the seed's, common to the rows of a block; and two fifths of
the rest of a detector's are those of the classifier that it starts from.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sgenet.config.tables import load_table

Array = NDArray[np.float64]
SEED_SHARE, CLASSIFIER_SHARE = 0.2, 0.4
TOP1_SD, AP_SD, AP_BY_SIZE_SD = 0.12, 0.15, 0.25
TABLES = {
    ("top1", TOP1_SD): ("imagenet", "ablation-groups", "ablation-normalization", "ablation-init"),
    ("ap", AP_SD): ("coco-two-stage",),
    ("ap_small", AP_BY_SIZE_SD): ("coco-retinanet",),
    ("ap_medium", AP_BY_SIZE_SD): ("coco-retinanet",),
    ("ap_large", AP_BY_SIZE_SD): ("coco-retinanet",),
}
# The population of images: how much of what decides whether an image is classified correctly is common to trainings.
# Two trainings then disagree on whether 8 to 9 % of the images are correct, at a Top-1 of 76 %.
IMAGES, IMAGE_SHARE = 50_000, 0.93


@dataclass(frozen=True)
class PlantedRow:
    """A row of a column: its model, what else affects its variance, its published value and its baseline's index."""

    model: str
    block: str
    published: float | None
    baseline: int | None


@dataclass(frozen=True)
class PlantedColumn:
    """A column over its tables: its rows, and the assumed standard deviation of one training."""

    id: str
    sd: float
    digits: int
    resolution: float
    rows: tuple[PlantedRow, ...]

    @property
    def values(self) -> Array:
        """The published values; 0 where none was recovered, as a row's own level does not matter."""
        return np.array([row.published or 0.0 for row in self.rows])

    @property
    def gains(self) -> dict[int, float]:
        """The published gains, by the index of their row."""
        return {
            index: row.published - base
            for index, row in enumerate(self.rows)
            if row.published is not None and row.baseline is not None
            if (base := self.rows[row.baseline].published) is not None
        }


@dataclass(frozen=True)
class Worlds:
    """Differences of trainings from their expected values, by column.

    `trained` is (worlds, rows, seeds), `published` (worlds, rows): the paper's one training of each row.
    """

    trained: dict[str, Array]
    published: dict[str, Array]


@lru_cache
def load_columns() -> tuple[PlantedColumn, ...]:
    """The columns that are judged, with a row for each run."""
    return tuple(_column(id, sd, names) for (id, sd), names in TABLES.items())


def _column(id: str, sd: float, names: tuple[str, ...]) -> PlantedColumn:
    tables = [load_table(name) for name in names]
    runs = {row.run: row for table in reversed(tables) for row in table.rows}  # the first table has the published value
    index = {run: number for number, run in enumerate(runs)}
    rows = []
    for run, row in runs.items():
        detector, _, model = run.rpartition("/")
        depth = re.findall(r"resnet(\d+)", model)[0]
        base = next((one.run for table in tables for one in table.rows if one.label == row.baseline), None)
        published = row.published[id].value if id in row.published else None
        rows.append(PlantedRow(model, f"{detector} {depth}".strip(), published, index[base] if base else None))
    column = next(one for one in tables[0].columns if one.id == id)
    assert column.resolution is not None
    return PlantedColumn(id, sd, column.digits, column.resolution.value, tuple(rows))


def draw_worlds(
    rng: np.random.Generator, worlds: int, seeds: int, *, uneven: bool = False, seed_share: float = SEED_SHARE
) -> Worlds:
    """Draw what differs between trainings.

    `uneven` rows have 0.7 to 1.4 times the assumed standard deviation. `seed_share` of the variance is the seed's.
    """
    columns = load_columns()
    models = dict.fromkeys(row.model for column in columns for row in column.rows)
    # The last one is the paper's.
    classifiers = dict(zip(models, rng.standard_normal((len(models), worlds, seeds + 1)), strict=True))
    trained, published = {}, {}
    for column in columns:
        residual = np.stack([classifiers[row.model] for row in column.rows], axis=1)
        if column.id != "top1":
            own = rng.standard_normal(residual.shape)
            residual = np.sqrt(CLASSIFIER_SHARE) * residual + np.sqrt(1 - CLASSIFIER_SHARE) * own
        blocks = dict.fromkeys(row.block for row in column.rows)
        of_blocks = dict(zip(blocks, rng.standard_normal((len(blocks), worlds, seeds)), strict=True))
        of_seed = np.stack([of_blocks[row.block] for row in column.rows], axis=1)
        of_seed = np.concatenate(
            [of_seed, rng.standard_normal((*of_seed.shape[:2], 1))], axis=2
        )  # the paper fixed none
        scale = rng.uniform(0.7, 1.4, (worlds, len(column.rows), 1)) if uneven else 1.0
        noise = column.sd * scale * (np.sqrt(1 - seed_share) * residual + np.sqrt(seed_share) * of_seed)
        trained[column.id], published[column.id] = noise[..., :-1], noise[..., -1]
    return Worlds(trained, published)


def plant(column: PlantedColumn, worlds: Worlds, effect: float) -> tuple[Array, Array]:
    """Trained values, and published ones as printed, where `effect` is the part of a published gain that is true here.

    Returns:
        (worlds, rows, seeds) and (worlds, rows).
    """
    planted = column.values
    for index, gain in column.gains.items():
        planted[index] += (effect - 1) * gain
    trained = planted[:, None] + worlds.trained[column.id]
    return trained, np.round(column.values + worlds.published[column.id], column.digits)


def draw_images(
    rng: np.random.Generator, trainings: int, gain: float, worlds: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_], float]]:
    """Whether trainings of a baseline and of another row classify each image of a validation set correctly.

    An image is as difficult for all trainings, apart from what is special to a training. Each training has a Top-1 of
    its own over the population of images.

    Yields:
        (trainings, IMAGES) of the baseline and of the other row, and the gain of these trainings over the population.
    """
    from scipy.special import ndtri

    base = next(row.published for row in load_columns()[0].rows if row.model == "resnet50")
    assert base is not None
    for _ in range(worlds):
        accuracies = base + gain * np.repeat([0, 1], trainings) + TOP1_SD * rng.standard_normal(2 * trainings)
        special = rng.standard_normal((2 * trainings, IMAGES), dtype=np.float32)
        special *= np.sqrt(1 - IMAGE_SHARE)
        special += np.sqrt(np.float32(IMAGE_SHARE)) * rng.standard_normal(IMAGES, dtype=np.float32)
        correct = special < ndtri(accuracies / 100).astype(np.float32)[:, None]
        yield (
            correct[:trainings],
            correct[trainings:],
            float(accuracies[trainings:].mean() - accuracies[:trainings].mean()),
        )
