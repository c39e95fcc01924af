"""The pipeline without its trainings: start-up, planning by Snakemake and DVC, and evaluation of detections."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.commands import command, run
from bench.common import Row, device_name, row, take_turns
from bench.evaluation import evaluation
from bench.output import write
from bench.records import share_of_demo
from sgenet.config.params import load_pipeline
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.runtime.files import write_json

TURNS = 3
SEEDS = (1, 3, 24)  # of dry runs: 42, 126 and 1,008 runs of all tables
TABLES: list[str] | None = None  # of the replication; None: as in params/pipeline.yaml
IMAGES = 5000  # of the evaluations


def bench() -> None:
    """Measure on the CPU, in a copy of the project in the working folder, and write the results.

    Raises:
        InputError: the working folder is not a checkout, or a command fails.
    """
    if not Path("Snakefile").is_file():
        raise InputError("Snakefile: missing, expected the repository's root as working folder")
    rows = [*share_of_demo(), *_start(), *_workflow(), *evaluation(IMAGES, TURNS)]
    title = "the pipeline: seconds, ratio to the first"
    packages = ["torch", "snakemake", "dvc", "pycocotools"]
    write("pipeline", rows, title, device=device_name("cpu"), packages=packages)


def _start() -> list[Row]:
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "sgenet --help": command("sgenet", "--help")}
    seconds = take_turns({name: partial(run, words, Path()) for name, words in commands.items()}, 3 * TURNS)
    return [row("start-up", name, seconds) for name in seconds]


def _workflow() -> list[Row]:
    """Dry runs for increasing numbers of seeds, and both entry points with nothing to do, at scale `smoke`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        _copy_project(copy)
        snakemake = command("snakemake", "--cores", "all")
        print("running a replication at scale smoke, for the measurements that follow", flush=True)
        run(snakemake, copy)
        run(command("dvc", "commit", "--force", "--quiet"), copy)  # dvc.lock, as after a first `dvc repro`
        runs = len(load_replication("smoke", 1, TABLES).runs)
        dry = {
            f"{runs * seeds} runs": partial(run, [*snakemake, "--dry-run", "--config", f"seeds={seeds}"], copy)
            for seeds in SEEDS
        }
        entry_points = {
            "snakemake": partial(run, snakemake, copy),
            "dvc repro": partial(run, command("dvc", "repro"), copy),
        }
        rows = []
        for what, variants in (("snakemake --dry-run", dry), (f"nothing to do, {runs} runs", entry_points)):
            seconds = take_turns(variants, TURNS, warm=False)
            rows += [row(what, name, seconds) for name in seconds]
        return rows


def _copy_project(folder: Path) -> None:
    """Copy the checkout to a new git repository, without generated files, at scale `smoke` with one seed."""
    listing = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(listing, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if listed.returncode:
        raise InputError("bench pipeline: found no git repository in the working folder, expected a checkout")
    for name in map(os.fsdecode, listed.stdout.split(b"\0")):
        if Path(name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    write_json(folder / "params/pipeline.yaml", load_pipeline("smoke", 1, TABLES).plain())  # JSON is YAML
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for step in (["init", "--quiet"], ["add", "--all"], [*author, "commit", "--quiet", "--message", "copy"]):
        run(["git", *step], folder)
