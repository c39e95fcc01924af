"""Defects of a data set, and the policies for them: `strict` refuses the data, `skip` leaves the entries out."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sgenet.errors import InputError
from sgenet.runtime.files import write_text

if TYPE_CHECKING:  # imported late below: `sgenet coco-eval` reads no images and no manifest
    from sgenet.data.checks import Found, Source
    from sgenet.data.manifest import DefectCounts

_MOST_SHOWN, _FEW = 10, 5  # defects of a kind in a message; of more than the former, only the latter


@dataclass(frozen=True, slots=True)
class Defect:
    """A kind, used for counts, and a text: file, field, what was found and what was expected."""

    kind: str
    text: str


def settle(defects: Sequence[Defect], task: str, policy: str, file: Path) -> None:
    """Apply the policy: raise an InputError about the defects if it is `strict`, otherwise print what is left out.

    Args:
        defects: of the data.
        task: of the data.
        policy: `strict` or `skip`.
        file: for the list of all defects; `make_data` removes it where the data have a list of their own.
    """
    if policy == "strict":
        refuse_all(defects, f"data.{task}", file, " (`defects: skip` leaves these entries out)")
    elif defects:
        write_text(file, listing(defects))
        print(f"data.{task}: {len(defects):,} defects, which are left out:", file=sys.stderr)
        print(InputError(*overview(defects)), file=sys.stderr, flush=True)  # escapes control characters
    if not defects:
        file.unlink(missing_ok=True)


def refuse_all(defects: Sequence[Defect], place: str | Path, file: Path, advice: str = "") -> None:
    """Raise an InputError that shows the first defects of each kind, and write all of them to `file`, if any."""
    if defects:
        write_text(file, listing(defects))
        found = f"found {len(defects):,} defect{'s' * (len(defects) > 1)}, expected none{advice}"
        raise InputError(f"{place}: {found}; list: {file}", *overview(defects))


def overview(defects: Sequence[Defect]) -> list[str]:
    """Return the first few defects of each kind, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    for defect in defects:
        kinds.setdefault(defect.kind, []).append(defect.text)
    lines = []
    for kind, texts in kinds.items():
        shown = texts if len(texts) <= _MOST_SHOWN else texts[:_FEW]
        lines += shown
        if more := len(texts) - len(shown):
            lines.append(f"… and {more:,} more of the kind: {kind}")
    return lines


def first_of(defects: Sequence[Defect]) -> str:
    """Return the end of a message that states what was left out; empty if nothing was."""
    return f" ({len(defects):,} defects were left out, the first: {defects[0].text})" if defects else ""


def summary(defects: Sequence[Defect], policy: Literal["strict", "skip"]) -> "DefectCounts":
    """Return the policy and the number of defects of each kind."""
    from sgenet.data.manifest import DefectCounts

    return DefectCounts(policy=policy, by_kind=dict(sorted(Counter(defect.kind for defect in defects).items())))


def listing(defects: Sequence[Defect]) -> str:
    """Return the text of defects.txt."""
    return "".join(f"{defect.text}\n" for defect in defects)


def check_splits(
    sources: dict[str, list["Source"]], cache: Path, task: str, defects: list[Defect]
) -> tuple[dict[str, list["Found"]], set[int]]:
    """Return the checks of the images of both splits, and the positions in `train` of images that are in `val` too.

    A defect is appended to `defects` for each image that cannot be read, and for each that is in both splits.
    """
    from sgenet.data.checks import check_images

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
