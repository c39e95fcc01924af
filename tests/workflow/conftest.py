"""A copy of the project, in which whole replications run at scale `smoke`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class Checkout:
    """A copy of the project with its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binaries = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "WANDB_MODE": "offline",
        }

    def __call__(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, output[-8000:]
        return output

    def edit(self, path: str, change) -> None:
        value = yaml.safe_load((self.folder / path).read_text())
        change(value)
        (self.folder / path).write_text(yaml.safe_dump(value))

    def jobs(self, output: str) -> dict[str, int]:
        """Jobs that Snakemake counts in its table, by rule."""
        return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", output, re.MULTILINE)}

    def nothing_to_do(self) -> None:
        assert "Nothing to be done" in self("snakemake", "--dry-run")
        assert "up to date" in self("dvc", "status")
        assert "Running stage" not in self("dvc", "repro")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout") / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    copy = Checkout(folder)
    copy("git", "init", "--quiet")
    copy("git", "add", "--all")
    copy("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "copy")
    copy.edit("params/pipeline.yaml", lambda value: value.update(scale="smoke"))
    return copy
