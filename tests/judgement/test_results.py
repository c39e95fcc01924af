"""Which results the report uses: none of other settings or data, none with a bad file, and all others."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sgenet.config import paths
from sgenet.config.params import merge
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.coco_eval import ap
from sgenet.evaluation.matches import Matches
from sgenet.judgement.results import count_missing, read_found
from sgenet.report import build
from support import results as make
from support.results import BASE, RETINA, SGE, cell, judged


def change_scale(**settings: Any) -> None:
    path = Path("params/scales/demo.yaml")
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), settings)))


def test_settings_change_the_origin(replication: Replication) -> None:
    build(replication)
    before = cell(0, 1, "top1")["origin"]["settings"]
    change_scale(classification={"epochs": 9})
    changed = load_replication()
    make.make_results(changed)
    assert build(changed) == []
    assert cell(0, 1, "top1")["origin"]["settings"] != before


def change_data(run: str, seed: int, *steps: str) -> None:
    for step in steps:
        make.edit_origin(run, seed, step, data={"source": "embedded", "fingerprint": "f2"})


def test_results_on_other_data_are_not_used(replication: Replication) -> None:
    change_data(SGE, 0, "train", "evaluate")
    told = build(replication)
    why, again = "made on other data: fingerprint 'f2', now 'f1'", "snakemake --cores all"
    assert told == [
        f"{make.metrics_path(SGE)}: {why}; `{again} {make.metrics_path(SGE)}` makes it again",
        f"{make.metrics_path(RETINA)}: it starts from {SGE}, which is outdated: {why}; "
        f"`{again} {make.metrics_path(RETINA)}` makes it again",
    ]
    assert [cell(0, row, "top1")["verdict"] for row in (0, 1)] == ["not judged", "not run"]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_other_data_than_the_baseline(repository: Path, seeds: int) -> None:
    replication = load_replication(seeds=seeds)
    make.make_results(replication)
    paths.manifest("demo", "classification").unlink()  # nobody knows what the present data are
    for seed in range(seeds):
        change_data(SGE, seed, "train", "evaluate")
    sentence = f"{make.metrics_path(SGE)}: data fingerprint: found 'f2', expected the baseline's 'f1'"
    assert build(replication) == [sentence]
    assert [cell(0, row, "top1")["verdict"] for row in (0, 1)] == ["not judged", "failed"]
    assert "gain" not in cell(0, 1, "top1")["reproduced"]


def test_rows_of_different_seeds_are_compared_on_those_that_both_have(repository: Path) -> None:
    change_scale(seeds={SGE: 5, BASE: 4, RETINA: 2})
    replication = load_replication()
    make.make_results(replication)
    assert build(replication) == [] and count_missing(replication) == (1, 5 + 4 + 2 + 1 + 2)  # activations
    reproduced = cell(0, 1, "top1")["reproduced"]
    assert list(reproduced["seeds"]) == ["0", "1", "2", "3", "4"] and reproduced["n"] == 5
    assert reproduced["gain"]["n"] == 4
    ap = cell(1, 1, "ap")["reproduced"]
    assert (ap["n"], ap["gain"]["n"], ap["gain"]["images"]["n"]) == (2, 1, make.IMAGES // 4)  # one seed in common
    page = " ".join(Path("reports/demo/index.html").read_text().split())
    assert "<td>12 of 12 finished</td>" in page and "There is one training of each row" not in page
    assert "Some rows were trained once, which does not show the run-to-run variance" in page
    assert "4 to 5 (seeds 0 to 4)" in page and "1 to 2 (seeds 0 to 1)" in page


def test_a_detector_does_not_wait_for_seeds_that_it_does_not_have(repository: Path) -> None:
    change_scale(seeds={SGE: 3})
    replication = load_replication()
    make.make_results(replication)
    make.metrics_path(SGE, 2).unlink()
    make.write(paths.run_log("demo", "train", SGE, 2), "no\nsgenet: exit status 1\n")
    runs = read_found(replication).runs
    assert runs[SGE].failures.keys() == {2} and runs[SGE].missing == [2]
    assert runs[RETINA].missing == [] and not runs[RETINA].waits_for and runs[RETINA].by_seed.keys() == {0}


@pytest.mark.parametrize("step", ["train", "evaluate"])
@pytest.mark.parametrize("seeds", [2, 4])
def test_other_data_in_one_seed(repository: Path, seeds: int, step: str) -> None:
    replication = load_replication(seeds=seeds)
    make.make_results(replication)
    paths.manifest("demo", "classification").unlink()
    change_data(SGE, seeds - 1, step)
    place = f"{make.metrics_path(SGE, seeds - 1)}: origin.{step}.data.fingerprint"
    assert build(replication) == [f"{place}: found 'f2', expected the run's 'f1'"]
    assert list(cell(0, 1, "top1")["reproduced"]["seeds"]) == [str(seed) for seed in range(seeds - 1)]
    assert cell(0, 1, "top1")["verdict"] == ("same direction" if seeds == 4 else "not judged")


def test_results_of_other_settings_are_not_used(replication: Replication) -> None:
    epochs = replication.runs[SGE].settings.epochs
    change_scale(classification={"epochs": epochs + 1, "optimizer": {"weight_decay": 0.25}})
    changed = load_replication()
    told = build(changed)
    made = f"made with other settings: epochs {epochs}, now {epochs + 1}"
    again = [f"`snakemake --cores all {make.metrics_path(run)}` makes it again" for run in (BASE, SGE)]
    assert told[:2] == [f"{make.metrics_path(run)}: {made}; {how}" for run, how in zip((BASE, SGE), again, strict=True)]
    assert len(told) == 4 and all("which is outdated" in problem for problem in told[2:])  # the detectors start there
    assert cell(0, 1, "top1")["verdict"] == "not run" and cell(0, 1, "top1")["reproduced"] is None
    assert count_missing(changed)[0] == 4 + count_missing(replication)[0]
    assert build(replication) == []
    change_scale(classification={"epochs": epochs})
    assert "settings: optimizer.weight_decay 0.05, now 0.25;" in build(load_replication())[0]


def test_results_of_other_test_settings_are_not_used(replication: Replication) -> None:
    change_scale(detection={"detectors": {"retinanet": {"test": {"score_threshold": 0.125}}}})
    told = build(load_replication())
    assert len(told) == 2 and all("made with other settings: test.score_threshold " in problem for problem in told)
    assert "now 0.125;" in told[0] and cell(1, 1, "ap")["verdict"] == "not run"
    make.edit_origin(RETINA, 0, "evaluate", settings=[1])
    assert "origin.evaluate.settings: found [1], expected a mapping" in " ".join(build(load_replication()))


@pytest.mark.parametrize(("run", "file"), [(BASE, "predictions.npz"), (RETINA.replace("sge-", ""), "matches.npz")])
def test_a_bad_baseline_fails_itself_alone(replication: Replication, run: str, file: str) -> None:
    path = paths.evaluation("demo", run, 0) / file
    path.unlink()
    (problem,) = build(replication)
    table, column = (0, "top1") if run == BASE else (1, "ap")
    assert problem.startswith(str(path))
    assert cell(table, 0, column)["verdict"] == "failed"
    assert judged(table, 1, column) == ("not judged", "no value of its baseline")
    assert cell(table, 1, column)["reproduced"]["value"] > 0 and "gain" not in cell(table, 1, column)["reproduced"]
    page = " ".join(Path("reports/demo/index.html").read_text().split())
    assert "3 of 4" in page and "cannot be used. Remove those that the section “Problems” names" in page


def test_a_column_that_cannot_be_paired_fails_alone(repository: Path) -> None:
    columns = [*make.DETECTION["columns"], {"id": "mask_ap", "label": "Mask AP", "digits": 1}]
    rows = [row | {"run": row["run"].replace("retinanet", "mask-rcnn")} for row in make.DETECTION["rows"]]
    make.write_table("two", make.DETECTION | {"columns": columns, "rows": rows})
    replication = load_replication()
    make.make_results(replication)
    path = paths.evaluation("demo", "detection/mask-rcnn/sge-resnet50", 0) / "matches.npz"
    boxes, masks = Matches.load(path), Matches.load(path, "mask_")
    boxes.save(path, replace(masks, categories=np.array(["others"] * 3)))
    assert build(replication) == [f"{path}: truths: the two differ, expected matches against the same ground truth"]
    assert [cell(1, 1, column)["verdict"] for column in ("ap", "mask_ap")] == ["not judged", "failed"]
    assert "gain" in cell(1, 1, "ap")["reproduced"] and "gain" not in cell(1, 1, "mask_ap")["reproduced"]


@pytest.mark.parametrize("damage", ["metrics", "predictions"])
def test_one_bad_seed_leaves_the_others(repository: Path, damage: str) -> None:
    replication = load_replication(seeds=4)
    make.make_results(replication)
    if damage == "metrics":
        make.edit_metrics(SGE, 1, top1=700)
    else:
        (paths.evaluation("demo", SGE, 1) / "predictions.npz").write_bytes(b"")
    (problem,) = build(replication)
    assert "seed-1/" in problem
    found = cell(0, 1, "top1")
    assert found["reproduced"]["seeds"] == {"0": 70, "2": 72, "3": 73} and found["verdict"] == "same direction"
    assert found["reproduced"]["gain"]["n"] == 3 and found["reproduced"]["gain"]["value"] == pytest.approx(10)
    assert "15 of 16" in Path("reports/demo/index.html").read_text()
    for seed in (0, 2, 3):
        make.metrics_path(SGE, seed).write_text("{")
    (told,) = build(replication)
    assert all(f"seed-{seed}/" in told for seed in range(4))
    assert cell(0, 1, "top1")["verdict"] == "failed" and cell(0, 1, "top1")["reproduced"] is None


def test_the_number_of_images_is_not_trusted(replication: Replication) -> None:
    make.edit_metrics(SGE, images=40_000)
    make.edit_metrics(RETINA, images=40_000)
    told = build(replication)
    assert [problem.partition(": ")[0].rpartition("/")[2] for problem in told] == ["predictions.npz", "matches.npz"]
    for problem, images in zip(told, (400, 100), strict=True):
        assert f"found {images} images, expected 40000 as in metrics.json" in problem
    assert {cell(0, 1, "top1")["verdict"], cell(1, 1, "ap")["verdict"]} == {"failed"}


@pytest.mark.parametrize("bad", [math.inf, -1, 0.5])
def test_counts_are_whole(replication: Replication, bad: float) -> None:
    make.edit_metrics(SGE, best_epoch=bad)
    (problem,) = build(replication)
    expected = "a finite number" if bad == math.inf else "a whole number of 0 or more"
    assert problem.endswith(f"metrics.best_epoch: found {bad!r}, expected {expected}")


@pytest.mark.parametrize(
    ("key", "bad", "expected"),
    [
        ("seconds", math.inf, "a finite number"),
        ("seconds", math.nan, "a finite number"),
        ("seconds", -1, "at least 0 (duration; of a training, of all its attempts)"),
        ("seconds", "1", "a number (duration; of a training, of all its attempts)"),
        ("finished", "later", "an ISO 8601 date"),
        ("finished", 20260102, "text (end of the step, ISO 8601)"),
    ],
)
@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_times_of_the_origin(replication: Replication, step: str, key: str, bad: Any, expected: str) -> None:
    make.edit_times(SGE, 0, step, **{key: bad})
    path = paths.evaluation("demo", SGE, 0) / "timing.json"
    assert build(replication) == [f"{path}: {step}.{key}: found {bad!r}, expected {expected}"]
    assert cell(0, 1, "top1")["verdict"] == "failed"


def test_times_that_are_not_known_are_left_out(replication: Replication) -> None:
    assert build(replication) == []
    before = {name: Path("reports/demo", name).read_bytes() for name in ("comparison.json", "metrics.json")}
    page = Path("reports/demo/index.html").read_text()
    timings = list(Path("results/demo/evaluation").rglob("timing.json"))
    for path in timings:
        path.unlink()
    assert timings and build(replication) == []
    assert {name: Path("reports/demo", name).read_bytes() for name in before} == before
    without = Path("reports/demo/index.html").read_text()
    for told in ("<dt>Duration</dt>", "<dt>Peak memory</dt>", "<dt>Finished</dt>", "2026-01-02"):
        assert told in page and told not in without
    for text, problem in {"{": "line 1 is not JSON", "[]": "the whole file: found [], expected a mapping"}.items():
        timings[0].write_text(text)
        (told,) = build(replication)
        assert told.startswith(str(timings[0])) and problem in told


def test_two_trainings_have_the_sampling_error_of_the_images_alone(repository: Path) -> None:
    replication = load_replication(seeds=2)
    few = replication.pipeline.report.model_copy(update={"bootstrap_samples": 20})
    replication = replace(replication, pipeline=replication.pipeline.model_copy(update={"report": few}))
    make.make_results(replication)
    assert build(replication) == []
    gain = cell(1, 1, "ap")["reproduced"]["gain"]
    names = ("resnet50", "sge-resnet50")
    runs = [
        [Matches.load(paths.evaluation("demo", f"detection/retinanet/{name}", seed) / "matches.npz") for seed in (0, 1)]
        for name in names
    ]
    values = []
    for weights in (None, *np.random.default_rng(0).multinomial(100, np.full(100, 0.01), size=20)):
        before, after = (sum(ap(matches, weights) for matches in run) / 2 for run in runs)
        values.append(after - before)
    assert (gain["n"], gain["low"], gain["images"]["n"]) == (2, None, 100)
    assert gain["value"] == pytest.approx(values[0], abs=1e-5)
    found = [gain["images"]["low"], gain["images"]["high"]]
    assert found == pytest.approx(np.percentile(values[1:], [2.5, 97.5]), abs=1e-5)
    assert "mean of 2 trainings, paired bootstrap over images" in Path("reports/demo/index.html").read_text()
