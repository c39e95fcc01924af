"""The one environment: lock, pyproject, conda and Makefile say the same."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

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
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
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
