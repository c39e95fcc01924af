"""The layout that the catalogue of Snakemake workflows expects."""

import subprocess
import sys

import pytest
import yaml

from support.checkout import ROOT


def test_the_catalogue_finds_what_it_reads():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert usage["software-stack-deployment"] == dict.fromkeys(("conda", "apptainer", "apptainer+conda"), False)
    assert all((ROOT / path).is_file() for path in ("workflow/Snakefile", "config/README.md"))


@pytest.mark.slow
def test_both_snakefiles_have_the_same_jobs(new_checkout):
    checkout = new_checkout()
    command = ["snakemake", "--dry-run", "--config", "tables=imagenet"]
    first, second = (checkout.jobs(checkout(*command, "--snakefile", f)) for f in ("Snakefile", "workflow/Snakefile"))
    assert first == second and first["train_classifier"] > 1


@pytest.mark.slow
def test_another_workflow_is_refused_as_the_documentation_says(tmp_path):
    (tmp_path / "Snakefile").write_text(
        f'module sgenet:\n    snakefile: "{ROOT / "workflow/Snakefile"}"\n\nuse rule * from sgenet\n'
    )
    command = [sys.executable, "-m", "snakemake", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "params/pipeline.yaml: cannot be read" in done.stdout + done.stderr
