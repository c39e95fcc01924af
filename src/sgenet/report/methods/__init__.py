"""Methods and deviations, and how to go further: what templates/methods.html shows."""

from dataclasses import dataclass

from sgenet.errors import InputError
from sgenet.judgement import Judged
from sgenet.judgement.settings import Comparison, compare
from sgenet.report.methods.deviations import deviations
from sgenet.report.methods.further import Step, next_steps


@dataclass(frozen=True)
class Methods:
    """What templates/methods.html shows; `problem` is why there are no comparisons, in a sentence."""

    comparisons: tuple[Comparison, ...]
    deviations: tuple[str, ...]
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
        deviations=tuple(deviations(judged)),
        steps=tuple(next_steps(judged.replication, judged.found)),
        problem=problem,
    )
