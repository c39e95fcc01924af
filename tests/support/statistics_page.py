"""The tables of docs/statistics.md, each between two marker comments; `make statistics` rewrites them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgenet.evaluation.verdicts import OUTCOMES, Verdict
from support.rates import (
    CLAIM,
    INTERVALS,
    MEAN_OF_IMAGES,
    ONE_OF_IMAGES,
    RATIO,
    ROW,
    Rates,
    group_of,
    measure,
    measure_images,
)
from support.worlds import load_columns

PAGE = Path(__file__).parents[2] / "docs/statistics.md"
SEEDS, WORLDS = (3, 5, 10), 2000
GROUPS = (*dict.fromkeys(group_of(column, index) for column in load_columns() for index in column.gains), CLAIM)
WRONG = (Verdict.WEAKER, Verdict.CONTRADICTED)
VERDICTS = (  # heading, what is true, and the verdicts that are counted
    ("true: replicated", "true", (Verdict.REPLICATED,)),
    ("true: weaker or contradicted", "true", WRONG),
    ("half: replicated", "half", (Verdict.REPLICATED,)),
    ("none: replicated", "none", (Verdict.REPLICATED,)),
    ("none: contradicted", "none", (Verdict.CONTRADICTED,)),
    ("reversed: contradicted", "reversed", (Verdict.CONTRADICTED,)),
)
OTHERS: dict[str, Any] = {  # arguments of `measure`
    "3 to 5 trainings, by row": {"unequal": True},
    "three fifths of the variance are the seed's": {"seed_share": 0.6},
    "standard deviations of 0.7 to 1.4 times the assumed one, by row": {"uneven": True},
}


@dataclass(frozen=True)
class Measured:
    """All rates of the page: by number of seeds, over images, and where an assumption does not hold."""

    seeds: dict[int, Rates]
    images: Rates
    others: dict[str, Rates]


def measure_all(worlds: int = WORLDS) -> Measured:
    """Measure all rates, with progress on standard error."""
    seeds = {}
    for number in SEEDS:
        print(f"{worlds} made-up replications of each effect, {number} trainings of each row", file=sys.stderr)
        seeds[number] = measure(number, worlds)
    print(f"{worlds} made-up validation sets, and replications with other spreads", file=sys.stderr)
    others = {name: measure(5, worlds, ("true", "half"), **settings) for name, settings in OTHERS.items()}
    return Measured(seeds, measure_images(worlds), others)


def render_verdicts() -> str:
    """The table of verdicts, in Markdown."""
    return _table(["verdict", "meaning"], [[f"**{verdict}**", verdict.meaning] for verdict in OUTCOMES], aligned="---")


def render(measured: Measured) -> str:
    """The tables of rates, in Markdown."""
    verdicts = [
        [group, seeds, *(_percent(rates.rate(effect, words, group)) for _, effect, words in VERDICTS)]
        for group in GROUPS
        for seeds, rates in measured.seeds.items()
    ]
    intervals = [
        [name, *(_percent(rates.coverage(name)) for rates in measured.seeds.values())]
        for name in (*INTERVALS.values(), ROW, RATIO)
    ]
    images = [[name, _percent(measured.images.coverage(name))] for name in (ONE_OF_IMAGES, MEAN_OF_IMAGES)]
    others = [
        [name, *_summary(rates)]
        for name, rates in {"as assumed, 5 of each row": measured.seeds[5], **measured.others}.items()
    ]
    return "\n\n".join(
        [
            _table(["gains", "trainings of each row", *(heading for heading, *_ in VERDICTS)], verdicts),
            _table(["interval", *(f"{seeds} trainings" for seeds in SEEDS)], intervals),
            _table(["interval over images", "contains its target"], images),
            _table(["trainings", *INTERVALS.values(), VERDICTS[0][0], VERDICTS[1][0], VERDICTS[2][0]], others),
        ]
    )


def committed(name: str) -> str:
    """A part of the page, "verdicts" or "rates", as it is."""
    return _split(name)[1].strip()


def write(name: str, tables: str) -> None:
    """Rewrite a part of the page."""
    before, _, after = _split(name)
    PAGE.write_text(f"{before}\n\n{tables}\n\n{after}", encoding="utf-8")


def _split(name: str) -> tuple[str, str, str]:
    """The page up to the end of a part's first marker, the part, and the page from its second marker."""
    start, end = f"<!-- {name}: made by `make statistics` -->", f"<!-- end of {name} -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(start)
    part, ended, after = rest.partition(end)
    assert found and ended, f"{PAGE}: expected {start} and {end}"
    return before + found, part, ended + after


def _summary(rates: Rates) -> list[str]:
    """Coverage of the gains, and three rates of verdicts, of all gains."""
    cells = [group for group in GROUPS if group != CLAIM]
    verdicts = [rates.rate(effect, words, *cells) for _, effect, words in VERDICTS[:3]]
    return [_percent(share) for share in (*map(rates.coverage, INTERVALS.values()), *verdicts)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]], aligned: str = "--:") -> str:
    lines = [headings, ["---", *[aligned] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    write("verdicts", render_verdicts())
    write("rates", render(measure_all()))
    print(f"{PAGE}: tables rewritten")
