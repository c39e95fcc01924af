"""The whole replication at scale `smoke`, as a user runs it: every row of every table is trained and evaluated."""

import json
import re

import pytest

from support import stub
from support.checkout import content, files_of
from support.kills import junk, kill, watched

TABLES = [
    *("imagenet", "coco-two-stage", "coco-retinanet", "ablation-groups", "ablation-init", "ablation-normalization"),
    *("author-logs", "complexity"),
]
RUNS = {"classification": 21, "detection": 21}
PLAIN = ("classification/resnet50", "detection/retinanet/resnet50")  # the runs of the one row that is killed


def test_snakemake_makes_everything(replication):
    results, report = replication.folder / "results/smoke", replication.folder / "reports/smoke"
    for task, count in RUNS.items():
        evaluated = sorted((results / "evaluation" / task).rglob("seed-0/metrics.json"))
        assert len(evaluated) == count
        for path in evaluated:
            origin = json.loads(path.read_text())["origin"]["train"]
            run = path.parents[1].relative_to(results / "evaluation")
            assert origin["command"] == f"sgenet train {run} --scale smoke --seed 0"
            assert len(origin["versions"]) > 5
    comparison = json.loads((report / "comparison.json").read_text())
    assert [table["id"] for table in comparison["tables"]] == TABLES
    cells = [cell for t in comparison["tables"] for row in t["rows"] for cell in row["cells"].values()]
    unmeasured = {"not measured", "not applicable", "equals the log", "differs from the log"}
    assert all(cell["reproduced"] or cell["verdict"] in unmeasured for cell in cells)
    assert "<html" in (report / "index.html").read_text()
    assert list((replication.folder / "wandb").glob("offline-run-*"))
    assert not list(junk(replication.folder))


def test_dvc_has_nothing_to_do_then_retrains_what_a_parameter_changes(replication, new_real_checkout):
    checkout = new_real_checkout(replication)
    checkout.nothing_to_do()

    def change(scale):
        scale["detection"]["detectors"]["retinanet"]["optimizer"].update(weight_decay=0.04)

    checkout.edit("params/scales/smoke.yaml", change)
    before = {path: content(checkout.folder / path) for path in files_of(checkout.folder) if path.parts[0] == "results"}
    output = checkout("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["detect", "evaluate", "report"]
    changed = {path.parts[2:-2] for path, old in before.items() if content(checkout.folder / path) != old}
    models = {"resnet50", "se-resnet50", "sge-resnet50", "sk-resnet50"}
    kinds = {("detection", "retinanet"), ("evaluation", "detection", "retinanet")}
    assert {folder[:-1] for folder in changed} == kinds
    assert {folder[-1] for folder in changed} <= models
    checkout.nothing_to_do()


def test_a_training_killed_in_its_second_epoch_and_a_killed_report_end_as_if_nothing_had_happened(
    replication, new_real_checkout, tmp_path
):
    one = new_real_checkout()
    one.choose_one_detector()
    with watched(one, tmp_path, "params/tables/one.yaml") as checkout:
        kill(checkout, "snakemake", at=r"before replace .*classification_resnet50/.*/epoch-0002")
        kill(checkout, "snakemake", at=r"before replace .*reports/smoke/index.html")
        log = (checkout.folder / "logs/smoke/train/classification/resnet50-seed-0.log").read_text()
        assert "continues after epoch 1" in log
        output = checkout("snakemake")
        assert "unlock" not in output.lower()
        assert "Traceback" not in output
        compared = 0
        for path in sorted(files_of(checkout.folder)):
            if path.name in {"best.safetensors", "last.safetensors", "history.csv", "metrics.json", "predictions.npz"}:
                assert content(checkout.folder / path) == content(replication.folder / path), path
                compared += 1
        assert compared == 3 + 2 + 2 + 1  # weights and history of both runs, metrics, predictions
        assert not list(junk(checkout.folder))
        checkout.nothing_to_do()


def keys(value, at=""):
    """The places of a document."""
    if isinstance(value, dict):
        return {place for key, member in value.items() for place in keys(member, f"{at}.{key}")}
    return {at}


@pytest.mark.parametrize("run", PLAIN)
def test_the_stub_writes_what_the_steps_write(replication, undisturbed, run):
    """Tests of the workflow rest on it."""
    for folder in (f"results/smoke/{run}/seed-0", f"results/smoke/evaluation/{run}/seed-0"):
        real, made_up = replication.folder / folder, undisturbed.folder / folder
        assert sorted(path.name for path in real.iterdir()) == sorted(path.name for path in made_up.iterdir())
        for path in real.glob("*.json"):
            documents = [json.loads((place / path.name).read_text()) for place in (real, made_up)]
            if isinstance(documents[0], dict) and path.name != ".made.json":
                assert keys(documents[0]) == keys(documents[1]), path
    for name in ("complexity.json", "evaluation/activations.json", "evaluation/latency.json"):
        assert (replication.folder / "results/smoke" / name).exists()
    assert json.loads((undisturbed.folder / f"results/smoke/{run}/seed-0/training.json").read_text())["device"] == (
        stub.DEVICE
    )
