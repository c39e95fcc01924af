"""Claims in the report: their numbers, verdicts and reasons, and the published rows that beat SGE."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication, load_replication
from sgenet.config.tables import load_table
from sgenet.evaluation.coco_eval import ap
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.statistics import Gain
from sgenet.report import build
from sgenet.report.claims import Judge
from sgenet.report.gains import Gains
from sgenet.report.ranking import beaten
from sgenet.report.results import Found, RunResults
from support import results as make

RETINA = "detection/retinanet/"


def claims(scale: str = "demo") -> dict[str, dict[str, Any]]:
    value = json.loads(Path(f"reports/{scale}/comparison.json").read_text())
    jsonschema.validate(value, json.loads(Path("workflow/schemas/comparison.schema.json").read_text()))
    return {claim["id"]: claim for claim in value["claims"]}


def table(rows: dict[str, str], **columns: str) -> dict[str, Any]:
    """A table of classification rows (label -> run) without published values; the first is everyone's baseline."""
    entries: list[dict[str, Any]] = []
    for label, run in rows.items():
        entries.append({"label": label, "run": run, "model": "sge-resnet50"})
        if len(entries) > 1:
            entries[-1]["baseline"] = entries[0]["label"]
    return {"title": "Grid", "task": "classification", "rows": entries,
            "columns": [{"id": id, "label": label, "digits": 2} for id, label in columns.items()]}  # fmt: skip


def test_gains_of_claims_are_those_of_the_cells(replication: Replication) -> None:
    build(replication)
    found = claims()
    assert {id: claim["verdict"] for id, claim in found.items()} == {
        "A": "holds in this training",
        "B": "contradicted",
        "C": "undecided",
    }
    page = Path("reports/demo/index.html").read_text()
    assert '<span class="verdict plain">holds in this training</span>' in page
    top1, detection = (condition["numbers"][0] for condition in found["A"]["conditions"])
    assert (top1["value"], top1["n"], top1["published"], top1["claimed"]) == (10, 400, 1.2, None)
    assert (detection["published"], detection["claimed"]) == (1.5, [1, 2])
    value = json.loads(Path("reports/demo/comparison.json").read_text())
    cell = value["tables"][1]["rows"][1]["cells"]["ap"]["reproduced"]["gain"]
    assert {key: detection[key] for key in ("value", "low", "high")} == {
        key: cell[key] for key in ("value", "low", "high")
    }


def test_extra_counts(replication: Replication) -> None:
    build(replication)
    params, gflops = claims()["B"]["conditions"][0]["numbers"]
    assert params["value"] == pytest.approx(100 * 2048 / 25557032, abs=1e-6)
    assert gflops["value"] == pytest.approx(100 * (4.127444 / 4.121924 - 1), abs=1e-6)
    assert claims()["B"]["conditions"][0]["verdict"] == "contradicted"  # 0.13 is more than 0.1


def test_difference_of_gains_by_the_same_resamples(replication: Replication) -> None:
    build(replication)
    difference, small, all_ = claims()["C"]["conditions"][0]["numbers"]
    runs = [
        Matches.load(paths.evaluation("demo", f"{RETINA}{name}", 0) / "matches.npz")
        for name in ("resnet50", "sge-resnet50")
    ]
    images = len(runs[0].image_ids)
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=200)  # as the settings say
    values = []
    for weights in (None, *drawn):
        gains = [ap(runs[1], weights, metric) - ap(runs[0], weights, metric) for metric in ("ap_small", "ap")]
        values.append(gains[0] - gains[1])
    assert difference["value"] == pytest.approx(values[0], abs=1e-5)
    assert [difference["low"], difference["high"]] == pytest.approx(np.percentile(values[1:], [2.5, 97.5]), abs=1e-5)
    assert difference["value"] == pytest.approx(small["value"] - all_["value"], abs=1e-5)


def test_differences_of_gains_over_seeds(repository: Path) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    small, whole = {}, {}
    for seed in range(3):
        for name in ("resnet50", "sge-resnet50"):
            metrics = json.loads(make.metrics_path(f"{RETINA}{name}", seed).read_text())["metrics"]
            small[name, seed], whole[name, seed] = metrics["ap_small"], metrics["ap"]
    build(replication)
    assert claims()["A"]["verdict"] == "holds at this scale"  # three seeds tell their spread
    difference = claims()["C"]["conditions"][0]["numbers"][0]
    expected = [
        (small["sge-resnet50", seed] - small["resnet50", seed])
        - (whole["sge-resnet50", seed] - whole["resnet50", seed])
        for seed in range(3)
    ]
    assert difference["value"] == pytest.approx(np.mean(expected), abs=1e-5) and difference["n"] == 3
    half = 4.302653 * np.std(expected, ddof=1) / np.sqrt(3)  # t(0.975, 2)
    assert difference["high"] - difference["value"] == pytest.approx(half, abs=1e-4)


def test_the_best_row(repository: Path) -> None:
    rows = {"G = 8": "sge-resnet50", "G = 16": "sge-resnet50-g16", "G = 32": "sge-resnet50-g32"}
    make.write_table("one", table(rows, top1="Top-1"))
    best = {"best": {"table": "one", "column": "top1", "rows": ["G = 16", "G = 8"]}}
    make.write_claims([{"id": "D", "sentence": "s", "where": "w", "conditions": [best]}])
    replication = load_replication(tables=["one"])
    build(replication)
    assert claims()["D"]["verdict"] == "not run"
    assert "no result of G = 8, G = 16, G = 32" in Path("reports/demo/index.html").read_text()
    make.make_results(replication)
    for skills, verdict in {
        (0.6, 0.8, 0.7): "holds in this training",
        (0.6, 0.6, 0.7): "fails in this training",
    }.items():
        for run, skill in zip(rows.values(), skills, strict=True):
            make.make_run("demo", f"classification/{run}", 0, make.IMAGES, skill)
        assert build(replication) == []
        assert claims()["D"]["verdict"] == verdict
        (number,) = claims()["D"]["conditions"][0]["numbers"]
        assert number["value"] == pytest.approx(100 * (max(skills[:2]) - skills[2]))
    make.make_run("demo", "classification/sge-resnet50", 0, make.IMAGES, 0.7)
    build(replication)
    assert claims()["D"]["verdict"] == "undecided"  # as good as the other


def test_statistics_of_the_activations(repository: Path) -> None:
    replication = load_replication()
    settings = replication.pipeline.report

    def verdict(low: float, high: float, **bound: float | list[str]) -> str:
        name, beside = "relative_variance_ratio", "variance_ratio"
        spread = {"value": 1.1, "low": low, "high": high, "n": 9, "confidence": 0.9}
        below = spread | {"value": 0.5, "low": 0.4, "high": 0.6}
        estimates = {name: spread, beside: spread | {"value": 0.5}, "growing_groups": below}
        found = {key: {"description": "how it spreads", "seeds": {"0": value}} for key, value in estimates.items()}
        measured = {"stage": 2, "statistics": found}
        make.write_claims([
            {"id": "E", "sentence": "s", "where": "w",
             "conditions": [{"statistic": {"name": name, **bound, "shown": [beside]}}]}
        ])  # fmt: skip
        (claim,) = load_claims(replication.tables)
        judged = Judge(replication, Found({}, {}, None), Gains(settings), measured).claim(claim)
        number, *_, shown = judged.conditions[0].numbers
        assert (number.value, number.n, number.confidence) == (1.1, 9, 0.9)
        assert (shown.value, shown.what) == (0.5, "variance ratio, not judged")
        assert judged.conditions[0].text.startswith("Stage 2: how it spreads")
        return judged.verdict

    assert verdict(1.01, 1.2, above=1) == "holds in this training"
    assert verdict(0.9, 1.2, above=1) == "undecided"
    assert verdict(1.01, 1.2, below=1) == "fails in this training"
    assert verdict(1.01, 1.2, above=1, also=["growing_groups"]) == "undecided"  # another reading says otherwise
    assert verdict(0.3, 0.5, above=1, also=["growing_groups"]) == "fails in this training"


def test_what_was_not_run_says_why(repository: Path) -> None:
    assert build(load_replication()) == []
    found = claims()
    assert {claim["verdict"] for claim in found.values()} == {"not run"}
    page = Path("reports/demo/index.html").read_text()
    for reason in ("no result of SGE-ResNet50, ResNet50", "networks were not counted", "activations were not measured"):
        assert reason in page
    assert build(load_replication(tables=["one"])) == []
    assert "table two is not among the chosen ones" in Path("reports/demo/index.html").read_text()


def test_bad_results_are_no_verdict(replication: Replication) -> None:
    (paths.evaluation("demo", f"{RETINA}sge-resnet50", 0) / "matches.npz").write_bytes(b"")
    (problem,) = build(replication)
    assert "matches.npz" in problem
    assert [condition["verdict"] for condition in claims()["A"]["conditions"]] == ["holds in this training", "not run"]
    assert claims()["A"]["verdict"] == "undecided"


def test_size_counts_at_paper_scale(repository: Path) -> None:
    Path("params/scales/paper.yaml").write_text(Path("params/scales/demo.yaml").read_text())
    replication = load_replication("paper")
    make.make_results(replication)
    build(replication)
    top1, detection = claims("paper")["A"]["conditions"]
    assert top1["verdict"] == "supported" and top1["numbers"][0]["low"] > 1.2  # more than the paper says
    page = Path("reports/paper/index.html").read_text()
    assert "not in the interval" in page and "At this scale only the direction" not in page


class _MadeUp(Gains):
    """Every gain, and every difference of two, has this interval."""

    def __init__(self, low: float, high: float) -> None:
        self._gain = Gain((low + high) / 2, low, high, 0.95, 400, "made up")

    def over(self, *_: Any) -> Gain:
        return self._gain

    def difference(self, *_: Any) -> Gain:
        return self._gain


@pytest.mark.parametrize(
    ("low", "high", "kind", "settings", "verdict"),
    [
        (0.5, 1.1, "gain", {"claimed": [1.2, 1.2]}, "undecided"),  # smaller than the sentence says, in one training
        (0.5, 1.1, "gain", {}, "supported"),  # 1.2 is published, and not claimed
        (1.02, 1.08, "gain", {"above": 1.0}, "supported"),
        (0.9, 0.98, "gain", {"above": 1.0}, "contradicted"),
        (0.1, 0.2, "larger_gain", {"than": "top5"}, "supported"),  # the published difference is 1.1
    ],
)
def test_only_what_the_sentence_claims_is_a_size(repository, low, high, kind, settings, verdict) -> None:
    Path("params/scales/paper.yaml").write_text(Path("params/scales/demo.yaml").read_text())
    rows = [dict(row, published=dict(row["published"])) for row in make.CLASSIFICATION["rows"]]
    rows[1]["published"]["top5"] = {"value": 93.008, "source": ["H"]}
    make.write_table("one", make.CLASSIFICATION | {"rows": rows})
    condition = {kind: {"table": "one", "column": "top1", "row": "SGE-ResNet50"} | settings}
    make.write_claims([{"id": "F", "sentence": "s", "where": "w", "conditions": [condition]}])
    replication = load_replication("paper")
    found = Found({run: RunResults(run) for run in replication.runs}, {}, None)
    (claim,) = load_claims(replication.tables)
    (judged,) = Judge(replication, found, _MadeUp(low, high), None).claim(claim).conditions
    assert judged.verdict == verdict
    assert judged.numbers[0].published == pytest.approx(1.2 if kind == "gain" else 1.1)


def test_published_rows_that_beat_sge(project: Any) -> None:
    tables = tuple(load_table(name) for name in ("imagenet", "coco-two-stage", "coco-retinanet", "complexity"))
    found = {(one.row.label, one.column.id): round(one.lead, 3) for one in beaten(tables)}
    assert found == {
        ("SE-ResNet50", "top5"): 0.008,
        ("SK-ResNet50", "top5"): 0.036,
        ("CBAM-ResNet50", "top1"): 0.042,
        ("RetinaNet SE-ResNet50", "ap_medium"): 0.1,
        ("RetinaNet SE-ResNet50", "ap_large"): 0.1,
        ("RetinaNet SK-ResNet50", "ap_large"): 0.5,
    }
    logs = beaten((*tables, load_table("author-logs")))[len(found) :]
    assert {(one.row.label, one.column.id) for one in logs} == {
        ("CBAM-ResNet50", "top1_last"),
        ("CBAM-ResNet50", "top1_mean10"),
        ("SK-ResNet101", "top1_last"),
        ("SK-ResNet101", "top1_mean10"),
    }
