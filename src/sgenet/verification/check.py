"""What a check of a replication found."""

from dataclasses import dataclass, field


@dataclass
class Check:
    """One check: what it is about, how much was checked, what deviates, and what could not be checked.

    Deviations and `unchecked` are sentences; a deviation names the file, what was found and what was expected.
    """

    name: str
    checked: str = ""
    deviations: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def deviate(self, place: object, found: object, expected: object) -> None:
        """Add a deviation."""
        self.deviations.append(f"{place}: found {found}, expected {expected}")

    def __str__(self) -> str:
        count = len(self.deviations)
        result = f"{count} deviation{'s' if count > 1 else ''}" if count else "no deviations"
        lines = [f"{self.name}: {self.checked}; {result}", *(f"  deviation: {each}" for each in self.deviations)]
        return "\n".join([*lines, *(f"  not checked: {each}" for each in self.unchecked)])
