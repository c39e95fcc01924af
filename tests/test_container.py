"""The container image: what its definition says, and the workflow in what such a container gives it."""

import json
import re
from pathlib import Path

import pytest

from support import container
from support.checkout import ROOT, make_checkout
from support.container import WRITTEN, image_environment

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_is_built_from_the_lock_and_names_no_registry():
    assert re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim"]
    assert "make setup ENV=/opt/sgenet" in DOCKERFILE and "pip install" not in DOCKERFILE
    assert "--require-hashes" in (ROOT / "Makefile").read_text()


def test_what_is_written_beside_results_goes_to_the_scratch_folder():
    variables = image_environment()
    folders = [variables[name] for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR")]
    assert all(Path(folder).parts[:2] == ("/", "scratch") for folder in folders)


def test_the_page_on_containers_mounts_every_folder_that_is_written_to():
    page = (ROOT / "docs/containers.md").read_text()
    assert f"for name in {' '.join(WRITTEN)}; do" in page


def test_no_rule_declares_software_that_snakemake_would_deploy():
    rules = [path.read_text() for path in (ROOT / "workflow").rglob("*.smk")]
    assert rules and not re.search(r"^\s*(conda|container|singularity|envmodules):", "\n".join(rules), re.MULTILINE)


@pytest.mark.slow
def test_the_workflow_runs_and_is_verified_for_any_user_on_a_read_only_root_without_a_network(tmp_path):
    if why := container.unavailable():
        pytest.skip(why)
    checkout = make_checkout(tmp_path / "project").folder
    (checkout / "dvc.lock").unlink()  # .dockerignore leaves it out
    for name in ("root", "scratch"):
        (tmp_path / name).mkdir()
    asked = ["--config", "tables=imagenet", "rows=ResNet50"]
    places = (checkout, tmp_path / "scratch", tmp_path / "root")
    done = container.run(["snakemake", "--cores", "2", *asked], *places)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert not re.search(r"Traceback|Permission denied|Read-only file system", done.stdout + done.stderr)
    metrics = tmp_path / "scratch/results/smoke/evaluation/classification/resnet50/seed-0/metrics.json"
    assert json.loads(metrics.read_text())["origin"]["train"]["commit"]
    assert metrics.stat().st_uid == container.USER
    again = container.run(["snakemake", "--cores", "2", *asked, "--dry-run"], *places)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
    verified = container.run(["sgenet", "verify"], *places, SGENET_TABLES="imagenet", SGENET_ROWS="ResNet50")
    assert verified.returncode == 0 and "no deviations" in verified.stdout, verified.stdout + verified.stderr
