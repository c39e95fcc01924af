"""The commit that a result names: it contains the code, and `+` says that the code differs from it."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from sgenet.provenance import origin
from sgenet.provenance.origin import commit

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@localhost")


def git(folder, *arguments):
    command = ["git", *IDENTITY, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def of(monkeypatch):
    """A function that returns the commit of a package in a folder."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def of(folder):
        monkeypatch.setattr(origin, "ROOT", folder / "src/sgenet")
        return commit.__wrapped__()

    return of


@pytest.fixture
def repository(tmp_path):
    """A git repository with a package, parameters, and a tracked dvc.lock."""
    folder = tmp_path / "repository"
    for name in ("src/sgenet/__init__.py", "src/sgenet/report/templates/page.html", "params/a.yaml", "dvc.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("first\n")
    (folder / ".gitignore").write_text("data\n__pycache__\n")
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def head(folder):
    return git(folder, "rev-parse", "HEAD")


def test_it_is_the_commit_of_the_code_wherever_the_working_folder_is(repository, of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = head(repository)
    assert re.fullmatch(r"[0-9a-f]{40}", expected) and of(repository) == expected
    other = tmp_path / "other"
    git(tmp_path, "init", "--quiet", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in a hook of the other repository
    monkeypatch.chdir(other)
    assert of(repository) == expected


@pytest.mark.parametrize("name", ["src/sgenet/__init__.py", "src/sgenet/report/templates/page.html", "params/a.yaml"])
@pytest.mark.parametrize("staged", [False, True])
def test_a_modified_file_that_is_tracked_adds_a_plus(repository, of, name, staged):
    (repository / name).write_text("second\n")
    if staged:
        git(repository, "add", "--all")
    assert of(repository) == head(repository) + "+"


@pytest.mark.parametrize("name", ["sge.py", "new/sge.py", "data/ignored.py", "report/templates/new.html"])
def test_source_that_is_not_tracked_adds_a_plus(repository, of, name):
    file = repository / "src/sgenet" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("new\n")
    assert of(repository) == head(repository) + "+"


def test_what_is_no_source_adds_no_plus(repository, of):
    (repository / "dvc.lock").write_text("second\n")
    (repository / "notes.py").write_text("not of the package\n")
    (repository / "src/sgenet/__pycache__").mkdir()
    (repository / "src/sgenet/__pycache__/sge.pyc").write_text("compiled\n")
    assert of(repository) == head(repository)


def test_a_modification_that_git_was_asked_to_ignore_adds_a_plus(repository, of):
    git(repository, "update-index", "--assume-unchanged", "src/sgenet/__init__.py")
    (repository / "src/sgenet/__init__.py").write_text("second\n")
    assert of(repository) == head(repository) + "+"


@pytest.mark.parametrize("ignored_children", [False, True], ids=["", "SIGCHLD ignored"])
@pytest.mark.parametrize("place", ["in no repository", "in another repository", "staged there", "in an empty one"])
def test_code_that_is_in_no_commit_has_none(repository, of, tmp_path, place, ignored_children):
    around = tmp_path / "around"
    if place == "in an empty one":
        git(tmp_path, "init", "--quiet", str(around))
    elif place != "in no repository":
        shutil.copytree(repository, around)
        git(around, "rm", "--quiet", "-r", "src")
        git(around, "commit", "--quiet", "-m", "no code")
    shutil.copytree(repository / "src", around / "src")
    if place == "staged there":
        git(around, "add", "--all")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if ignored_children else signal.SIG_DFL)
    try:
        assert of(around) is None
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("broken", ["status", "ls-tree", "ls-files"])
def test_a_git_that_fails_confirms_nothing(repository, of, tmp_path, monkeypatch, broken):
    """In a process that ignores SIGCHLD, as the fork server does, a failure has exit status 0."""
    expected = head(repository) + "+" if broken == "ls-files" else None
    real = shutil.which("git")
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ "$2" = {broken} ] && exit 0\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    assert of(repository) == expected


def test_without_git_there_is_none(repository, of, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert of(repository) is None


def test_shallow_clones_and_worktrees_have_their_commit(repository, of, tmp_path):
    (repository / "params/a.yaml").write_text("second\n")
    git(repository, "commit", "--quiet", "--all", "-m", "second")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    assert git(tmp_path / "shallow", "rev-list", "--count", "HEAD") == "1"
    assert of(tmp_path / "shallow") == head(repository)
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), "HEAD~1")
    assert of(tmp_path / "tree") == head(tmp_path / "tree") != head(repository)
    (tmp_path / "tree/src/sgenet/__init__.py").write_text("third\n")
    assert of(tmp_path / "tree") == head(tmp_path / "tree") + "+"
    assert of(repository) == head(repository)


def test_the_folder_is_that_of_this_package():
    assert (origin.ROOT / "provenance/origin.py").samefile(Path(origin.__file__))
