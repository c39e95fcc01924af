"""Core time of the last replication at scale `demo`, from its log files and records."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bench.common import Row, in_words, report_row
from sgenet.config.params import load_scale
from sgenet.errors import InputError
from sgenet.runtime.files import read_json

SCALE = "demo"
WHAT = "a replication at scale demo, core-seconds"
_LOGS = Path(".snakemake/log")
_SLACK = timedelta(seconds=1)  # logs have a resolution of one second


@dataclass(frozen=True)
class _Span:
    """One run of Snakemake."""

    start: datetime
    seconds: float
    cores: int

    def holds(self, times: list[datetime]) -> bool:
        end = self.start + timedelta(seconds=self.seconds)
        return all(self.start - _SLACK <= time <= end + _SLACK for time in times)


def share_of_demo() -> list[Row]:
    """Core-seconds of the whole replication, of its trainings and evaluations, and of the rest.

    The whole is the elapsed time of Snakemake times its cores. A training or an evaluation is counted from its first
    line of code, so its imports belong to the rest.

    Raises:
        InputError: a timing.json is damaged.
    """
    threads = load_scale(SCALE).threads
    busy, finished = 0.0, []
    for path in Path("results", SCALE, "evaluation").glob("*/**/seed-*/timing.json"):
        try:
            for times in read_json(path).values():
                busy += threads * times["seconds"]
                finished.append(datetime.fromisoformat(times["finished"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}: found no seconds or finished of a step, expected a file written by `sgenet evaluate`"
            ) from None
    spans = [span for log in sorted(_LOGS.glob("*.log")) if (span := _read(log)) and span.holds(finished)]
    if not finished or not spans:
        return [report_row(Row(WHAT, "all", note="not available: found no complete run of `snakemake --cores all`"))]
    whole = spans[-1].seconds * spans[-1].cores
    label = f"{in_words(spans[-1].seconds)} on {spans[-1].cores} cores, {len(finished) // 2} runs"
    parts = {"all": whole, "training and evaluating": busy, "neither": whole - busy}
    return [
        report_row(Row(WHAT, part, value, value, value, (value / whole,) * 3, label=label if part == "all" else ""))
        for part, value in parts.items()
    ]


def _read(log: Path) -> _Span | None:
    """Read the run from a log of Snakemake; None if it had nothing to do or did not finish."""
    text = log.read_text(encoding="utf-8", errors="replace")
    date = re.search(r"^ *Date: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$", text, re.M)
    cores = re.search(r"^Provided cores: (\d+)$", text, re.M)
    elapsed = re.search(r"^Elapsed time: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)$", text, re.M)
    if not (date and cores and elapsed):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
    duration = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return _Span(datetime.fromisoformat(date[1]).astimezone(), duration, int(cores[1]))
