"""Runs with more seeds than others: the graph has exactly their trainings, and what is made from these."""

import json
import re

import pytest

from support.stub import JOURNAL

PLAIN, MODULE, DETECTOR = "classification/resnet50", "classification/sge-resnet50", "detection/retinanet/sge-resnet50"
OTHER = "detection/retinanet/resnet50"
SMOKE = "params/scales/smoke.yaml"
JOB = re.compile(r"^(?:Job \d+: )?(train|evaluate) (\S+/\S+), seed (\d+)$", re.MULTILINE)
ROWS = ["tables=coco-retinanet", "rows=RetinaNet SGE-ResNet50"]  # with its baseline


def jobs(output):
    """The seeds that are trained, and those that are evaluated, by run."""
    found = {"train": {}, "evaluate": {}}
    for step, run, seed in JOB.findall(output):
        found[step].setdefault(run, []).append(int(seed))
    return {step: {run: sorted(seeds) for run, seeds in of.items()} for step, of in found.items()}


@pytest.mark.parametrize(
    ("seeds", "least", "expected"),
    [
        ({}, 1, {PLAIN: 1, MODULE: 1, OTHER: 1, DETECTOR: 1}),
        ({"classification/resnet50": 3}, 1, {PLAIN: 3, MODULE: 1, OTHER: 1, DETECTOR: 1}),
        ({"detection/retinanet/sge*": 2, PLAIN: 3}, 1, {PLAIN: 3, MODULE: 2, OTHER: 1, DETECTOR: 2}),
        ({"*resnet50": 2, OTHER: 4}, 3, {PLAIN: 4, MODULE: 3, OTHER: 4, DETECTOR: 3}),
    ],
)
def test_the_graph_has_exactly_the_trainings_that_are_asked_for(new_checkout, seeds, least, expected):
    checkout = new_checkout()
    checkout.edit(SMOKE, lambda scale: scale.update(seeds=seeds))
    output = checkout("snakemake", "--dry-run", "--config", *ROWS, f"seeds={least}")
    runs = {run: list(range(count)) for run, count in expected.items()}
    assert jobs(output) == {"train": runs, "evaluate": runs}
    counted, trainings = checkout.jobs(output), 2 * sum(expected.values())
    others = {rule: count for rule, count in counted.items() if not rule.startswith(("train", "evaluate"))}
    assert others == {
        "activations": 1, "all": 1, "complexity": 1, "prepare_data": 2, "report": 1, "total": trainings + 6,
    }  # fmt: skip
    classifiers = {run: seeds for run, seeds in runs.items() if run.startswith("classification/")}
    output = checkout("snakemake", "classify", "--dry-run", "--config", *ROWS, f"seeds={least}")
    assert jobs(output) == {"train": classifiers, "evaluate": {}}


def test_a_pattern_that_fits_no_run_stops_snakemake_before_anything_runs(new_checkout):
    checkout = new_checkout()
    checkout.edit(SMOKE, lambda scale: scale.update(seeds={"classification/resnet5": 2}))
    output = checkout("snakemake", "--dry-run", status=1)
    assert f"{SMOKE}: seeds: found 'classification/resnet5', which fits no run" in output and "Traceback" not in output


@pytest.mark.slow
def test_seeds_that_are_added_to_a_run_are_made_and_nothing_else(new_checkout, replicated):
    checkout = new_checkout(replicated)
    journal = checkout.folder.with_suffix(".journal")
    checkout.environment[JOURNAL] = str(journal)
    of = checkout.folder / "results/smoke/evaluation/activations.json"
    changes = ("snakemake", 2, [1]), ("dvc repro", 3, [2]), ("dvc repro", 1, []), ("snakemake", 3, [])
    for entry, seeds, made in changes:
        checkout.edit(SMOKE, lambda scale, seeds=seeds: scale.update(seeds={MODULE: seeds}))
        checkout(*entry.split())
        lines = journal.read_text().splitlines()
        journal.unlink()
        own = [f"{step} {MODULE} --scale smoke --seed {seed}" for step in ("train", "evaluate") for seed in made]
        assert sorted(lines) == sorted([*own, "activations --scale smoke", "report --scale smoke"])
        statistics = json.loads(of.read_text())["statistics"].values()
        assert all(list(one["seeds"]) == [str(seed) for seed in range(seeds)] for one in statistics)
        checkout.nothing_to_do()
