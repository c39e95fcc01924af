"""Commands of the environment, as the benchmarks start them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from sgenet.errors import InputError


def command(name: str, *arguments: str) -> list[str]:
    """Return a command of this environment and its arguments."""
    return [str(Path(sys.executable).with_name(name)), *arguments]


def run(words: list[str], folder: Path) -> None:
    """Run a command in a folder; if it fails, InputError with the last line of its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SGENET_")}
    done = subprocess.run(
        words, cwd=folder, env={**environment, "WANDB_MODE": "disabled"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stdout.strip().rpartition("\n")[2]
        raise InputError(
            f"bench pipeline: `{shlex.join(words)}`: found exit status {done.returncode} ({last}), expected 0"
        )
