"""What a change reruns, through both entry points: Snakemake and DVC do the same and leave the same state."""

import json
import re
import shutil

import pytest

from sgenet.data.packed import PackedImages

RUNS = {"classification": 9, "detection": 10}  # of the chosen rows


@pytest.fixture(scope="module")
def checkout(new_checkout):
    made = new_checkout()
    made.choose_rows()
    return made


def test_bad_parameters_stop_snakemake_before_anything_runs(checkout):
    output = checkout("snakemake", "--config", "scale=dmo", status=1)
    assert "scale: found 'dmo', expected one of demo, paper, smoke, subset" in output
    assert "Traceback" not in output
    assert "unknown key sclae" in checkout("snakemake", "--config", "sclae=smoke", status=1)
    assert not (checkout.folder / "results").exists()


def test_dvc_makes_everything_and_leaves_snakemake_nothing(checkout):
    checkout("dvc", "repro")
    checkout.check_complete(RUNS)
    checkout.nothing_to_do()


def test_metrics_and_plots_of_dvc(checkout):
    shown = json.loads(checkout("dvc", "metrics", "show", "--json"))
    assert 0 <= shown[""]["data"]["reports/smoke/metrics.json"]["data"]["imagenet"]["resnet50"]["top1"] <= 100
    checkout("dvc", "plots", "show")
    page = (checkout.folder / "dvc_plots/index.html").read_text()
    assert "sge-resnet50" in page and "Top-1 of each run by epoch" in page


def test_a_parameter_of_one_detector_retrains_it_alone_through_snakemake(checkout):
    weights = checkout.folder / "results/smoke/classification/resnet50/seed-0/best.safetensors"
    before = weights.stat().st_mtime_ns

    def change(scale):
        scale["detection"]["detectors"]["retinanet"]["optimizer"].update(weight_decay=0.04)

    checkout.edit("params/scales/smoke.yaml", change)
    jobs = checkout.jobs(checkout("snakemake"))
    assert jobs == {"train_detector": 4, "evaluate_detector": 4, "report": 1, "all": 1, "total": 10}
    assert weights.stat().st_mtime_ns == before
    checkout.nothing_to_do()


def test_a_parameter_of_the_test_trains_nothing(checkout):
    test = {"score_threshold": 0.06}
    checkout.edit("params/scales/smoke.yaml", lambda value: value["detection"].update(test=test))
    jobs = checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))
    assert jobs == {"evaluate_detector": 10, "report": 1, "all": 1, "total": 12}
    checkout.edit("params/scales/smoke.yaml", lambda value: value["detection"].pop("test"))
    assert "Nothing to be done" in checkout("snakemake", "--dry-run")


def test_a_report_parameter_trains_nothing_through_dvc(checkout):
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    output = checkout("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["report"]
    assert checkout.jobs(output) == {"report": 1, "all": 1, "total": 2}
    checkout.nothing_to_do()


def test_fewer_tables_and_more_seeds_of_one_invocation_reach_every_step(checkout):
    checkout("snakemake", "--config", "tables=ablation-normalization", "seeds=2")
    comparison = json.loads((checkout.folder / "reports/smoke/comparison.json").read_text())
    assert [table["id"] for table in comparison["tables"]] == ["ablation-normalization"]
    assert all(row["cells"]["top1"]["reproduced"]["n"] == 2 for row in comparison["tables"][0]["rows"])
    jobs = checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))
    assert jobs == {"report": 1, "complexity": 1, "all": 1, "total": 3}


def test_own_data_are_trained_on_again_when_they_change_and_not_when_they_move(checkout, tmp_path):
    """Images in class folders and COCO-format data, made of the embedded ones; one detector and its classifier."""
    own = tmp_path / "own"
    for split in ("train", "val"):
        images = PackedImages(checkout.folder / "data/smoke/classification", split)
        for number, (image, label) in enumerate(images):
            folder = own / split / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.png")
    shutil.copytree(checkout.folder / "data/smoke/detection", own / "scenes")
    places = {split: {"annotations": f"annotations/{split}.json", "images": split} for split in ("train", "val")}
    data = {
        "classification": {"source": "folder", "root": "${SGENET_OWN}"},
        "detection": {"source": "coco", "root": "${SGENET_OWN}/scenes", "area_limits": [130, 250], **places},
    }
    checkout.edit("params/scales/smoke.yaml", lambda value: value.update(data=data))
    shutil.copy(checkout.folder / "params/tables/coco-retinanet.yaml", checkout.folder / "params/tables/own.yaml")
    checkout.edit("params/tables/own.yaml", lambda value: value.update(rows=value["rows"][:1]))
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["own"]))
    checkout.environment["SGENET_OWN"] = str(own)
    checkout("snakemake")
    made = checkout.folder / "reports/smoke/comparison.json"
    (row,) = json.loads(made.read_text())["tables"][0]["rows"]
    assert row["cells"]["ap"]["reproduced"]
    checkout("sgenet", "prepare", "classification")
    own.rename(tmp_path / "moved")
    checkout.environment["SGENET_OWN"] = str(tmp_path / "moved")
    checkout("sgenet", "prepare", "detection")
    checkout.nothing_to_do()
    next((tmp_path / "moved/train/one").glob("*.png")).unlink()
    checkout("sgenet", "prepare", "classification")
    assert checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))["train_classifier"] == 1
    assert "changed deps" in checkout("dvc", "status")


def test_without_dvc_git_stays_clean_and_the_first_dvc_repro_makes_nothing_again(new_checkout, replicated):
    checkout = new_checkout(replicated)
    shutil.rmtree(checkout.folder / ".dvc/cache")
    (checkout.folder / "dvc.lock").unlink()
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    checkout("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--all", "-m", "no DVC")
    assert checkout.jobs(checkout("snakemake")) == {"report": 1, "all": 1, "total": 2}
    assert checkout("git", "status", "--porcelain") == ""
    assert not (checkout.folder / ".dvc/cache").exists()
    output = checkout("dvc", "repro")
    assert output.count("Running stage") == 5
    assert checkout.jobs(output).keys() <= {"detect", "total"}  # a target without files, where no table has a detector
    checkout.nothing_to_do()
