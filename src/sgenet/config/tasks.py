"""The tasks: what a table's rows train, and what a run of each leaves."""

from enum import StrEnum

BEST, LAST = "best.safetensors", "last.safetensors"


class Task(StrEnum):
    """A task. In a table of complexity nothing is trained; its rows name models."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    COMPLEXITY = "complexity"

    @property
    def trained(self) -> bool:
        """Whether runs of this task are trained."""
        return self is not Task.COMPLEXITY

    @property
    def validated(self) -> bool:
        """Whether each epoch is validated, and the best one is kept next to the last."""
        return self is Task.CLASSIFICATION

    @property
    def weights(self) -> tuple[str, ...]:
        """The files of weights that a training leaves."""
        return (BEST, LAST) if self.validated else (LAST,)

    @property
    def headline(self) -> str:
        """The metric that is compared first."""
        return "top1" if self is Task.CLASSIFICATION else "ap"

    @property
    def recipe(self) -> "Task":
        """The task whose recipe gives the settings: the models of a table of complexity are classifiers."""
        return Task.CLASSIFICATION if self is Task.COMPLEXITY else self


TASKS = tuple(task for task in Task if task.trained)
