"""Verification notices whatever was changed in results or report, on a small replication that was really run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import write_record
from sgenet.report import build
from sgenet.verification.again import check_again
from sgenet.verification.metrics import check_metrics
from sgenet.verification.report import check_report
from sgenet.verification.results import check_records
from support.verified import ROWS, load

REPORT = Path("reports/smoke")
CLASSIFIER, DETECTOR = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"


def folder_of(run: str) -> Path:
    """Folder of an evaluation."""
    return paths.evaluation("smoke", run, 0)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rewrite(replication: Replication, change: Callable[[Any], None], run: str = CLASSIFIER) -> None:
    """Change a metrics.json with all its digests, as someone who knows how they are made."""
    artifact = Artifacts(replication).evaluation(replication.run(run), 0)
    value = json.loads(artifact.record.read_text())
    change(value)
    write_record(artifact, value)


def test_nothing_deviates(
    replication: Replication, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SGENET_TABLES", "imagenet coco-retinanet")
    monkeypatch.setenv("SGENET_ROWS", ROWS)
    assert main(["verify", "--scale", "smoke", "--evaluate", "3"]) == 0
    shown = capsys.readouterr().out
    assert "4 trainings and 6 measurements" in shown and "4 evaluations recomputed" in shown
    assert "2 from detections and annotations with pycocotools" in shown and "the page too" in shown
    assert "3 validation images of each of 4 trainings" in shown and "reports/smoke: no deviations" in shown
    edit(REPORT / "comparison.json", lambda value: value["claims"][0].update(verdict="reproduced"))
    assert main(["verify", "--scale", "smoke"]) == 1
    shown = capsys.readouterr().out
    assert "verdict: found " in shown and "reports/smoke: 1 deviation," in shown


def test_a_page_that_was_edited_with_its_identity(replication: Replication) -> None:
    page = REPORT / "index.html"
    text = page.read_text()
    start = text.index('name="identity" content="') + len('name="identity" content="')
    digit = "0" if text[start] != "0" else "1"
    page.write_text((text[:start] + digit + text[start + 1 :]).replace("<h1", "<p>All claims hold.</p><h1", 1))
    (found,) = check_report(replication, REPORT).deviations
    assert found.startswith(f"{page}: found a page of other results")
    assert check_report(replication, REPORT, archived=True).unchecked


def test_edited_labels_and_detections(replication: Replication) -> None:
    """Labels that fit the predictions, and detections that cannot be evaluated."""
    path = folder_of(CLASSIFIER) / paths.PREDICTIONS
    arrays = dict(np.load(path))
    arrays["label"] = arrays["best_top5"][:, 0]
    np.savez_compressed(path, **arrays)
    detections = folder_of(DETECTOR) / paths.DETECTIONS
    detections.write_text('[{"image_id": 1}]')
    found = check_metrics(Artifacts(replication)).deviations
    assert any(f"{path}: label: found others than in the data" in one for one in found)
    assert any(f"{detections}: found cannot be evaluated" in one or f"{detections}: cannot" in one for one in found)


def test_edited_report(replication: Replication) -> None:
    def change(value: Any) -> None:
        table = value["tables"][0]
        cells = next(row for row in table["rows"] if row["label"] == "SGE-ResNet50")["cells"]
        cells["top1"]["published"]["value"] += 1
        cells["top1"]["reproduced"]["value"] += 0.01
        cells["params"]["verdict"] = "not run"
        del value["claims"][0]["conditions"]

    edit(REPORT / "comparison.json", change)
    (REPORT / "tables/imagenet.csv").write_text((REPORT / "tables/imagenet.csv").read_text().replace("SGE", "SGF", 1))
    (REPORT / "metrics.json").unlink()
    (REPORT / "tables/more.csv").write_text("top1,99")
    page = (REPORT / "index.html").read_text()
    (REPORT / "index.html").write_text(page.replace("Top-1", "Top-2", 1))
    found = check_report(replication, REPORT).deviations
    for place in ("published.value", "reproduced.value", "params.verdict", "claims[C1].conditions"):
        place = f"[SGE-ResNet50].cells.top1.{place}" if place.endswith("value") else place
        assert any(f"{REPORT}/comparison.json" in one and place in one for one in found), place
    for name in (
        "tables/imagenet.csv: line",
        "metrics.json: found no file",
        "index.html: line",
        "tables/more.csv: found a file",
    ):
        assert any(one.startswith(f"{REPORT}/{name}") for one in found), name


def test_edited_published_value_in_params(replication: Replication) -> None:
    path = Path("params/tables/imagenet.yaml")
    path.write_text(path.read_text().replace("77.584", "76.584"))
    assert any(
        "published.value: found 77.584, expected 76.584" in one for one in check_report(load(), REPORT).deviations
    )


def test_edited_prediction(replication: Replication) -> None:
    path = folder_of(CLASSIFIER) / paths.PREDICTIONS
    arrays = dict(np.load(path))
    arrays["best_top5"][0, 0] = (arrays["best_top5"][0, 0] + 1) % 10
    arrays["best_top5"][1] = -1
    np.savez_compressed(path, **arrays)
    artifacts = Artifacts(replication)
    (content,) = check_records(artifacts).deviations
    assert content.startswith(f"{path}: found other content")
    assert any("metrics.top" in one for one in check_metrics(artifacts).deviations)


@pytest.mark.parametrize("run", [CLASSIFIER, DETECTOR])
def test_edited_metric_with_all_digests(replication: Replication, run: str) -> None:
    name = "top1" if run == CLASSIFIER else "ar_medium"
    rewrite(replication, lambda value: value["metrics"].update({name: 12.5}), run)
    artifacts = Artifacts(replication)
    assert check_records(artifacts).deviations == []
    found = check_metrics(artifacts).deviations
    assert found and all(f"{run}/seed-0/metrics.json: metrics.{name}: found 12.5" in one for one in found)


def test_edited_record(replication: Replication) -> None:
    edit(folder_of(CLASSIFIER) / paths.METRICS, lambda value: value["metrics"].update(top1=12.5))
    (found,) = check_records(Artifacts(replication)).deviations
    assert "was changed since it was written" in found


def test_other_weights(replication: Replication) -> None:
    trained = paths.training("smoke", CLASSIFIER, 0)
    shutil.copy(paths.training("smoke", "classification/resnet50", 0) / paths.LAST, trained / paths.LAST)
    assert any(f"{trained / paths.LAST}: found other content" in one for one in records(replication))
    (trained / paths.LAST).unlink()
    check = check_records(Artifacts(replication))
    assert check.deviations == [] and any("last.safetensors" in one for one in check.unchecked)


def test_weights_that_do_not_give_the_predictions(replication: Replication) -> None:
    """Predictions of another network with consistent metrics and digests are noticed by evaluating again only."""
    path = folder_of(CLASSIFIER) / paths.PREDICTIONS
    arrays = dict(np.load(path))
    arrays["best_top5"] = (arrays["best_top5"] + 1) % 10
    np.savez_compressed(path, **arrays)
    check = check_again(Artifacts(replication), 5)
    assert [one for one in check.deviations if "sge-resnet50/seed-0: found other results" in one]
    shutil.rmtree("data/smoke/classification")
    assert any("classification" in one for one in check_again(Artifacts(replication), 5).unchecked)


def test_mixed_commits(replication: Replication) -> None:
    rewrite(replication, lambda value: value["origin"]["evaluate"].update(commit=40 * "a"))
    (found,) = records(replication)
    assert "found 1 of commit aaaaaaaaaa, expected all of commit" in found


def test_stale_result(replication: Replication) -> None:
    path = Path("params/recipes/classification.yaml")
    path.write_text(path.read_text().replace("label_smoothing: ", "label_smoothing: 0.05 # "))
    assert any("made with other settings" in one for one in [*records(load())])


def test_removed_runs(replication: Replication) -> None:
    """A result that is gone deviates, unless its step failed; a failure that is gone deviates from the report."""
    shutil.rmtree(paths.training("smoke", DETECTOR, 0))
    shutil.rmtree(folder_of(DETECTOR))
    assert sum("no result, and no failed step" in one for one in records(replication)) == 2
    log = paths.run_log("smoke", "train", DETECTOR, 0)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("loss is not finite\nsgenet: exit status 2\n")
    assert records(replication) == []
    build(replication)
    assert check_report(replication, REPORT).deviations == []
    log.unlink()
    assert records(replication)
    assert any("reason" in one for one in check_report(replication, REPORT).deviations)


def records(replication: Replication) -> list[str]:
    """Deviations of the raw results."""
    return check_records(Artifacts(replication)).deviations
