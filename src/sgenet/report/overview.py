"""The first screen: the result in sentences, the counts of cells, and where and when it was computed."""

from dataclasses import dataclass

from sgenet.config.replication import Replication
from sgenet.config.seeds import number_range
from sgenet.evaluation.verdicts import COUNTS, DIRECTIONS, SIZES, Verdict, count_verdicts
from sgenet.judgement import Judged
from sgenet.judgement.cells import Cell
from sgenet.judgement.main_gains import MainGains
from sgenet.judgement.results import Found
from sgenet.report.formats import interval, signed


@dataclass(frozen=True)
class Overview:
    """The first screen. `seconds` is computing time, summed over the runs; `newest` the last one's end.

    `sentences` are the result in words, `chance` is how many gains would exclude zero by chance. `failed` counts
    trainings without a usable result, `failed_steps` whatever ended with an error.
    """

    sentences: list[str]
    chance: str
    counts: list[tuple[Verdict, int]]
    trainings: tuple[int, int]  # finished, asked for
    failed: int
    failed_steps: int
    devices: list[str]
    seconds: float
    newest: str | None


def overview(judged: Judged) -> Overview:
    """Sum up what was found."""
    replication, found = judged.replication, judged.found
    origins = [
        step
        for run in found.runs.values()
        for result in run.by_seed.values()
        for step in (result.origin.train, result.origin.evaluate)
    ]
    ends = [origin.finished for origin in origins if origin.finished]
    runs = list(found.runs.values())
    cells = [cell for table in judged.tables for cell in table.cells if not cell.column.timed and cell.applicable]
    trainings = sum(len(run.by_seed) for run in runs), sum(len(replication.seeds(run.id)) for run in runs)
    failed = sum(bool(why.failure or (why.problem and not why.outdated)) for run in runs for why in run.absent.values())
    sentences = [_of_trainings(*trainings, failed), _of_counts(cells), _of_gains(judged.scale, judged.main)]
    sentences.append(_of_expected(replication, found))
    return Overview(
        sentences=[sentence for sentence in sentences if sentence],
        chance=_of_chance(judged),
        counts=count_verdicts(cell.verdict for cell in cells),
        trainings=trainings,
        failed=failed,
        failed_steps=sum(len(run.failures) for run in runs) + len(found.failures),
        devices=sorted({origin.device for origin in origins if origin.device}),
        seconds=sum(origin.seconds or 0 for origin in origins),
        newest=max(ends, default=None),
    )


def spread(cells: list[Cell]) -> list[str]:
    """What the intervals of these cells cover, in sentences."""
    trainings = sorted({len(cell.seeds) for cell in cells if cell.seeds})
    if not trainings:
        return []
    sentences = [
        "One training of each row; the interval of an accuracy is for the sampling error of the images."
        if trainings == [1]
        else f"Values are means over {number_range(trainings)} trainings of each row, with intervals over trainings."
    ]
    gains = [cell.gain for cell in cells if cell.gain]
    if degrees := [gain.df for gain in gains if gain.df is not None]:
        sentences.append(
            "The interval of a gain is for the expected gain over trainings, on these validation images. The variance "
            "of a training is estimated from all rows of a column "
            f"({number_range(round(df) for df in degrees)} degrees of freedom)."
        )
    if any(gain.low is None for gain in gains):
        sentences.append("A gain over fewer than three trainings has no interval over trainings, and is not judged.")
    return sentences


def _of_trainings(finished: int, asked: int, failed: int) -> str:
    if not asked:
        return ""
    if finished == asked:
        return f"All {asked} trainings ran." if asked > 1 else "The training ran."
    return f"{finished} of {asked} trainings ran{f', {failed} failed' if failed else ''}."


def _of_counts(cells: list[Cell]) -> str:
    """How many published counts are met; a count that several tables print is one."""
    found: dict[tuple[object, ...], Verdict] = {}
    for cell in cells:
        if cell.column.static and cell.verdict in COUNTS and cell.published and cell.origin:
            counted = cell.origin["model"], tuple(cell.origin["input"] or ()), cell.origin["part"]
            found[*counted, cell.column.id, cell.value, cell.published.value] = cell.verdict
    if not found:
        return ""
    numbers = {verdict: list(found.values()).count(verdict) for verdict in COUNTS}
    text = f"{numbers[Verdict.EXACT]} of {len(found)} published counts of parameters and operations are equal"
    if explained := numbers[Verdict.EXPLAINED]:
        text += f", {explained} {'differ' if explained > 1 else 'differs'} for a known reason"
    if differs := numbers[Verdict.DIFFERS]:
        text += f", {differs} {'differ' if differs > 1 else 'differs'}"
    return f"{text}."


def _of_gains(scale: str, main: MainGains) -> str:
    """The one number: how much of the published gains is reproduced, or below scale `paper` the first gain."""
    if not main.gains:
        return f"No gain of SGE was measured yet at scale {scale}."
    if main.ratio:
        bounds = "" if main.ratio.low is None else f" [{main.ratio.low:.2f}, {main.ratio.high:.2f}]"
        text = f"SGE’s published gains are reproduced at {main.ratio.value:.2f}{bounds} of their size"
        many, open_ = "s" * (main.ratio.gains > 1), "" if bounds else "; too few trainings for an interval"
        return f"{text}, over {main.ratio.gains} gain{many}{open_}."
    label, cell = main.gains[0].label, main.gains[0].cell
    gain, digits = cell.gain, min(cell.column.digits, 1)
    assert gain is not None
    value, each = (
        f"{label} {signed(gain.value, digits)} {cell.column.label}",
        f"over {gain.seeds} trainings of each row",
    )
    if gain.low is None or gain.high is None:
        trainings = f"{gain.seeds} training{'s' * (gain.seeds > 1)} of each row"
        return f"Whether SGE helps is not judged, with {trainings}: {value}."
    value += f" {interval((gain.low, gain.high), digits, sign=True)}"
    if gain.direction == "undecided":
        return f"Whether SGE helps is not decided at this scale: {value}, {each}."
    return f"At this scale SGE {'helps' if gain.direction == 'higher' else 'does not help'}: {value}, {each}."


def _of_chance(judged: Judged) -> str:
    """How many findings are expected by chance alone; a gain that several tables show is one."""
    gains = set()
    for table in judged.tables:
        runs = {row.row.label: row.run for row in table.rows}
        for row in table.rows:
            for cell in row.cells:
                if cell.verdict in (*SIZES, *DIRECTIONS) and cell.baseline:
                    gains.add((row.run, runs[cell.baseline], cell.column.id))
    n, expected = len(gains), len(gains) * (1 - judged.confidence)
    if expected < 0.5:
        return ""
    return (
        f"{n} different gains of rows over their baselines are judged; if no module helped, the intervals of about "
        f"{expected:.0f} would exclude zero by chance."
    )


def _of_expected(replication: Replication, found: Found) -> str:
    """Whether values are what the scale's file expects: within three standard deviations of a repetition."""
    values, unexpected = 0, []
    for run_id, metrics in replication.scale.expected.items():
        run = found.runs.get(run_id)
        for metric, expected in metrics.items():
            if run and (value := run.mean(metric)) is not None:
                values += 1
                if abs(value - expected.mean) > 3 * expected.sd:
                    unexpected.append(f"{run_id} {metric} {value:.1f}, expected {expected.mean:g} ± {expected.sd:g}")
    if not values:
        return ""
    where = f"params/scales/{replication.scale_name}.yaml"
    if not unexpected:
        return f"The run is as expected: {values} of {values} values are within three standard deviations of {where}."
    which = "; ".join(unexpected)
    return f"The run is not as expected: {len(unexpected)} of {values} values differ from {where}: {which}."
