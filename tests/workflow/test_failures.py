"""A run that fails stops no other, shows in a report that is built all the same, and is made again when mended."""

import json
import zipfile

import pytest

DIVERGES = 1e15  # a learning rate
BAD, GOOD = "sge-resnet50-no-norm", "sge-resnet50"
RESULT = "results/smoke/evaluation/classification/sge-resnet50/seed-0/metrics.json"


def set_rate(checkout, rate):
    def change(table):
        table["rows"][1]["settings"]["optimizer"] = {"lr": rate}

    checkout.edit("params/tables/ablation-normalization.yaml", change)


def cells(checkout):
    comparison = json.loads((checkout.folder / "reports/smoke/comparison.json").read_text())
    return {row["run"].partition("/")[2]: row["cells"]["top1"] for row in comparison["tables"][0]["rows"]}


@pytest.fixture(scope="module")
def checkout(new_checkout, replicated):
    return new_checkout(replicated)


def test_a_failed_run_is_told_and_made_again(checkout):
    set_rate(checkout, DIVERGES)
    checkout("snakemake", status=1)
    found = cells(checkout)
    assert found[BAD]["verdict"] == "failed" and found[BAD]["reproduced"] is None
    assert found[GOOD]["reproduced"]["n"] == 1
    page = (checkout.folder / "reports/smoke/index.html").read_text()
    assert "exit status 2" in page and "the loss is" in page and "expected finite numbers" in page
    set_rate(checkout, 0.004)
    jobs = checkout.jobs(checkout("snakemake"))
    assert jobs == {"train_classifier": 1, "evaluate_classifier": 1, "report": 1, "all": 1, "total": 4}
    assert cells(checkout)[BAD]["reproduced"]["n"] == 1
    assert "Nothing to be done" in checkout("snakemake", "--dry-run")


def test_snakemake_reports_without_network(checkout):
    checkout("snakemake", "--report", "all.zip")
    with zipfile.ZipFile(checkout.folder / "all.zip") as file:
        names = [name.rpartition("/")[2] for name in file.namelist()]
        text = file.read("all/report.html").decode()
    assert names.count("metrics.json") == 3 and {"index.html", "classification.png", "classification.csv"} <= {*names}
    for told in ("the claims of the paper", "Training curves", "reproduced values", "Spatial Group-wise Enhance"):
        assert told in text
    assert "<script src=" not in text and '<link rel="stylesheet"' not in text


def test_a_bad_result_leaves_a_report_that_is_not_taken_for_a_good_one(checkout):
    (checkout.folder / RESULT).write_text("{")
    assert "is not JSON" in checkout("sgenet", "report", status=1)
    assert cells(checkout)[GOOD]["verdict"] == "failed"
    jobs = checkout.jobs(checkout("snakemake", "--quiet", "rules"))
    assert jobs == {"evaluate_classifier": 1, "report": 1, "all": 1, "total": 3}
    assert cells(checkout)[GOOD]["verdict"] != "failed"


def test_preparing_data_in_vain_builds_no_report(checkout):
    (checkout.folder / "reports/smoke/index.html").unlink()
    own = {"source": "folder", "root": "nowhere"}
    checkout.edit("params/scales/smoke.yaml", lambda value: value["data"].update(classification=own))
    checkout("snakemake", "prepare", status=1)
    assert not (checkout.folder / "reports/smoke/index.html").exists()


@pytest.mark.soak
def test_a_step_that_the_kernel_killed_is_told_and_made_again(new_checkout, tmp_path):
    """As one does that finds no memory: it can say nothing itself."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, sys\nif {{'train', 'classification/{BAD}'}} <= {{*sys.orig_argv}}: os.kill(os.getpid(), 9)\n"
    )
    checkout = new_checkout()
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["ablation-normalization"]))
    checkout.environment |= {"SGENET_WARM": "", "PYTHONPATH": str(tmp_path)}
    checkout("snakemake", status=1)
    assert cells(checkout)[BAD]["verdict"] == "failed" and cells(checkout)[GOOD]["reproduced"]["n"] == 1
    page = (checkout.folder / "reports/smoke/index.html").read_text()
    assert "exit status 137 (killed, as by a machine whose memory is full)" in page
    del checkout.environment["PYTHONPATH"]
    checkout("snakemake")
    assert cells(checkout)[BAD]["reproduced"]["n"] == 1
