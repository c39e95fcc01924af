"""A copy of the project, in which whole replications run at scale `smoke`."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent  # python, snakemake, dvc, sgenet


TABLES = [
    *("imagenet", "coco-two-stage", "coco-retinanet", "ablation-groups", "ablation-init", "ablation-normalization"),
    *("author-logs", "complexity"),
]
# Another environment, which changes no result.
ELSEWHERE = {
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
    "PYTHONHASHSEED": "12345",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "OMP_DYNAMIC": "true",
}
# Files that tell how long something took, when, or on what, and digests of these; a history.csv is compared without its
# column of seconds.
TIMED = {"training.json", "timing.json", "latency.json", "index.html"}
TIMED |= {f"complexity.{kind}" for kind in ("csv", "md", "tex")}  # with the times of forward passes


def files_of(folder: Path) -> set[Path]:
    """What a replication makes, relative to the checkout."""
    found = (path for name in ("data", "results", "reports") for path in (folder / name).rglob("*"))
    return {path.relative_to(folder) for path in found if path.is_file()}


def content(path: Path) -> bytes | list[dict[str, str]]:
    """What must be the same of a file."""
    if path.name != "history.csv":
        return path.read_bytes()
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


class Checkout:
    """A copy of the project with its commands."""

    def __init__(self, folder: Path, binaries: Path = BINARIES) -> None:
        self.folder = folder
        self.binaries = binaries
        self.environment = {
            **os.environ,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "WANDB_MODE": "disabled",
        }

    def __call__(self, *command: str, status: int = 0) -> str:
        """Run a command that must end with `status`; returns what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, output[-8000:]
        return output

    def edit(self, path: str, change: Callable[[Any], object]) -> None:
        """Load a YAML file, let `change` alter it, write it back."""
        value = yaml.safe_load((self.folder / path).read_text())
        change(value)
        (self.folder / path).write_text(yaml.safe_dump(value, sort_keys=False))  # results hold settings in their order

    def use_dvc(self) -> None:
        """Leave a dvc.lock without stages: Snakemake keeps one up to date where it exists."""
        (self.folder / "dvc.lock").write_text("schema: '2.0'\n")

    def jobs(self, output: str) -> dict[str, int]:
        """Jobs that Snakemake counts in its table, by rule."""
        return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", output, re.MULTILINE)}

    def nothing_to_do(self) -> None:
        """Check that both entry points find everything up to date."""
        assert "Nothing to be done" in self("snakemake", "--dry-run")
        output = self("dvc", "repro")
        assert "Running stage" not in output and "Data and pipelines are up to date" in output, output[-8000:]

    def check_complete(self, runs: dict[str, int]) -> None:
        """Check that so many runs of each task were evaluated, and that the report shows them in every table."""
        results, report = self.folder / "results/smoke", self.folder / "reports/smoke"
        for task, count in runs.items():
            evaluated = sorted((results / "evaluation" / task).rglob("seed-0/metrics.json"))
            assert len(evaluated) == count
            for path in evaluated:
                origin = json.loads(path.read_text())["origin"]["train"]
                run = path.parents[1].relative_to(results / "evaluation")
                assert origin["command"] == f"sgenet train {run} --scale smoke --seed 0"
                assert len(origin["versions"]) > 5
        comparison = json.loads((report / "comparison.json").read_text())
        assert [table["id"] for table in comparison["tables"]] == TABLES
        cells = [cell for t in comparison["tables"] for row in t["rows"] for cell in row["cells"].items()]
        unmeasured = {"not defined on these images", "this detector has no such value"}
        printed = [column for column, cell in cells if not cell["reproduced"] and cell["reason"] not in unmeasured]
        assert set(printed) <= {"readme_top1"}
        assert "<html" in (report / "index.html").read_text()

    def choose_rows(self) -> None:
        """Keep every kind of step: of each table the first row and those that a claim names, with their baselines.

        What is claimed of networks of 101 layers is left out.
        """
        path = self.folder / "params/claims.yaml"
        asked = yaml.safe_load(path.read_text())
        asked["main_gains"] = [main for main in asked["main_gains"] if "101" not in main["row"]]
        claims = asked["claims"] = [claim for claim in asked["claims"] if claim["id"] != "C7"]
        path.write_text(yaml.safe_dump(asked))
        named = [own for claim in claims for condition in claim["conditions"] for own in condition.values()]
        for path in (self.folder / "params/tables").glob("*.yaml"):
            of = [own for own in named if own.get("table") == path.stem]
            labels = {label for own in of for label in (own.get("row"), own.get("over"), *own.get("rows", []))}
            value = yaml.safe_load(path.read_text())
            labels |= {value["rows"][0]["label"]}
            labels |= {row.get("baseline") for row in value["rows"] if row["label"] in labels}
            value["rows"] = [row for row in value["rows"] if row["label"] in labels]
            path.write_text(yaml.safe_dump(value))

    def choose_one_detector(self) -> None:
        """Replicate a table with one detector, which starts from one classifier."""
        table = self.folder / "params/tables/coco-retinanet.yaml"
        shutil.copy(table, table.with_name("one.yaml"))
        self.edit("params/tables/one.yaml", lambda value: value.update(rows=value["rows"][:1]))
        self.edit("params/pipeline.yaml", lambda value: value.update(tables=["one"]))

    @staticmethod
    def same_results(first: Path, second: Path) -> None:
        """Two checkouts hold the same data, results and report: the same files, the same bytes but for times."""
        mine, other = files_of(first), files_of(second)
        assert mine and mine == other, f"in one checkout alone: {sorted(map(str, mine ^ other))}"
        compared = {path for path in mine if path.name not in TIMED}
        differing = [str(path) for path in sorted(compared) if content(first / path) != content(second / path)]
        assert not differing, f"different: {differing}"


def make_checkout(folder: Path, binaries: Path = BINARIES) -> Checkout:
    """Copy the project's files to `folder`, commit them there, and choose scale `smoke`."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    copy = Checkout(folder, binaries)
    copy.use_dvc()
    copy("git", "init", "--quiet")
    copy("git", "add", "--all")
    copy("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "copy")
    copy.edit("params/pipeline.yaml", lambda value: value.update(scale="smoke"))
    copy.edit("params/pipeline.yaml", lambda value: value["report"].update(bootstrap_samples=100))
    return copy


def copy(of: Checkout, folder: Path) -> Checkout:
    """Copy a checkout; its fork server ends a second after its workflow."""
    shutil.copytree(of.folder, folder, ignore=shutil.ignore_patterns("sgenet-*-[0-9]*"))
    return Checkout(folder, of.binaries)
