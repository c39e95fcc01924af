"""comparison.json, metrics.json and the curves: their numbers."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.comparison import read_comparison
from sgenet.report import build
from support import results as make
from support.results import BASE, RETINA, SGE, cell, comparison, judged

BASELINE, ONE = ("not judged", "a baseline"), ("not judged", "one training of each row")


def test_numbers_by_hand(replication: Replication) -> None:
    assert build(replication) == []
    top1 = cell(0, 1, "top1")
    # 240 of 400 images right, 280 of 400 with SGE: 40 gained, none lost. Wilson's interval of 0.7 with n = 400, and
    # Bonett and Price's of the difference, by hand with z = 1.959964.
    z, n, p, up, down = 1.959964, 400, 0.7, 41 / 402, 1 / 402
    centre, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    ends = [100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    wald = z * math.sqrt((up + down - (up - down) ** 2) / 402)
    note = {"note": "a note on a value"}
    assert top1["published"] == {"value": 77.584, "source": ["H"], "confidence": "low"} | note
    found = top1["reproduced"]
    assert found["value"] == 70 and found["n"] == 1 and found["seeds"] == {"0": 70} and found["last"] == 69
    assert [found["low"], found["high"]] == pytest.approx(ends, abs=1e-3)
    gain = found["gain"]
    images = gain.pop("images")
    assert gain.pop("value") == 10 and gain.pop("baseline") == "ResNet50" and gain.pop("n") == 1
    assert set(gain) == {"low", "high", "df", "smallest", "p", "adjusted_p", "needed"}
    assert set(gain.values()) == {None}  # one training of each row has no interval over trainings
    assert images["low"] == pytest.approx(100 * (up - down - wald), abs=1e-3)
    assert images["high"] == pytest.approx(100 * (up - down + wald), abs=1e-3)
    # 40 images out of 400 changed to right and none to wrong: McNemar's test is that of 40 equal coins
    assert images["p"] == pytest.approx(0.5**40, rel=1e-2) and images["n"] == 400
    assert (top1["verdict"], top1["reason"]) == ONE
    assert top1["origin"]["data"] == ["f1"] and top1["origin"]["seeds"] == [0]
    assert top1["origin"]["commands"] == [
        f"sgenet {step} {SGE} --scale demo --seed 0" for step in ("train", "evaluate")
    ]
    assert cell(0, 1, "top5")["reproduced"]["value"] == 85
    assert judged(0, 1, "top5") == ("not judged", "no published gain")
    assert judged(0, 0, "top1") == BASELINE


def test_counts(replication: Replication) -> None:
    build(replication)
    assert cell(0, 0, "params")["reproduced"] == {"value": 25.557032, "n": 1, "difference": -0.002968}
    assert [cell(0, row, "gflops")["verdict"] for row in (0, 1)] == ["exact", "differs"]
    assert judged(0, 1, "params") == ("not judged", "no published value")
    assert cell(0, 1, "params")["origin"] == {
        "commands": ["sgenet complexity --scale demo"],
        "model": "sge-resnet50",
        "input": [224, 224],
        "part": "network",
    }


def test_average_precision(replication: Replication) -> None:
    build(replication)
    metrics = [json.loads(make.metrics_path(f"detection/retinanet/{name}").read_text())["metrics"]
               for name in ("resnet50", "sge-resnet50")]  # fmt: skip
    ap = cell(1, 1, "ap")
    assert ap["reproduced"]["value"] == pytest.approx(metrics[1]["ap"], abs=1e-6)
    assert ap["reproduced"]["gain"]["value"] == pytest.approx(metrics[1]["ap"] - metrics[0]["ap"], abs=1e-5)
    images = ap["reproduced"]["gain"]["images"]
    assert 0 < images["low"] < ap["reproduced"]["gain"]["value"] < images["high"] and images["n"] == 100
    assert judged(1, 1, "ap") == ONE
    assert judged(1, 1, "ap_small") == ("not judged", "no published gain")


def _skills(*skills: float) -> None:
    """Made-up runs of SGE, a seed each; those of the baseline have 60, 61 and 62 %."""
    for seed, skill in enumerate(skills):
        make.make_run("demo", SGE, seed, make.IMAGES, skill)


@pytest.mark.parametrize(
    ("skills", "verdict"),
    [
        ((0.7, 0.725, 0.715), "same direction"),
        ((0.55, 0.57, 0.56), "opposite direction"),
        ((0.55, 0.725, 0.6), "undecided"),
        ((0.7, 0.725), "not judged"),
    ],
)
def test_directions_below_scale_paper(repository: Path, skills: tuple[float, ...], verdict: str) -> None:
    replication = load_replication(seeds=len(skills), tables=["one"])
    make.make_results(replication)
    _skills(*skills)
    assert build(replication) == []
    reason = "2 trainings of each row, 3 are needed" if len(skills) == 2 else ""
    assert judged(0, 1, "top1") == (verdict, reason)


def test_several_seeds(repository: Path) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    _skills(0.7, 0.725, 0.715)
    assert build(replication) == []
    found = cell(0, 1, "top1")["reproduced"]
    # Gains 10, 11.5 and 9.5 over the baseline's 60, 61 and 62; t(0.975, 2) = 4.302653. With a single pair of rows the
    # analysis of blocks is Student's paired test.
    assert found["seeds"] == {"0": 70, "1": 72.5, "2": 71.5} and found["n"] == 3
    assert found["value"] == pytest.approx(214 / 3, abs=1e-6)
    spread = 4.302653 * np.std([70, 72.5, 71.5], ddof=1) / math.sqrt(3)
    assert [found["low"], found["high"]] == pytest.approx([214 / 3 - spread, 214 / 3 + spread], abs=1e-4)
    half = 4.302653 * np.std([10, 11.5, 9.5], ddof=1) / math.sqrt(3)
    assert found["gain"]["value"] == pytest.approx(31 / 3, abs=1e-6)
    assert found["gain"]["low"] == pytest.approx(31 / 3 - half, abs=1e-4)
    assert found["gain"]["p"] == pytest.approx(stats.ttest_1samp([10, 11.5, 9.5], 0).pvalue, rel=1e-2)
    assert (found["gain"]["n"], found["gain"]["df"], found["gain"]["images"]["n"]) == (3, 2, 400)
    make.metrics_path(BASE, 2).unlink()
    assert build(replication) == []
    assert cell(0, 0, "top1")["reproduced"]["n"] == 2
    # Two seeds in common, which gain images 240 to 279 and 244 to 289: 36 of 400 twice, 14 once.
    gain = cell(0, 1, "top1")["reproduced"]["gain"]
    half = 1.959964 * np.repeat([100, 50, 0], [36, 14, 350]).std(ddof=1) / math.sqrt(400)
    assert (gain["value"], gain["n"], gain["low"]) == (10.75, 2, None)
    bounds = [gain["images"]["low"], gain["images"]["high"]]
    assert bounds == pytest.approx([10.75 - half, 10.75 + half], abs=1e-4)
    assert judged(0, 1, "top1") == ("not judged", "2 trainings of each row, 3 are needed")
    assert f"{BASE}, seed 2: no result was found." in Path("reports/demo/index.html").read_text()


def test_nothing_was_run(repository: Path) -> None:
    assert build(load_replication()) == []
    cells = [c for table in comparison()["tables"] for row in table["rows"] for c in row["cells"].values()]
    assert {c["verdict"] for c in cells} == {"not run"}
    assert {c["reproduced"] for c in cells} == {None}
    assert json.loads(Path("reports/demo/metrics.json").read_text())["one"] == {"resnet50": {}, "sge-resnet50": {}}


def test_metrics_and_curves(replication: Replication) -> None:
    build(replication)
    metrics = json.loads(Path("reports/demo/metrics.json").read_text())
    assert metrics["one"]["sge-resnet50"] == {"top1": 70, "top5": 85}
    assert list(metrics["two"]) == ["retinanet", "retinanet-sge"]
    with open("reports/demo/curves/classification.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 8 and list(rows[0]) == ["run", "seed", "epoch", "loss", "lr", "top1", "top5"]
    assert rows[0]["run"] == BASE and rows[8]["run"] == SGE and rows[8]["top1"] == "34.0"
    assert "top1" not in Path("reports/demo/curves/detection.csv").read_text()


def test_equal_runs_give_equal_files(replication: Replication) -> None:
    names = ["comparison.json", "metrics.json", "index.html", "curves/classification.csv"]
    build(replication)
    first = {name: Path("reports/demo", name).read_bytes() for name in names}
    build(load_replication())
    assert {name: Path("reports/demo", name).read_bytes() for name in names} == first
    for run in replication.runs:  # another machine, another day
        for step in ("train", "evaluate"):
            make.edit_origin(run, 0, step, device="another", commit="d00d")
            make.edit_times(run, 0, step, seconds=1.0, finished="2027-01-01")
    build(replication)
    assert Path("reports/demo/comparison.json").read_bytes() == first["comparison.json"]
    for word in ("made-up CPU", "c0ffee", "2026", "312.4", "results/", str(Path.cwd())):
        assert word not in first["comparison.json"].decode()


def test_settings_are_those_of_the_runs(repository: Path) -> None:
    scale = yaml.safe_load(Path("params/scales/demo.yaml").read_text())
    scale["data"]["classification"] = {"source": "folder", "root": "/somewhere/private", "train": "a", "val": "b"}
    make.write(Path("params/scales/demo.yaml"), yaml.safe_dump(scale | {"seeds": {SGE: 2}}))
    build(load_replication(seeds=1))
    settings = comparison()["settings"]
    assert settings["report"] == {"confidence": 0.95, "bootstrap_samples": 200}
    assert settings["data"]["classification"] == {"source": "folder", "defects": "strict"}
    assert [settings["runs"][run]["trainings"] for run in (BASE, SGE)] == [1, 2]
    assert settings["runs"][SGE]["train"]["epochs"] == scale["classification"]["epochs"]
    assert settings["runs"][RETINA]["test"].keys() == {"test"}
    assert comparison()["tables"][1]["columns"]["ap"] == {"label": "AP", "unit": "", "digits": 1}
    assert read_comparison(Path("reports/demo/comparison.json")).scale == "demo"
