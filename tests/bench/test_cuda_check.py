"""`bench/cuda-check`: what it runs, reports and copies; and that packages that its machine lacks are not imported."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import cuda_check
from bench.cuda_check import PARTS, Part, check, main

ROOT = Path(__file__).parents[2]
LACKING = [
    "mmengine", "mmcv", "mmdet", "pycocotools", "cv2", "scipy", "sklearn", "safetensors", "xxhash", "yaml", "pydantic",
    "pandas", "matplotlib", "tabulate", "tqdm", "psutil", "snakemake", "dvc", "wandb",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, where a benchmark has left a result before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cuda_check, "_PATIENCE", 0.2)
    (tmp_path / "bench/results").mkdir(parents=True)
    (tmp_path / "bench/results/old.csv").write_text("old")
    (tmp_path / "out").mkdir()
    return tmp_path


def shell(name, script, until=1.0):
    return Part(name, ("sh", "-c", script), until)


def test_parts_that_fail_or_run_out_of_time_are_reported_and_the_others_run(folder, capfd):
    log = io.StringIO()
    parts = [
        shell("hangs", "trap '' INT; sleep 600 & sleep 600", until=0.01),
        shell("fails", "echo bad >&2; exit 3"),
        shell("works", "echo new > bench/results/new.csv"),
        shell("late", "echo never", until=0.0),
    ]
    assert check(parts, 60, "cuda", folder / "out", log) == 1
    *_, last = log.getvalue().splitlines()
    found = "hangs: out of time, fails: failed with status 3, works: done, late: not started: no time left"
    assert last == f"{found}; results in {folder / 'out'}"
    assert capfd.readouterr().out == log.getvalue() and "\nbad\n" in log.getvalue()
    assert [path.name for path in (folder / "out").iterdir()] == ["new.csv"]


def test_all_parts_succeed(folder):
    script = 'test -z "${CUDA_VISIBLE_DEVICES-none}" && sleep 0.1'  # of the CPU: no GPU is visible
    assert check([shell("first", script), shell("second", script)], 60, "cpu", folder / "out", io.StringIO()) == 0


def refused(out, capsys):
    assert main([str(out)]) == 1
    assert not out.exists()
    return capsys.readouterr().err


def test_a_machine_without_the_device_or_a_package_is_refused_in_one_sentence(folder, monkeypatch, capsys):
    out = folder / "new"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = "found no CUDA device that torch can use, expected one (--device cpu runs without)"
    assert refused(out, capsys) == f"bench/cuda-check: {found}\n"
    monkeypatch.setattr(cuda_check, "PACKAGES", ("torch", "no-such-package"))
    assert "found no package no-such-package, expected torch" in refused(out, capsys)


IMPORTS = """
import sys
sys.modules.update(dict.fromkeys({lacking}))  # None: importing it fails
import pytest
from bench import cuda_check, op, output, step
from sgenet.training import devices
assert devices.acquire("cpu") == "cpu"
output.write("op", [], "title", device="device", packages=["torch"])
sys.exit(pytest.main(["--collect-only", "-q", "{root}/tests/kernels"]))
"""


def test_what_the_machine_may_lack_is_not_imported(folder):
    code = IMPORTS.format(lacking=LACKING, root=ROOT)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "no plot, since matplotlib is not installed" in done.stdout and "test_cuda.py" in done.stdout
    (csv,) = (folder / "bench/results").glob("op-*")
    assert csv.suffix == ".csv"


@pytest.mark.slow
def test_the_command_runs_each_part(tmp_path):
    """On the CPU, for seconds in which no part ends: it is interrupted, or has no time left after the one before."""
    command = [ROOT / "bench/cuda-check", "--device", "cpu", "--minutes", "0.3", tmp_path / "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    log = (tmp_path / "out/log.txt").read_text()
    assert done.stdout == log and f"torch {torch.__version__.partition('+')[0]}" in log
    for part in PARTS:
        assert re.search(f"^== {part.name}: (out of time|not started: no time left), ", log, re.M), part.name
