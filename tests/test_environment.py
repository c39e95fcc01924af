"""The one environment: lock, pyproject, conda and Makefile say the same."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sgenet.cli import main

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", LOCK, re.MULTILINE))


def test_lock_pins_every_package_with_hashes_and_no_address():
    blocks = re.split(r"\n(?=\S)", LOCK)
    packages = [block for block in blocks if not block.startswith("#")]
    assert len(packages) > 100
    for block in packages:
        assert re.match(r"[a-z0-9._-]+==\S+", block), block
        assert "--hash=sha256:" in block, block
    assert "://" not in LOCK and "file:" not in LOCK and "--index" not in LOCK


def test_lock_satisfies_pyproject():
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
        if name == project["name"]:  # an extra that contains others
            continue
        assert PINS[name] in requirement.specifier, f"{requirement}: run make lock"


def test_conda_leads_to_the_same_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert all(isinstance(entry, str) for entry in conda["dependencies"])  # no pip section beside the lock
    versions = dict(entry.partition("=")[::2] for entry in conda["dependencies"])
    assert versions.keys() == {"python", "make", "git", "uv"}
    assert versions["python"] in SpecifierSet(PROJECT["project"]["requires-python"])
    makefile = (ROOT / "Makefile").read_text()
    assert f"$(filter {conda['name']},$(CONDA_DEFAULT_ENV))" in makefile
    assert "requirements.lock" in makefile


def test_there_is_one_version_number(capsys):
    number = PROJECT["project"]["version"]
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sgenet {number}\n"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == number
    assert f"## [{number}]" in (ROOT / "CHANGELOG.md").read_text()


def test_python_versions_are_the_same_everywhere():
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    makefile = (ROOT / "Makefile").read_text()
    (lowest, above), *_ = re.findall(r"\(3, (\d+)\) <= v < \(3, (\d+)\)", makefile)
    minors = range(int(lowest), int(above))
    assert [minor for minor in range(30) if f"3.{minor}" in allowed] == list(minors)
    assert f"3.{minors[0]} to 3.{minors[-1]} expected" in makefile
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    for job in ("test", "library"):
        assert jobs[job]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in minors]
    (torch,) = PROJECT["project"]["dependencies"]
    assert torch.replace(">=", "==") + ".0" in jobs["library"]["strategy"]["matrix"]["torch"]  # the oldest is tested


def make_in(folder, *arguments):
    """Run make in a copy of the Makefile; the environment's programs note what they are asked for."""
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("python", "uv"):
        program = folder / ".venv/bin" / name
        program.write_text(f'#!/bin/sh\necho {name} >> "{folder}/calls"\n')
        program.chmod(0o755)
    own = ("CONDA_DEFAULT_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in own}

    def run():
        done = subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        calls = folder / "calls"
        return done, calls.read_text().split() if calls.exists() else []

    return run


def test_in_a_path_with_a_space_the_environment_is_set_up_once(tmp_path):
    run = make_in(tmp_path / "a b", "setup")
    done, calls = run()
    assert done.returncode == 0, done.stderr
    assert calls == ["uv", "uv", "python"]
    _, again = run()
    assert again == calls
    os.utime(tmp_path / "a b/requirements.lock", (2**32, 2**32))
    _, again = run()
    assert again == calls + calls


def test_a_path_with_a_colon_is_refused(tmp_path):
    done, calls = make_in(tmp_path / "a:b", "setup")()
    assert done.returncode == 2
    assert calls == []
    assert re.fullmatch(r"Makefile:\d+: \*\*\* .*/a:b: found a colon in the path .*\.  Stop\.\n", done.stderr)
