"""Claims in the report: their numbers, verdicts and reasons, and the published rows that beat SGE."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication, load_replication
from sgenet.config.tables import load_table
from sgenet.evaluation.activations import Estimate, MeasuredActivations, SeedEstimates, Statistics
from sgenet.evaluation.coco_eval import ap
from sgenet.evaluation.matches import Matches
from sgenet.evaluation.trainings import Gain
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.claims import Judge
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import Missing
from sgenet.judgement.judged import JudgedClaim, JudgedCondition
from sgenet.judgement.ranking import beaten
from sgenet.judgement.results import Found, RunResults, read_found
from sgenet.report import build
from sgenet.report.environment import make_environment
from support import results as make

RETINA = "detection/retinanet/"


def claims(scale: str = "demo") -> dict[str, dict[str, Any]]:
    return {claim["id"]: claim for claim in make.comparison(scale)["claims"]}


def judge(replication: Replication, condition: dict[str, Any], gains: Gains | None = None) -> JudgedCondition:
    """A condition judged on what was found; or, with made-up gains, as if every row was run."""
    make.write_claims([{"id": "F", "sentence": "s", "where": "w", "conditions": [condition]}])
    found = Found({run: RunResults(run) for run in replication.runs}) if gains else read_found(replication)
    (claim,) = load_claims(replication.tables).claims
    (judged,) = Judge(replication, found, gains or Gains(replication, found), Missing()).claim(claim).conditions
    return judged


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
    assert {id: (claim["verdict"], claim["reason"]) for id, claim in found.items()} == {
        "A": ("not judged", "one training of each row"),
        "B": ("contradicted", ""),  # counts need no training
        "C": ("not judged", "some of its conditions were not run"),
    }
    page = Path("reports/demo/index.html").read_text()
    assert '<span class="verdict plain">not judged</span><small>one training of each row</small>' in page
    (top1, _), (detection, images) = (condition["numbers"] for condition in found["A"]["conditions"])
    assert (top1["value"], top1["n"], top1["published"], top1["claimed"]) == (10, 1, 1.2, None)
    assert (detection["published"], detection["claimed"]) == (1.5, [1, 2])
    cell = make.cell(1, 1, "ap")["reproduced"]["gain"]
    assert (images["what"], images["n"]) == ("gain, these trainings on other images", cell["images"]["n"])
    for number, of_cell in ((detection, cell), (images, cell["images"])):
        assert [number["low"], number["high"]] == [of_cell["low"], of_cell["high"]]
    assert detection["value"] == images["value"] == cell["value"]


def test_extra_counts(replication: Replication) -> None:
    build(replication)
    params, gflops = claims()["B"]["conditions"][0]["numbers"]
    assert params["value"] == pytest.approx(100 * 2048 / 25557032, abs=1e-6)
    assert gflops["value"] == pytest.approx(100 * (4.127444 / 4.121924 - 1), abs=1e-6)
    assert claims()["B"]["conditions"][0]["verdict"] == "contradicted"  # 0.13 is more than 0.1


@pytest.mark.parametrize(("at_most", "verdict"), [(0, "replicated"), (0.1, "replicated")])
def test_a_count_at_its_bound_is_decided(replication: Replication, at_most: float, verdict: str) -> None:
    """The module adds nothing to the parameters of the plain network over itself."""
    value = json.loads(paths.complexity("demo").read_text())
    value["models"][make.SGE]["params"] = value["models"][make.BASE]["params"]
    make.write(paths.complexity("demo"), value)
    extra = {"table": "one", "columns": ["params"], "row": "SGE-ResNet50", "at_most": at_most}
    assert judge(replication, {"extra": extra}).verdict == verdict


def test_difference_of_gains_by_the_same_resamples(replication: Replication) -> None:
    build(replication)
    of_trainings, difference, small, _, all_, _ = claims()["C"]["conditions"][0]["numbers"]
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
    assert of_trainings["value"] == difference["value"] and of_trainings["low"] is None


def test_differences_of_gains_over_seeds(repository: Path) -> None:
    replication = load_replication(seeds=3)
    make.make_results(replication)
    small, whole = {}, {}
    for seed in range(3):
        for name in ("resnet50", "sge-resnet50"):
            metrics = json.loads(make.metrics_path(f"{RETINA}{name}", seed).read_text())["metrics"]
            small[name, seed], whole[name, seed] = metrics["ap_small"], metrics["ap"]
    build(replication)
    assert claims()["A"]["verdict"] == "same direction"
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
    build(replication)
    assert (claims()["D"]["verdict"], claims()["D"]["reason"]) == ("not judged", "one training of each row")
    replication = load_replication(tables=["one"], seeds=3)
    make.make_results(replication)
    for skills, verdict in {
        (0.6, 0.8, 0.7): "same direction",
        (0.6, 0.6, 0.7): "opposite direction",
        (0.6, 0.71, 0.7): "undecided",
    }.items():
        for run, skill in zip(rows.values(), skills, strict=True):
            for seed, error in enumerate((0, 0.01, 0.02) if run == rows["G = 16"] else (0.02, 0.0, 0.01)):
                make.make_run("demo", f"classification/{run}", seed, make.IMAGES, skill + error)
        assert build(replication) == []
        assert claims()["D"]["verdict"] == verdict
        number = claims()["D"]["conditions"][0]["numbers"][0]
        assert number["value"] == pytest.approx(100 * (max(skills[:2]) - skills[2]))


def test_statistics_of_the_activations(repository: Path) -> None:
    replication = load_replication()

    def claim(values: list[float], other: list[float] | None = None, **condition: Any) -> JudgedClaim:
        """The claim that the values of the seeds are on one side of a bound, and those of another reading too."""
        by_name = {"relative_variance_ratio": values, "growing_groups": other or values, "variance_ratio": [0.5]}
        statistics = {
            name: SeedEstimates.model_construct(
                description="how it spreads",
                seeds={str(seed): Estimate.model_construct(value=one) for seed, one in enumerate(own)},
            )
            for name, own in by_name.items()
        }
        measured = MeasuredActivations.model_construct(stage=2, statistics=Statistics.model_construct(**statistics))
        statistic = {"name": "relative_variance_ratio", "shown": ["variance_ratio"], **condition}
        make.write_claims([{"id": "E", "sentence": "s", "where": "w", "conditions": [{"statistic": statistic}]}])
        (asked,) = load_claims(replication.tables).claims
        found = Found({})
        return Judge(replication, found, Gains(replication, found), measured).claim(asked)

    above = [1.1, 1.2, 1.3]
    judged = claim(above, above=1)
    number, shown = judged.conditions[0].numbers
    interval = stats.t.interval(replication.pipeline.report.confidence, 2, loc=1.2, scale=0.1 / np.sqrt(3))
    assert (number.value, number.n) == (pytest.approx(1.2), 3)
    assert (number.low, number.high) == pytest.approx(interval)
    assert (shown.value, shown.what) == (0.5, "variance ratio, not judged")
    assert judged.conditions[0].text == "Stage 2: how it spreads: above 1"
    assert interval[0] < 1 and judged.verdict == Verdict.UNDECIDED
    assert claim([1.19, 1.2, 1.21], above=1).verdict == Verdict.SAME
    assert claim([1.19, 1.2, 1.21], below=1).verdict == Verdict.OPPOSITE
    one = claim([1.2], above=1)
    assert (one.verdict, one.judgement.reason) == (Verdict.NOT_JUDGED, "one training of each row")
    two = claim([1.19, 1.2, 1.21], other=[0.79, 0.8, 0.81], above=1, also=["growing_groups"])
    assert (two.verdict, two.judgement.reason) == (Verdict.UNDECIDED, "the statistics disagree")
    assert claim([0.79, 0.8, 0.81], above=1, also=["growing_groups"]).verdict == Verdict.OPPOSITE


def test_a_claim_on_counts_and_on_trainings(repository: Path) -> None:
    """Both hold, in the words of this scale where one is of trainings."""
    extra = {"table": "one", "columns": ["params"], "row": "SGE-ResNet50", "at_most": 1}
    gain = {"table": "one", "column": "top1", "row": "SGE-ResNet50"}
    for scale, word in {"demo": "same direction", "paper": "replicated"}.items():
        make.scale_paper()
        make.write_claims(
            [{"id": "D", "sentence": "s", "where": "w", "conditions": [{"extra": extra}, {"gain": gain}]}]
        )
        replication = load_replication(scale, 3, ["one"])
        make.make_results(replication)
        build(replication)
        words = [one["verdict"] for one in claims(scale)["D"]["conditions"]]
        assert words == ["replicated", {"paper": "stronger"}.get(scale, word)]
        assert claims(scale)["D"]["verdict"] == word


def test_what_was_not_run_states_why(repository: Path) -> None:
    assert build(load_replication()) == []
    found = claims()
    assert {claim["verdict"] for claim in found.values()} == {"not run"}
    page = Path("reports/demo/index.html").read_text()
    for reason in ("no result of SGE-ResNet50, ResNet50", "networks were not counted", "activations were not measured"):
        assert reason in page
    assert build(load_replication(tables=["one"])) == []
    page = Path("reports/demo/index.html").read_text()
    for text in (
        "ap of RetinaNet SGE above its baseline (claimed: 1 to 2 points)",
        "RetinaNet SGE gains more ap_small over its baseline than ap",
        "table two is not among the chosen ones",
    ):
        assert text in page


def test_bad_results_are_no_verdict(replication: Replication) -> None:
    (paths.evaluation("demo", f"{RETINA}sge-resnet50", 0) / "matches.npz").write_bytes(b"")
    (problem,) = build(replication)
    assert "matches.npz" in problem
    found = claims()["A"]
    assert [condition["verdict"] for condition in found["conditions"]] == ["not judged", "failed"]
    assert (found["verdict"], found["reason"]) == ("not judged", "some of its conditions were not run")


def test_a_failed_training_fails_the_condition_as_it_does_the_cell(replication: Replication) -> None:
    make.metrics_path(make.SGE).unlink()
    make.write(paths.run_log("demo", "train", make.SGE, 0), "no\nsgenet: exit status 1\n")
    build(replication)
    condition = claims()["A"]["conditions"][0]
    assert condition["verdict"] == make.cell(0, 1, "top1")["verdict"] == "failed"
    assert condition["reason"] == "a step of SGE-ResNet50 failed"


class _MadeUp(Gains):
    """Every gain, and every difference of two, has this interval, of trainings with this variance."""

    def __init__(self, value: float, error: float, df: float = 20) -> None:
        half = float(stats.t.ppf(0.975, df)) * error
        bounds = {"low": value - half, "high": value + half}
        self._gain = Gain(
            value, 3, 0.95, **bounds, p=0.5, error=error, df=df, variance=1.5 * error**2, total=1.5 * error**2
        )

    def over(self, *_: Any) -> Gain:
        return self._gain

    def over_images(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("value", "kind", "settings", "verdict"),
    [
        (1.25, "gain", {"claimed": [1.5, 1.5]}, "replicated"),
        (0.9, "gain", {"claimed": [1.5, 1.5]}, "inconclusive"),  # one training may have given as much, or half of it
        (0.7, "gain", {"claimed": [1.5, 1.5]}, "weaker"),
        (0.9, "gain", {"claimed": [1.5, 2.0]}, "weaker"),  # a range is taken as it is said
        (1.4, "gain", {"claimed": [1.5, 2.0]}, "replicated"),
        (2.4, "gain", {"claimed": [1.5, 2.0]}, "stronger"),
        (2.4, "gain", {"more_than": 1.5}, "replicated"),  # a least size has no upper end
        (0.9, "gain", {"more_than": 1.5}, "weaker"),
        (1.1, "gain", {}, "replicated"),  # 1.2 is published
        (0.1, "gain", {}, "contradicted"),  # contains 0, and not half of 1.2
        (-1.0, "gain", {}, "contradicted"),
        (0.2, "larger_gain", {"than": "top5"}, "inconclusive"),  # the published difference is 1.1
        (1.0, "larger_gain", {"than": "top5"}, "replicated"),
    ],
)
def test_sizes_at_scale_paper(repository: Path, value: float, kind: str, settings: Any, verdict: str) -> None:
    make.scale_paper()
    rows = [dict(row, published=dict(row["published"])) for row in make.CLASSIFICATION["rows"]]
    rows[1]["published"]["top5"] = {"value": 93.008, "source": ["H"]}
    make.write_table("one", make.CLASSIFICATION | {"rows": rows})
    condition = {kind: {"table": "one", "column": "top1", "row": "SGE-ResNet50"} | settings}
    judged = judge(load_replication("paper"), condition, _MadeUp(value, 0.15))
    assert judged.verdict == verdict
    half = 0.15 * float(stats.t.ppf(0.975, 20))
    assert judged.direction == (
        "same direction" if value > half else "opposite direction" if value < -half else "undecided"
    )
    assert judged.numbers[0].published == pytest.approx(1.2 if kind == "gain" else 1.1)
    of_size = {"claimed": " (claimed: 1.5", "more_than": " (claimed: more than 1.5 points)"}
    assert all(of_size[key] in judged.text for key in settings if key in of_size)


@pytest.mark.parametrize("scale", ["demo", "paper"])
@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_where_the_paper_publishes_a_loss_the_sentence_gives_the_direction(
    repository: Path, scale: str, value: float
) -> None:
    make.scale_paper()
    rows = [dict(row, published=dict(row["published"])) for row in make.CLASSIFICATION["rows"]]
    rows[1]["published"]["top1"] = {"value": 75.0, "source": ["H"]}  # 1.384 below its baseline
    make.write_table("one", make.CLASSIFICATION | {"rows": rows})
    condition = {"gain": {"table": "one", "column": "top1", "row": "SGE-ResNet50"}}
    words = {"demo": ("same direction", "opposite direction"), "paper": ("replicated", "contradicted")}[scale]
    assert judge(load_replication(scale), condition, _MadeUp(value, 0.15)).verdict == words[value < 0]


def test_rows_that_are_alone_at_their_depth_have_no_known_variance(repository: Path) -> None:
    rows = table({"deep": "sge-resnet101", "shallow": "sge-resnet50"}, top1="Top-1")
    rows["rows"][0]["model"] = "sge-resnet101"
    make.write_table("one", rows)
    make.write_claims([])
    replication = load_replication(seeds=3, tables=["one"])
    make.make_results(replication)
    judged = judge(replication, {"gain": {"table": "one", "column": "top1", "row": "shallow"}})
    assert (judged.verdict, judged.reason) == (Verdict.NOT_JUDGED, "the run-to-run variance is not known")


def test_a_condition_that_these_trainings_cannot_decide_says_so(repository: Path) -> None:
    """Only of the number that is judged, and where it is not decided all the same."""
    make.scale_paper()
    replication = load_replication("paper")
    condition = {"gain": {"table": "one", "column": "top1", "row": "SGE-ResNet50"}}
    words = "too few trainings to decide this"
    for value, error, said in [(0.3, 0.6, True), (0.3, 0.3, False), (9.0, 0.6, False)]:
        judged = judge(replication, condition, _MadeUp(value, error))
        smallest = judged.numbers[0].smallest
        assert judged.numbers[0].beyond_reach == (smallest > 1.2) == (error == 0.6)
        assert judged.undecided == (value == 0.3)
        (claim,) = load_claims(replication.tables).claims
        of_page = {"paper": True, "seeds": 3, "confidence": "95", "beaten": []}
        page = make_environment().from_string(
            '{% from "parts.html" import verdict with context %}{% include "claims.html" %}'
        )
        shown = page.render(claims=[JudgedClaim(claim, judged.judgement, (judged,))], **of_page)
        assert (words in shown) == said
        assert f"a difference of {smallest:.2f} would be found with a probability of 80 %" in shown


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
