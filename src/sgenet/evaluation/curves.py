"""Precision at COCO's levels of recall, and recall, of matches; equal to pycocotools'."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sgenet.evaluation.matches import Matches
from sgenet.evaluation.matching import ranks
from sgenet.evaluation.resampling import RECALLS


def precision(matches: Matches) -> NDArray[np.float64]:
    """Return the precision at each level of recall or higher, (A, T, 101, K); NaN for categories without objects."""
    areas, thresholds, _ = matches.matched.shape
    found = np.full((areas, thresholds, len(RECALLS), len(matches.categories)), np.nan)
    starts = _starts(matches.category, len(matches.categories))
    objects = matches.truths.sum(axis=2)
    for area, k in np.argwhere(objects).tolist():
        own = np.s_[area, :, starts[k] : starts[k + 1]]
        found[area, :, :, k] = interpolate(matches.matched[own], matches.ignored[own], objects[area, k])
    return found


def interpolate(matched: NDArray[np.bool_], ignored: NDArray[np.bool_], objects: int) -> NDArray[np.float64]:
    """Return the precision of one category at each level of recall or higher, (T, 101).

    Args:
        matched: (T, D) as in `Matches`, best score first.
        ignored: (T, D) as in `Matches`.
        objects: number to be found, at least 1.
    """
    counted = ~ignored
    hits = np.cumsum(matched & counted, axis=1)
    values = hits / (np.cumsum(counted, axis=1) + np.spacing(1))
    highest = np.zeros((len(matched), matched.shape[1] + 1))  # 0 at a recall that is not reached
    highest[:, :-1] = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    recall = hits / objects
    return np.stack([row[np.searchsorted(of, RECALLS)] for row, of in zip(highest, recall, strict=True)])


def recall(matches: Matches, most: int) -> NDArray[np.float64]:
    """Return the recall of each image's best `most` detections of a category, (A, T, K); NaN without objects."""
    order = np.lexsort((matches.image, matches.category))  # stable: best score first
    best = order[ranks(matches.category[order], matches.image[order]) < most]
    hits = (matches.matched & ~matches.ignored)[:, :, best]
    starts = _starts(matches.category[best], len(matches.categories))
    sums = [hits[:, :, start:stop].sum(axis=2) for start, stop in pairwise(starts)]
    with np.errstate(invalid="ignore"):  # 0 / 0 gives the NaN of the docstring
        return np.stack(sums, axis=-1) / matches.truths.sum(axis=2)[:, None]


def _starts(category: NDArray[np.int32], count: int) -> list[int]:
    """Return where each category starts in sorted indices, and the end of the last."""
    return np.searchsorted(category, np.arange(count + 1)).tolist()
