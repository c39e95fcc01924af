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
    pairs = {split: list(zip(sources[split], found[split], strict=True)) for split in sources}
    for source, result in (pair for split in sources for pair in pairs[split]):
        if result.problem:
            defects.append(Defect("unreadable image", f"{source.name}: {result.problem}"))
    known = {result.xxhash: source.name for source, result in pairs["val"] if not result.problem}
    shared = set()
    for position, (source, result) in enumerate(pairs["train"]):
        if not result.problem and result.xxhash in known:
            text = f"found the content of {known[result.xxhash]}, expected images of one split only"
            defects.append(Defect("image in both splits", f"{source.name}: {text}"))
            shared.add(position)
    return found, shared
