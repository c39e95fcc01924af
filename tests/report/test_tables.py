"""The paper's own tables in the report: audit, complexity, masks, notes, explained differences."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.matches import Matches
from sgenet.judgement.cells import NOT_APPLICABLE
from sgenet.provenance.identity import Artifacts
from sgenet.report import build
from support import results as make

PAGE = Path("reports/demo/index.html")
SPREAD = {"value": 12.3, "low": 11.9, "high": 12.9}


@pytest.fixture
def whole(project: Any) -> Replication:
    """All eight tables, with counts and times of the networks and nothing trained. The counts are made up but SK's."""
    replication = load_replication("demo")
    counts = {}
    for run in replication.full_size():
        counts[run.id] = {"model": run.model, "params": 25557032, "gflops": 4.121924, "macs": 4116329472}
        counts[run.id] |= {"input": [224, 224], "part": "network"}
    counts["complexity/sk-resnet50"]["gflops"] = 4.186862
    make.write_counts(replication, counts)
    models = {run_id: {"model": run_id, "latency": SPREAD} for run_id in counts if run_id.startswith("complexity/")}
    for run_id in replication.plain_of():
        models[run_id]["latency_ratio"] = {"value": 1.25, "low": 1.2, "high": 1.31}
    origin = {"command": "sgenet latency --scale demo", "device": "a clock", "finished": "2026-03-04T05:06:07+00:00"}
    artifacts = Artifacts(replication)
    origin = make.record(artifacts, artifacts.latency()) | origin
    how = {"input": [128, 128], "threads": 1, "rounds": 5, "batch": 1}
    make.write(paths.latency("demo"), how | {"models": models, "origin": origin})
    return replication


def rows(table: str) -> dict[str, dict[str, Any]]:
    value = json.loads(Path("reports/demo/comparison.json").read_text())
    (found,) = [entry for entry in value["tables"] if entry["id"] == table]
    return {row["label"]: row["cells"] for row in found["rows"]}


def text() -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", PAGE.read_text()).split())


def test_readme_against_the_logs(whole: Replication) -> None:
    assert build(whole) == []
    verdicts = {label: cells["readme_top1"]["verdict"] for label, cells in rows("author-logs").items()}
    other = {label for label, verdict in verdicts.items() if verdict != "exact"}
    assert other == {"SE-ResNet101", "BAM-ResNet101"} and len(verdicts) == 11
    assert {verdicts[label] for label in other} == {"explained"}  # a note on each states why
    assert rows("author-logs")["SGE-ResNet50"]["readme_top1"]["reproduced"] is None


def test_gains_by_best_last_and_mean(whole: Replication) -> None:
    for run, skill in {"resnet50": 0.6, "sge-resnet50": 0.7}.items():
        make.make_run("demo", f"classification/{run}", 0, 400, skill)
    assert build(whole) == []
    cells = rows("author-logs")["SGE-ResNet50"]
    gains = {column: cells[column]["reproduced"]["gain"] for column in ("top1", "top1_last", "top1_mean10")}
    assert [gain["value"] for gain in gains.values()] == [10, 10, 10]
    # Of the last epoch too 40 of 400 are gained and none lost: the same interval. The mean of epochs has none.
    assert gains["top1_last"] == gains["top1"] and gains["top1"]["images"]["low"] > 0
    assert "images" not in gains["top1_mean10"] and gains["top1"]["low"] is None
    assert {cells[column]["reason"] for column in gains} == {"one training of each row"}
    assert cells["top1_last"]["reproduced"]["low"] < 69 < cells["top1_last"]["reproduced"]["high"]
    shown = text()
    assert all(gain in shown for gain in ("+1.200", "+1.246", "+1.228"))  # as the logs give them


def test_complexity(whole: Replication) -> None:
    assert build(whole) == []
    cells = rows("complexity")["SGE-ResNet50"]
    assert cells.keys() == {"params", "gflops", "macs"}  # no time: it would make equal runs differ
    assert cells["macs"]["reproduced"]["value"] == 4.116329 and cells["macs"]["published"] is None
    assert rows("complexity")["GC-ResNet50"]["params"]["reason"] == "no published value"
    shown = text()
    assert "12.3" in shown and "[11.9, 12.9]" in shown and "1.25" in shown and "128 × 128 pixels" in shown
    assert "a clock, 2026-03-04T05:06:07+00:00" in shown
    assert "12.3" not in Path("reports/demo/comparison.json").read_text()
    Path(paths.latency("demo")).unlink()
    assert build(whole) == [] and "a clock" not in PAGE.read_text()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"models": []}, "latency.json: models: found [], expected a mapping"),
        ({"rounds": None}, "latency.json: rounds: found None, expected an integer"),
        ({"origin": {"finished": None}}, "latency.json: origin.finished: found None, expected text"),
        ({"models": {"complexity/resnet50": {}}}, "models.complexity/resnet50.latency: missing"),
        (
            {"models": {"complexity/resnet50": {"latency": SPREAD | {"low": -1}}}},
            "models.complexity/resnet50.latency.low: found -1, expected more than 0",
        ),
    ],
)
def test_bad_latency_is_a_problem(whole: Replication, change: dict[str, Any], sentence: str) -> None:
    value = json.loads(paths.latency("demo").read_text())
    origin = value["origin"] | change.get("origin", {})
    make.write(paths.latency("demo"), value | change | {"origin": origin})
    (problem,) = build(whole)
    assert sentence in problem
    assert "a clock" not in text() and rows("complexity")["ResNet50"]["params"]["reproduced"]


def test_a_difference_is_explained_in_a_note(whole: Replication) -> None:
    build(whole)
    cells = rows("complexity")
    assert cells["SK-ResNet50"]["gflops"]["verdict"] == "explained"
    assert "one average pool" in cells["SK-ResNet50"]["gflops"]["published"]["difference"]
    page = PAGE.read_text()
    (cell,) = re.findall(r"4\.187.*?</tr>", page, re.DOTALL)
    assert '<span class="verdict plain">explained</span>' in cell
    (number,) = re.findall(r'<li id="note-complexity-(\d+)">the authors&#39; counter on their released network', page)
    assert page.count(f'href="#note-complexity-{number}"') == 2  # SK-ResNet50 and SK-ResNet101


def test_every_note_is_shown_and_referred_to(whole: Replication) -> None:
    build(whole)
    page = PAGE.read_text()
    shown, plain = text(), page.replace("&#39;", "'").replace("&#34;", '"')
    for table in whole.tables:
        notes = {column.note for column in table.columns} | {row.note for row in table.rows}
        cells = [cell for row in table.rows for cell in row.published.values()]
        notes |= {cell.note for cell in cells} | {cell.difference for cell in cells}
        assert all(f">{note}<" in plain for note in {table.note, *notes} - {""})
        numbered = re.findall(rf'id="(note-{table.id}-\d+)"', page)
        assert len(numbered) == len(notes - {""}) and all(f'href="#{note}"' in page for note in numbered)
    assert shown.count("not recovered") > 24  # twelve rows of ablations, two columns


def test_masks_are_of_mask_rcnn_alone(whole: Replication) -> None:
    for name in ("mask-rcnn/resnet50", "mask-rcnn/sge-resnet50", "faster-rcnn/resnet50"):
        make.make_run("demo", f"detection/{name}", 0, 400, 0.6 + 0.2 * ("sge" in name))
    assert build(whole) == []
    cells = {label: row["mask_ap"] for label, row in rows("coco-two-stage").items()}
    assert {label.partition(" R-CNN")[0] for label, cell in cells.items() if cell["reason"] != NOT_APPLICABLE} == {
        "Mask"
    }
    ours = cells["Mask R-CNN SGE-ResNet50"]
    metrics = [json.loads(make.metrics_path(f"detection/mask-rcnn/{name}").read_text())["metrics"]["mask_ap"]
               for name in ("resnet50", "sge-resnet50")]  # fmt: skip
    assert ours["reproduced"]["gain"]["value"] == pytest.approx(metrics[1] - metrics[0], abs=1e-5)
    assert ours["reproduced"]["gain"]["images"]["low"] > 0 and ours["reason"] == "no published gain"
    file = paths.evaluation("demo", "detection/mask-rcnn/resnet50", 0) / "matches.npz"
    Matches.load(file).save(file)  # without the masks'
    (problem,) = build(whole)
    assert f"{file}: mask_image_ids is not a file in the archive" in problem


def test_each_pair_of_curves_is_drawn_once(whole: Replication) -> None:
    for run in ("resnet50", "sge-resnet50", "sge-resnet50-g8"):
        make.make_run("demo", f"classification/{run}", 0, 400, 0.6)
    build(whole)
    titles = re.findall(r"<div data-run=\"[^\"]+\"><p>(.*?)</p>\n<svg", PAGE.read_text())
    assert titles == ["SGE-ResNet50 against ResNet50", "SGE-ResNet50, G = 8 against SGE-ResNet50, G = 64"]


def test_links_lead_everywhere_and_sections_are_folded(whole: Replication) -> None:
    build(whole)
    page = PAGE.read_text()
    first, rest = page.split("<main>")
    targets = re.findall(r'href="#([^"]+)"', page)
    assert all(f'id="{target}"' in page for target in targets)
    assert {f"table-{table.id}" for table in whole.tables} <= set(targets)
    claims = {f"claim-C{number}" for number in ("1", "2", "3", "4a", "4b", "5", "6", "7")}
    assert claims <= set(re.findall(r'href="#([^"]+)"', first))
    folded = re.findall(r'<summary><h2 id="([^"]+)"', rest)
    assert set(re.findall(r'<h2 id="([^"]+)"', rest)) == {*folded, "tables"}
