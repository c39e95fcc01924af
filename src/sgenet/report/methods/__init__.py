"""Methods and deviations, and how to go further: what templates/methods.html shows."""

from collections.abc import Iterator
from dataclasses import dataclass

from sgenet.config.replication import Replication
from sgenet.errors import InputError
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement import Judged
from sgenet.judgement.cells import CellTable
from sgenet.judgement.settings import Comparison, compare
from sgenet.judgement.values import flatten, plain
from sgenet.report.methods.deviations import deviations
from sgenet.report.methods.further import Step, next_steps


@dataclass(frozen=True)
class Audit:
    """How many values that the README prints repeat their training log's best epoch, and which rows do not."""

    table: str
    equal: int
    audited: int
    others: tuple[str, ...]


@dataclass(frozen=True)
class Methods:
    """What templates/methods.html shows.

    `own` are rows with settings of their own, at every scale: run and settings. `problem` is why there are no
    comparisons, in a sentence.
    """

    comparisons: tuple[Comparison, ...]
    own: tuple[tuple[str, str], ...]
    deviations: tuple[str, ...]
    audit: Audit | None
    steps: tuple[Step, ...]
    problem: str | None = None

    @property
    def differing(self) -> int:
        """How many settings of the recipe are others than the paper's, and sources of data."""
        return sum(
            setting.differs is True and (setting.recipe or setting.label == "Data")
            for comparison in self.comparisons
            for setting in comparison.settings
        )


def describe(judged: Judged) -> Methods:
    """Compare with the paper, and state what could come next; never raises for bad input."""
    comparisons: tuple[Comparison, ...] = ()
    problem = None
    try:
        comparisons = tuple(compare(judged))
    except InputError as error:
        problem = str(error)
    return Methods(
        comparisons=comparisons,
        own=tuple(_own_settings(judged.replication)),
        deviations=tuple(deviations(judged)),
        audit=next(filter(None, map(_audit, judged.tables)), None),
        steps=tuple(next_steps(judged.replication, judged.found)),
        problem=problem,
    )


def _own_settings(replication: Replication) -> Iterator[tuple[str, str]]:
    """Runs whose rows have settings of their own, which count at every scale, with those settings."""
    found = {}
    for table in replication.tables:
        for row in table.rows:
            if row.settings and table.task.trained:
                settings = flatten(row.settings)
                found[table.run_id(row)] = "; ".join(f"{key}: {plain(value)}" for key, value in settings)
    yield from found.items()


def _audit(table: CellTable) -> Audit | None:
    """The author-log audit, where this is its table."""
    cells = [(row.row.label, cell.verdict) for row in table.rows for cell in row.cells if cell.column.audits]
    equal = [label for label, verdict in cells if verdict is Verdict.EXACT]
    others = [label for label, verdict in cells if verdict in (Verdict.EXPLAINED, Verdict.DIFFERS)]
    return Audit(table.table.id, len(equal), len(equal) + len(others), tuple(others)) if equal or others else None
