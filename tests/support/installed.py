"""Environments in which Python finds only some of the installed packages, as where only an extra is installed."""

import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HIDE = """
import sys
from importlib.machinery import PathFinder
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden!r} else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def only(extras: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the variables of an environment with `sgenet`, these extras, and what they require.

    Args:
        extras: of `sgenet`; none for the library alone.
        folder: an empty one, for the module by which Python hides the other packages when it starts.
    """
    allowed = _closure("sgenet", frozenset(extras), set())
    hidden = {
        module
        for module, packages in packages_distributions().items()
        if allowed.isdisjoint(canonicalize_name(package) for package in packages)
    }
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    return {**os.environ, "PYTHONPATH": str(folder)}


def _closure(package: str, extras: frozenset[str], known: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Return a package and all that it requires."""
    package = canonicalize_name(package)
    if (package, extras) in known:
        return set()
    known.add((package, extras))
    try:
        requirements = [Requirement(text) for text in requires(package) or []]
    except PackageNotFoundError:  # of another platform
        return set()
    found: set[str] = {package}
    for requirement in requirements:
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= _closure(requirement.name, frozenset(requirement.extras), known)
    return found
