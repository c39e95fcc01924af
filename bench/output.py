"""Output of a benchmark: a CSV file, and a plot with a panel per comparison and a bar per variant."""

import csv
import importlib.util
from collections.abc import Sequence
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.common import Row, in_words
from sgenet.runtime.files import atomic_path

RESULTS = Path("bench/results")
_COLUMNS = ("what", "variant", "median_seconds", "lower_quartile", "upper_quartile",
            "over_first_lower_quartile", "over_first", "over_first_upper_quartile",
            "processor_seconds", "processor_over_first_lower_quartile", "processor_over_first",
            "processor_over_first_upper_quartile")  # fmt: skip
_SHADES = 64  # of a plot, so that git holds small files
_COLORS = ("#8c8c8c", "#1b6ca8", "#d98c21", "#4f9d4f", "#a04f8c")  # the first is that of the baseline


def write(
    name: str,
    rows: Sequence[Row],
    title: str,
    *,
    device: str,
    packages: Sequence[str],
    columns: int = 1,
    finished: bool = True,
) -> Path:
    """Write rows and, with matplotlib, their plot to bench/results/; returns the path of the CSV file.

    Args:
        name: of the benchmark.
        rows: rows with the same `what` form a panel.
        title: of the plot.
        device: result of `device_name`.
        packages: their versions are part of the file names.
        columns: number of columns of panels in the plot.
        finished: whether these are all rows; otherwise there is no plot yet.

    Raises:
        InputError: a file cannot be written.
    """
    versions = [f"{package}{metadata.version(package).partition('+')[0]}" for package in packages]
    path = RESULTS / f"{'-'.join([name, device, *versions])}.csv"
    extra = list(dict.fromkeys(key for row in rows for key in row.values))
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *extra, "note"])
        for row in rows:
            ratios, processor = row.ratios or (None,) * 3, row.processor or (None,) * 4
            numbers = [row.seconds, row.low, row.high, *ratios, *processor, *(row.values.get(key) for key in extra)]
            writer.writerow([row.what, row.variant, *("" if n is None else f"{n:.5g}" for n in numbers), row.note])
    if not finished:
        return path
    if importlib.util.find_spec("matplotlib") is None:
        print(f"written to {path}; no plot, since matplotlib is not installed", flush=True)
        return path
    picture = Path(f"{path.with_suffix('')}.png")
    with atomic_path(picture) as temporary:
        _draw(rows, temporary, f"{title}\n{device}, {', '.join(versions)}", columns)
    print(f"written to {path} and {picture.name}", flush=True)
    return path


def _draw(rows: Sequence[Row], path: Path, title: str, columns: int) -> None:
    from matplotlib.figure import Figure
    from PIL import Image

    panels = {what: [row for row in rows if row.what == what] for what in dict.fromkeys(row.what for row in rows)}
    counts = list(map(len, panels.values()))
    heights = [1.5 + max(counts[start : start + columns]) for start in range(0, len(counts), columns)]  # in bars
    figure = Figure((max(9.0, 5.8 * columns), 0.8 + 0.24 * sum(heights)), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).ravel()
    for axis, (what, shown) in zip(axes, panels.items(), strict=False):
        _draw_panel(axis, what, shown)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(_SHADES).save(path, format="png", optimize=True)


def _draw_panel(axis: Any, what: str, rows: list[Row]) -> None:
    top = max((row.high for row in rows if row.high), default=1.0)
    for place, row in enumerate(rows):
        if row.seconds is None or row.low is None or row.high is None:
            axis.text(0.01 * top, place, row.note, va="center", fontsize=7)
            continue
        spread = [[row.seconds - row.low], [row.high - row.seconds]]
        color = _COLORS[place % len(_COLORS)]
        axis.barh(place, row.seconds, xerr=spread, height=0.7, color=color, error_kw={"lw": 1, "capsize": 2})
        text = "   ".join(filter(None, [f"{in_words(row.seconds)}  {row.ratio:.2f}×", row.label]))
        axis.text(row.high + 0.03 * top, place, text, va="center", fontsize=7)
    axis.set_yticks(range(len(rows)), [row.variant for row in rows], fontsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1.9 * top)  # room for the text
    axis.set_xticks([])
    axis.set_title(what, fontsize=8, loc="left", pad=3)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
