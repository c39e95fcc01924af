"""Users as in containers: without a name, and without a home that can be written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgenet.runtime import user

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CACHE_HOME", "MPLCONFIGDIR")


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A function that returns the sentences and the variables that were set, of a user with a name and a home."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "a-name")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run():
        before = dict(os.environ)
        sentences = user.stand_in.__wrapped__()
        added = {name: value for name, value in os.environ.items() if before.get(name) != value}
        for name in added:  # so that monkeypatch restores them
            monkeypatch.setenv(name, added[name])
        return sentences, added

    return run


@pytest.fixture
def nameless(monkeypatch):
    """The user id is not in the system's list of users."""

    def getpwuid(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr("pwd.getpwuid", getpwuid)


def test_a_user_with_a_name_and_a_home_needs_nothing(stand_in):
    assert stand_in() == ([], {})


def test_a_user_without_a_name_is_named_by_the_number(stand_in, nameless):
    (sentence,), added = stand_in()
    assert added == {"USER": str(os.getuid())}
    assert sentence.startswith(f"user id {os.getuid()} has no name") and "USER" in sentence


@pytest.mark.parametrize("home", ["/dev/null/home", "/dev/null"])
def test_caches_of_a_user_without_a_home_are_in_a_private_folder(stand_in, tmp_path, monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    (sentence,), added = stand_in()
    folder = tmp_path / f"sgenet-cache-{os.getuid()}"
    assert added == {"XDG_CACHE_HOME": str(folder), "MPLCONFIGDIR": str(folder / "matplotlib")}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert f"caches are in {folder}" in sentence
    assert stand_in() == ([], {})  # a process that was started by this one


def test_a_home_that_cannot_be_written_to_counts_as_none(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "home")  # root may write anywhere
    (sentence,), added = stand_in()
    assert added["XDG_CACHE_HOME"].startswith(str(tmp_path / "sgenet-cache-"))
    assert f"{tmp_path / 'home/.cache'} cannot be written" in sentence


def test_without_a_home_and_a_name_no_folder_is_called_tilde(stand_in, nameless, tmp_path, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.chdir(tmp_path)
    sentences, added = stand_in()
    assert len(sentences) == 2 and added.keys() == {"USER", "XDG_CACHE_HOME", "MPLCONFIGDIR"}
    assert not user.has_home()
    monkeypatch.setenv("HOME", "/dev/null/home")
    assert user.has_home()


def test_a_folder_in_which_others_could_put_files_is_not_used(stand_in, tmp_path, monkeypatch):
    folder = tmp_path / f"sgenet-cache-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("HOME", "/dev/null/home")
    used = stand_in()[1]["XDG_CACHE_HOME"]
    assert used != str(folder) and Path(used).stat().st_mode & 0o777 == 0o700


def test_the_folder_of_caches_may_be_chosen(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "chosen/deep"))
    assert stand_in() == ([], {})


@pytest.mark.parametrize("command", ["sgenet doctor", "snakemake --dry-run --quiet all"])
def test_commands_work_for_a_user_without_a_name_and_a_home(project, tmp_path, command):
    """Here the system is made to know no names; tests may not change their user id."""
    root = Path(__file__).parents[2]
    (tmp_path / "profiles").symlink_to(root / "profiles")
    program, *arguments = command.split()
    module = {"sgenet": "sgenet.cli", "snakemake": "snakemake.cli"}[program]
    code = f"""if True:
        import pwd, sys
        def getpwuid(number):
            raise KeyError(number)
        pwd.getpwuid = getpwuid
        from {module} import main
        sys.argv = sys.argv[1:]
        sys.exit(main())"""
    environment = {name: value for name, value in os.environ.items() if name not in (*NAMES, "HOME")}
    environment |= {"HOME": "/dev/null/home", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, program, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    if program == "sgenet":
        assert "user       user id" in done.stdout and "XDG_CACHE_HOME" in done.stdout
