"""Results that come from elsewhere, through a remote of DVC, git or a plain copy, are as good as those made here."""

import re
import shutil
import subprocess
from itertools import product

import boto3
import pytest
from moto.server import ThreadedMotoServer

from support.checkout import Checkout

CREDENTIALS = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "nobody")


@pytest.fixture(scope="module")
def published(new_checkout, replicated, tmp_path_factory):
    """A checkout with a small replication, whose dvc.lock is in git and whose results are in a folder."""
    checkout = new_checkout(replicated)
    checkout("dvc", "remote", "add", "--default", "folder", str(tmp_path_factory.mktemp("remote")))
    commit(checkout)
    checkout("dvc", "push")
    return checkout


@pytest.fixture
def clone(published, tmp_path):
    subprocess.run(["git", "clone", "--quiet", published.folder, tmp_path / "clone"], check=True)
    return Checkout(tmp_path / "clone", published.binaries)


@pytest.fixture
def s3(monkeypatch):
    """A server on this machine that speaks the protocol of S3, with a bucket `results`; yields its address."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="results")
    yield address
    server.stop()


def commit(checkout):
    checkout("git", "add", "--all")
    checkout("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "results")


def nothing_to_make(checkout):
    """`nothing_to_do` without `dvc repro`."""
    assert "Nothing to be done" in checkout("snakemake", "--dry-run")
    assert "up to date" in checkout("dvc", "status")


def made(output):
    """Rules of the jobs that Snakemake counts, in one table a stage of DVC, sorted and without the targets."""
    counted = re.findall(r"^([a-z_]+) +(\d+)$", output, re.MULTILINE)
    targets = {"prepare", "classify", "detect", "evaluate", "all", "total"}
    return sorted(name for name, count in counted for _ in range(int(count)) if name not in targets)


def to_make(checkout):
    """As `made` of a dry run, which prints the same table at its beginning and at its end."""
    return made(checkout("snakemake", "--dry-run").rpartition("Job stats:")[2])


def other_rate(checkout, rate):
    """Another learning rate of the second of two runs."""
    path = "params/tables/ablation-normalization.yaml"
    checkout.edit(path, lambda value: value["rows"][1]["settings"].update(optimizer={"lr": rate}))


def other_confidence(checkout, confidence):
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=confidence))


def test_a_clone_that_pulled_has_nothing_to_do_and_builds_another_report_without_training(clone):
    clone("dvc", "pull")
    clone.nothing_to_do()
    other_confidence(clone, 0.9)
    assert made(clone("snakemake")) == ["report"]
    nothing_to_make(clone)


def test_a_clone_that_pulled_from_s3_has_nothing_to_do(published, clone, s3):
    for of in (published, clone):
        of.environment |= CREDENTIALS
        of("dvc", "remote", "add", "--local", "s3", "s3://results/sge")
        of("dvc", "remote", "modify", "--local", "s3", "endpointurl", s3)
    published("dvc", "push", "--remote", "s3")
    clone("dvc", "pull", "--remote", "s3")
    nothing_to_make(clone)


def test_a_change_after_a_pull_makes_again_what_it_touches_and_a_checkout_brings_back_what_was(clone):
    clone("dvc", "pull")
    other_rate(clone, 0.02)
    touched = ["evaluate_classifier", "report", "train_classifier"]
    assert to_make(clone) == touched
    weights = clone.folder / "results/smoke/classification/sge-resnet50/seed-0/best.safetensors"
    before = weights.read_bytes()
    assert made(clone("snakemake")) == touched
    assert weights.read_bytes() == before
    commit(clone)
    clone("git", "checkout", "--quiet", "HEAD~1")
    clone("dvc", "checkout")
    nothing_to_make(clone)


def test_files_that_are_not_what_they_are_told_to_be_are_made_again(clone):
    clone("dvc", "pull")
    numbers = {"complexity.json": "gflops", "evaluation/classification/sge-resnet50/seed-0/metrics.json": "top5"}
    for name, number in numbers.items():
        path = clone.folder / "results/smoke" / name
        other = re.sub(rf'"{number}": [0-9.]+', f'"{number}": 99.0', path.read_text(), count=1)
        path.unlink()  # DVC may have linked it
        path.write_text(other)
    assert to_make(clone) == ["complexity", "evaluate_classifier", "report"]


def test_a_part_of_the_results_is_taken_over(clone):
    clone("dvc", "pull", "data/smoke", "results/smoke/classification/sge-resnet50", "results/smoke/complexity.json")
    missing = ["activations", "evaluate_classifier", "evaluate_classifier", "report", "train_classifier"]
    assert to_make(clone) == missing


def test_a_plain_copy_needs_neither_dvc_nor_git_nor_torch(published, tmp_path):
    left_out = shutil.ignore_patterns(".git", ".dvc", "dvc.lock", ".snakemake", ".resume", "logs", "wandb")
    shutil.copytree(published.folder, tmp_path / "copy", ignore=left_out, copy_function=shutil.copyfile)
    copy = Checkout(tmp_path / "copy", published.binaries)
    assert "Nothing to be done" in copy("snakemake", "--dry-run")
    (tmp_path / "without").mkdir()
    for name in ("torch", "mmengine"):
        (tmp_path / f"without/{name}.py").write_text(f"raise ImportError('{name} is not for reports')")
    copy.environment["PYTHONPATH"] = str(tmp_path / "without")
    comparison = copy.folder / "reports/smoke/comparison.json"
    before = comparison.read_bytes()
    comparison.unlink()
    copy("sgenet", "report")
    assert comparison.read_bytes() == before


@pytest.mark.soak
def test_in_every_order_of_snakemake_and_dvc_no_work_is_done_twice(clone):
    clone("dvc", "pull")
    doors = (("dvc", "repro"), ("snakemake",))
    for number, (first, second) in enumerate(product(doors, doors)):
        other_rate(clone, 0.02 + number / 100)
        assert made(clone(*first)) == ["evaluate_classifier", "report", "train_classifier"], (first, second)
        clone.nothing_to_do()
        other_confidence(clone, 0.9 - number / 100)
        assert made(clone(*second)) == ["report"], (first, second)
        clone.nothing_to_do()
