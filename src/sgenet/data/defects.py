"""Defects of a data set, and the policies for them: `strict` refuses the data, `skip` leaves the entries out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgenet.data.checks import Found, Source, check_images
from sgenet.data.manifest import DefectCounts
from sgenet.errors import InputError


@dataclass(frozen=True, slots=True)
class Defect:
    """A kind, used for counts, and a text: file, field, what was found and what was expected."""

    kind: str
    text: str


def refuse(defects: Sequence[Defect], task: str, policy: str) -> None:
    """Raise an InputError that lists all defects, if there are any and the policy is `strict`."""
    if policy == "strict":
        refuse_all(defects, f"data.{task}", " (`defects: skip` leaves these entries out)")


def refuse_all(defects: Sequence[Defect], place: str | Path, advice: str = "") -> None:
    """Raise an InputError that lists all defects of the data at `place`, if there are any."""
    if defects:
        head = f"{place}: found {len(defects):,} defect{'s' * (len(defects) > 1)}, expected none{advice}:"
        raise InputError(head, *(defect.text for defect in defects))


def first_of(defects: Sequence[Defect]) -> str:
    """Return the end of a message that states what was left out; empty if nothing was."""
    return f" ({len(defects):,} defects were left out, the first: {defects[0].text})" if defects else ""


def summary(defects: Sequence[Defect], policy: Literal["strict", "skip"]) -> DefectCounts:
    """Return the policy and the number of defects of each kind."""
    return DefectCounts(policy=policy, by_kind=dict(sorted(Counter(defect.kind for defect in defects).items())))


def listing(defects: Sequence[Defect]) -> str:
    """Return the text of defects.txt."""
    return "".join(f"{defect.text}\n" for defect in defects)


def check_splits(
    sources: dict[str, list[Source]], cache: Path, task: str, defects: list[Defect]
) -> tuple[dict[str, list[Found]], set[int]]:
    """Return the checks of the images of both splits, and the positions in `train` of images that are in `val` too.

    A defect is appended to `defects` for each image that cannot be read, and for each that is in both splits.
    """
    results = check_images([*sources["train"], *sources["val"]], cache, task)
    found = {"train": results[: len(sources["train"])], "val": results[len(sources["train"]) :]}
    for split in sources:
        defects += _find_unreadable(sources[split], found[split])
    shared = _find_shared({split: (sources[split], found[split]) for split in sources})
    defects += shared.values()
    return found, set(shared)


def _find_unreadable(sources: Sequence[Source], found: Sequence[Found]) -> list[Defect]:
    """Return a defect for each image that cannot be read."""
    pairs = zip(sources, found, strict=True)
    return [
        Defect("unreadable image", f"{source.name}: {result.problem}") for source, result in pairs if result.problem
    ]


def _find_shared(splits: dict[str, tuple[Sequence[Source], Sequence[Found]]]) -> dict[int, Defect]:
    """Return the training images with the same bytes as a validation image: position in `train` -> defect."""
    known = {result.xxhash: source.name for source, result in zip(*splits["val"], strict=True) if not result.problem}
    return {
        position: Defect(
            "image in both splits",
            f"{source.name}: found the content of {known[result.xxhash]}, expected images of one split only",
        )
        for position, (source, result) in enumerate(zip(*splits["train"], strict=True))
        if not result.problem and result.xxhash in known
    }
