"""The source at the commit: the files that git tracks, as they are in the working folder."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sgenet.errors import InputError

PARAMS = "params/"
_LEFT_OUT = "reports/published/"  # other replications
_CHANGES = "dvc.lock"  # which `dvc repro` rewrites, whatever is committed
_EXECUTABLE, _FILES = "100755", ("100644", "100755")


@dataclass(frozen=True)
class Source:
    """The files of a checkout, by path: whether each is executable; the commit and its date in ISO 8601."""

    files: dict[str, bool]
    commit: str
    date: str


def read_source() -> Source:
    """Return what git tracks in the working folder, and every file of params/.

    Raises:
        InputError: there is no commit, a tracked file outside params/ is modified, or source is not tracked.
    """
    commit, _, date = _git("log", "-1", "--format=%H %cI").strip().partition(" ")
    changed = [name for name in _names("diff", "--name-only", "--relative", "-z", "HEAD") if not _may_change(name)]
    untracked = _names("ls-files", "-z", "--others", "--exclude-standard", "--", "src", "workflow", "Snakefile")
    for what, names in (("modified", changed), ("not tracked by git", untracked)):
        if names:
            raise InputError(f"{names[0]}: is {what}, expected as in commit {commit[:7]}; commit it first")
    files = {}
    for line in _names("ls-tree", "-r", "-z", "HEAD"):
        mode, _, rest = line.partition(" ")
        name = rest.partition("\t")[2]
        if mode in _FILES and not name.startswith(_LEFT_OUT) and Path(name).is_file():
            files[name] = mode == _EXECUTABLE
    for name in _names("ls-files", "-z", "--others", "--exclude-standard", "--", PARAMS):
        files[name] = False
    return Source(files, commit, date)


def _may_change(name: str) -> bool:
    return name.startswith(PARAMS) or name == _CHANGES


def _names(*arguments: str) -> list[str]:
    return [name for name in _git(*arguments).split("\0") if name]


def _git(*arguments: str) -> str:
    """What git prints about the working folder; InputError where it ends with an error."""
    expected = "expected a git repository with a commit, whose source can be archived"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="surrogateescape",
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"git: cannot be run ({error.strerror}), {expected}") from None
    if done.returncode:
        found = next(iter(done.stderr.splitlines()), "no commit")
        raise InputError(f"{os.curdir}: found no commit ({found.removeprefix('fatal: ')}), {expected}")
    return done.stdout
