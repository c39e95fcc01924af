"""The screen of `sgenet status`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from sgenet.config.seeds import in_words
from sgenet.pipeline.disk import usage_text
from sgenet.pipeline.durations import duration_text
from sgenet.pipeline.outliers import Outlier
from sgenet.pipeline.status import Item, State, Status, TimeLeft

_NAMES, _REASONS, _LENGTH = 5, 5, 200  # shown of a list, and of a reason; JSON has everything
_COLUMNS = (State.DONE, State.STALE, State.MISSING, State.FAILED, State.RUNNING)


def to_text(status: Status) -> str:
    """Return the status as text that fits a screen."""
    from tabulate import tabulate

    cells: list[tuple[str, ...]] = [("table", "rows", *_COLUMNS)]
    for table in status.tables:
        counts = (sum(row.state is state for row in table.rows) for state in _COLUMNS)
        cells.append((table.table, str(len(table.rows)), *(str(count or "-") for count in counts)))
    align = ["left", *["right"] * (len(_COLUMNS) + 1)]
    items = [item for seeds in status.runs.values() for item in seeds]
    done = sum(item.state is State.DONE for item in items)
    numbers = Counter(item.name for item in items)
    seeds = in_words(status.seeds, max(numbers.values(), default=status.seeds))
    lines = [f"scale {status.scale}, {seeds}: {done} of {len(items)} are done and evaluated", ""]
    if status.tables:
        lines += [tabulate(cells, tablefmt="plain", disable_numparse=True, colalign=align), ""]
    for state in (State.RUNNING, State.FAILED, State.STALE, State.MISSING):
        lines += _section(state, [item for item in (*status.singles, *items) if item.state is state], numbers)
    remarks = [*_unlearned(items), *_outliers(status.outliers)]
    lines += remarks
    if status.due or remarks:
        lines.append("")
    return "\n".join([*lines, *_footer(status)])


def _section(state: State, items: list[Item], seeds: Mapping[str, int]) -> list[str]:
    """The items of a state; those with the same reason are listed together after it."""
    groups: dict[str | None, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.reason].append(item)
    lines = [state.value] if groups else []
    for reason, alike in list(groups.items())[:_REASONS]:
        heading = [reason if len(reason) <= _LENGTH else f"{reason[: _LENGTH - 1]}…"] if reason else []
        heading += [f"log: {alike[0].log}"] if alike[0].log else []
        names = map(_since, alike) if state is State.RUNNING else _names(alike, seeds)
        lines += [f"  {line}" for line in heading]
        lines.append(f"{'    ' if heading else '  '}{_few(names)}")
    if len(groups) > _REASONS:
        lines.append(f"  {len(groups) - _REASONS} more reasons: see --json")
    return lines


def _unlearned(items: list[Item]) -> list[str]:
    """The trainings that are done and did not learn, with the reason of each."""
    found = [item for item in items if item.unlearned]
    lines = [f"did not learn: {len(found)} of the trainings that are done"] if found else []
    lines += [f"  {item.name} seed {item.seed}: {item.unlearned}" for item in found[:_NAMES]]
    return [*lines, f"  {len(found) - _NAMES} more: see --json"] if len(found) > _NAMES else lines


def _outliers(outliers: list[Outlier]) -> list[str]:
    """The trainings that are outside the band of the other seeds of their run, and what to look at."""
    lines = [f"outside the band of the other seeds: {len(outliers)} training{'s' * (len(outliers) != 1)}"]
    for one in outliers[:_NAMES]:
        name, digits = ("Top-1", ".2f") if one.metric == "top1" else ("training loss", ".4g")
        band = f"{one.low:{digits}} to {one.high:{digits}} expected from the {one.others} other seeds"
        where = f"{one.run} seed {one.seed}, epoch {one.epoch} of {one.epochs}"
        lines.append(f"  {where}: {name} {one.value:{digits}}, {band}; look at {one.read}")
    lines += [f"  {len(outliers) - _NAMES} more: see --json"] if len(outliers) > _NAMES else []
    return lines if outliers else []


def _since(item: Item) -> str:
    since = f" since {datetime.fromisoformat(item.since):%Y-%m-%d %H:%M}" if item.since else ""
    return f"{item.name} seed {item.seed}{since}"


def _names(items: list[Item], seeds: Mapping[str, int]) -> Iterable[str]:
    """Names of items, with the number of their seeds where these are not all."""
    found: dict[str, list[int]] = defaultdict(list)
    for item in items:
        found[item.name] += [] if item.seed is None else [item.seed]
    for name, own in found.items():
        yield f"{name} ({len(own)} of {seeds[name]} seeds)" if 0 < len(own) < seeds[name] else name


def _few(names: Iterable[str]) -> str:
    every = list(names)
    more = [f"and {len(every) - _NAMES} more"] if len(every) > _NAMES else []
    return ", ".join([*every[:_NAMES], *more])


def _footer(status: Status) -> list[str]:
    earlier, lines = status.earlier_code, list[str]()
    if earlier.results:
        lines.append(f"code       {earlier.results} results were made by earlier code; changed: {_few(earlier.files)}")
        lines.append(f"           `{earlier.command}` makes them again")
    if status.time_left.steps:
        lines.append(f"time left  {_time_left(status.time_left, status.scale)}")
    lines.append(f"disk       {usage_text(status.disk)}")
    if status.commits:
        made = (f"{commit[:10]}{'+' * commit.endswith('+')} ({count})" for commit, count in status.commits.items())
        lines.append(f"commits    results by commit of the code: {_few(made)}")
    current = f"all results are current; `{status.command}` updates the report if it is outdated"
    lines.append(f"next       {status.command if status.due else current}")
    return lines


def _time_left(left: TimeLeft, scale: str) -> str:
    unknown = f"unknown: `sgenet plan --scale {scale}` estimates it"
    if left.unknown == left.steps:
        return unknown
    text = f"about {duration_text(left.seconds)} one after another, by {' and '.join(left.sources)}"
    return f"{text}; of the {left.steps} steps, {left.unknown} are {unknown}" if left.unknown else text
