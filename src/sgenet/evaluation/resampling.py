"""AP of one category on many resamples of the images at once, equal to pycocotools' result for each.

Each column of the arrays is a resample, so that operations on rows are vectorised over the resamples.
"""

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(
    drawn: NDArray[np.floating],
    image: NDArray[np.int32],
    matched: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    truths: NDArray[np.int64],
) -> NDArray[np.float64]:
    """AP as a fraction, (T, B), at T IoU thresholds in B resamples; 0 if there are no objects to find.

    Args:
        drawn: (I, B) number of times that each image was drawn; sums over all detections must be exact in its type.
        image: (D,) of each detection, best score first.
        matched: (T, D) as in `coco_eval.Matches`.
        ignored: (T, D) as in `coco_eval.Matches`.
        truths: (B,) objects to be found.
    """
    found = np.zeros((len(matched), drawn.shape[1]))
    levels, offset = _recall_levels(truths)
    alike: dict[bytes, list[int]] = {}  # thresholds at which the same detections count
    for t, of_threshold in enumerate(ignored):
        alike.setdefault(of_threshold.tobytes(), []).append(t)
    for same in alike.values():
        counted = ~ignored[same[0]]
        hits = np.flatnonzero(matched[same].any(axis=0) & counted)
        columns = max(256, 2**17 // max(1, len(hits)))  # so that the arrays below fit in the cache
        for first in range(0, drawn.shape[1] if len(hits) else 0, columns):
            chunk = slice(first, first + columns)
            seen = _seen(drawn[:, chunk], image, counted, hits)
            for t in same:
                own = matched[t, hits]
                hit = drawn[image[hits[own]], chunk]
                found[t, chunk] = _area_under_curve(hit, seen[own], levels, offset[chunk])
    return found


def _area_under_curve(
    hits: NDArray[np.floating], seen: NDArray[np.floating], levels: NDArray[np.uint8], offset: NDArray[np.int64]
) -> NDArray[np.float64]:
    """AP, (B,), from H true positives.

    Interpolated precision, the highest precision at this recall or higher, is always attained at a true positive, and
    at the last copy if an image was drawn several times. Therefore only true positives are processed, each with its
    copies in one step; its precision counts for the recall levels that it is the first to reach.

    Args:
        hits: (H, B) number of times that each true positive was drawn, best score first; overwritten.
        seen: (H, B) number of detections counted up to each.
        levels: flat table of recall levels, from `_recall_levels`.
        offset: (B,) start of each resample's row in `levels`.
    """
    _accumulate(np.add, hits)
    precision = hits / (seen.astype(np.float64) + np.spacing(1))
    _accumulate(np.maximum, precision[::-1])
    reached = levels.take(hits.astype(np.intp) + offset)
    reached[1:] -= reached[:-1]
    return np.einsum("hb,hb->b", precision, reached) / len(RECALLS)


def _accumulate(operation: np.ufunc, rows: NDArray[np.floating]) -> None:
    """Accumulate down the rows, in place; operation.accumulate goes down each column and is several times slower."""
    for previous, row in zip(rows[:-1], rows[1:], strict=True):
        operation(row, previous, out=row)


def _seen(
    drawn: NDArray[np.floating], image: NDArray[np.int32], counted: NDArray[np.bool_], hits: NDArray[np.intp]
) -> NDArray[np.floating]:
    """Number of counted detections up to each of these hits, (H, B), from (D,) `image` and `counted`."""
    image = image[counted]
    ends = np.cumsum(counted)[hits].tolist()
    seen = np.empty((len(hits), drawn.shape[1]), dtype=drawn.dtype)
    for row, start, end in zip(seen, [0, *ends[:-1]], ends, strict=True):
        np.add.reduce(drawn[image[start:end]], axis=0, out=row)
    _accumulate(np.add, seen)
    return seen


def _recall_levels(truths: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Table of the number of recall levels that h hits of n objects reach, and the offset of each n of `truths` in it.

    The division is the same as in pycocotools, so that a recall equal to a level is rounded in the same way.
    """
    distinct, row = np.unique(np.maximum(truths, 1), return_inverse=True)
    hits = np.arange(distinct[-1] + 1)
    table = np.searchsorted(RECALLS, hits / distinct[:, None], side="right").astype(np.uint8)
    return table.ravel(), row * len(hits)
