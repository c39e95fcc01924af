"""Check of the files of an archive: against its list of digests, and its source against the commit that it names."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

from sgenet.archive.read import check_sums
from sgenet.archive.write import SUMS
from sgenet.errors import InputError
from sgenet.provenance.code import ROOT
from sgenet.runtime.files import read_json
from sgenet.verification.check import Check

_METADATA = "ro-crate-metadata.json"
_RESULTS = ("results/", "reports/", "data/", "logs/")  # git may track some of them; an archive has them of one scale
_DEFINITIONS = ("params/tables/", "params/recipes/", "params/claims.yaml", "params/sources.yaml")
_OWN = (_METADATA, "README-ARCHIVE.md", SUMS)  # files of an archive that no commit has
_CHOSEN = ("params/pipeline.yaml", "params/scales/")  # what a replication chooses may differ from the commit


def check_archive(folder: Path, *, complete: bool) -> Check:
    """Check the files of an unpacked archive.

    Args:
        folder: of the archive.
        complete: whether files that the archive does not list deviate.
    """
    check = Check("archive")
    check.deviations += check_sums(folder, complete=complete)
    try:
        commit = _commit_of(folder)
    except InputError as error:
        check.deviations.append(str(error))
        return check
    check.checked = f"digests of all files, source and tables of commit {commit[:10]}"
    blobs = _blobs(commit, ROOT)
    if blobs is None:
        check.unchecked.append(f"the source against commit {commit[:10]}, which no checkout here has")
        return check
    for name, expected in sorted(blobs.items()):
        if name.startswith((*_RESULTS, *_CHOSEN)):
            if name.startswith(_CHOSEN) and (folder / name).is_file() and _blob(folder / name) != expected:
                check.unchecked.append(f"{name}: it is not as in the commit; it states what was chosen to run")
        elif not (folder / name).is_file():
            check.deviate(name, "no file", f"that of commit {commit[:10]}")
        elif _blob(folder / name) != expected:
            check.deviate(name, "other content", f"that of commit {commit[:10]}")
    for path in sorted(folder.rglob("*")) if complete else ():
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (*blobs, *_OWN) and not name.startswith((*_RESULTS, *_CHOSEN)):
            check.deviate(name, "a file", f"none, as in commit {commit[:10]}")
    return check


def check_definitions(folder: Path) -> Check:
    """Compare what defines the published values, rows and claims of a checkout with its last commit."""
    check, blobs = Check("definitions"), _blobs("HEAD", folder)
    if blobs is None or not any(name.startswith("params/tables/") for name in blobs):
        check.checked = "no commit of this folder"
        check.unchecked.append("published values and claims against a commit, which this folder has not")
        return check
    names = [name for name in blobs if name.startswith(_DEFINITIONS)]
    for name in names:
        if not (folder / name).is_file() or _blob(folder / name) != blobs[name]:
            check.deviate(name, "other content", "that of the last commit")
    check.checked = f"{len(names)} files with published values, rows, recipes and claims"
    return check


def _commit_of(folder: Path) -> str:
    """The commit that the metadata of an archive name as the version of its workflow."""
    metadata: Any = read_json(folder / _METADATA)
    try:
        (version,) = {
            entity["version"] for entity in metadata["@graph"] if "ComputationalWorkflow" in entity.get("@type", ())
        }
        if len(bytes.fromhex(version)) not in (20, 32):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        expected = "one workflow whose version is a commit"
        raise InputError(f"{_METADATA}: @graph: found no version of the workflow, expected {expected}") from None
    return str(version)


def _blobs(commit: str, folder: Path) -> dict[str, str] | None:
    """The digests of the files of a commit as git computes them, by path; None if `folder` does not have it."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "ls-tree", "-r", "-z", "--full-tree", commit],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="surrogateescape",
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        )  # fmt: skip
    except OSError:
        return None
    if done.returncode:
        return None
    lines = (line.partition("\t") for line in done.stdout.split("\0") if line)
    return {name: head.split()[2] for head, _, name in lines if head.startswith("100")}


def _blob(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
