"""The matches of detections and ground truth, from which AP can be recomputed for resampled images."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgenet.errors import InputError
from sgenet.runtime.arrays import read_arrays
from sgenet.runtime.files import atomic_path

_MOST = 2**20  # objects of a category


@dataclass(frozen=True, eq=False)
class Matches:
    """Result of COCO's matching, for D detections of K categories in I images.

    The first axes are A = 4 area ranges (all, small, medium, large) and T = 10 IoU thresholds (0.50 to 0.95).
    The detections (the best 100 per image and category) are sorted by category and descending score, ties in
    pycocotools' order. A detection is a true positive if matched and not ignored, a false positive if neither.
    """

    image_ids: NDArray[np.int64]  # (I,)
    categories: NDArray[np.str_]  # (K,) names
    image: NDArray[np.int32]  # (D,) index into image_ids
    category: NDArray[np.int32]  # (D,) index into categories
    score: NDArray[np.float64]  # (D,)
    matched: NDArray[np.bool_]  # (A, T, D)
    ignored: NDArray[np.bool_]  # (A, T, D)
    truths: NDArray[np.int32]  # (A, K, I) objects to be found

    def save(self, path: str | Path, masks: "Matches | None" = None) -> None:
        """Write an .npz file atomically; arrays of `masks` are added with the prefix `mask_`."""
        kinds = {"": self} if masks is None else {"": self, "mask_": masks}
        arrays = {kind + field.name: getattr(one, field.name) for kind, one in kinds.items() for field in fields(one)}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path, kind: str = "") -> "Matches":
        """Read a file of `save`; `kind` "mask_" reads the matches of masks. InputError if the file is not valid."""
        names = [field.name for field in fields(cls)]
        arrays = read_arrays(path, [kind + name for name in names], "the matches of an evaluation")
        matches = cls(**{name: arrays[kind + name] for name in names})
        count, of_pairs = matches.score.shape, (4, len(matches.categories), len(matches.image_ids))
        shapes = {"image": count, "category": count, "truths": of_pairs}
        shapes |= {"matched": (4, 10, *count), "ignored": (4, 10, *count)}
        for name, shape in shapes.items():
            if (found := getattr(matches, name).shape) != shape:
                raise InputError(f"{path}: {kind}{name}: found the shape {found}, expected {shape}")
        if problem := matches._problem():
            raise InputError(f"{path}: {kind}{problem}, expected the matches of an evaluation")
        return matches

    def _problem(self) -> str | None:
        """Describe invalid content: wrong types, an index out of range, more matches in an image than objects."""
        kinds = {"image_ids": "i", "image": "i", "category": "i", "truths": "i", "matched": "b", "ignored": "b"}
        for name, wanted in (kinds | {"score": "f", "categories": "U"}).items():
            if (found := getattr(self, name).dtype).kind != wanted:
                return f"{name}: found {found}"
        images, categories = len(self.image_ids), len(self.categories)
        if self.image_ids.ndim != 1 or self.categories.ndim != 1 or self.score.ndim != 1:
            return "image_ids, categories and score: found more than one axis"
        for name, end in {"image": images, "category": categories}.items():
            index = getattr(self, name)
            if len(index) and not 0 <= index.min() <= index.max() < end:
                return f"{name}: found an index that is not below {end}"
        if (np.diff(self.category) < 0).any() or not np.isfinite(self.score).all():
            return "category and score: found them out of order, or no finite numbers"
        if self.truths.size and (self.truths.min() < 0 or self.truths.sum(axis=-1, dtype=np.float64).max() > _MOST):
            return f"truths: found numbers below 0, or more than {_MOST:,} objects of a category"
        place = self.category.astype(np.int64) * images + self.image
        for area in range(4):
            for hits in self.matched[area] & ~self.ignored[area]:
                counts = np.bincount(place[hits], minlength=categories * images)
                if (counts > self.truths[area].ravel()).any():
                    return "matched: found more matches in an image than objects"
        return None
