"""What jobs ask of a cluster follows from the scale and from durations, and not from the machine that submits them."""

from types import SimpleNamespace

import pytest

from sgenet.config import paths
from sgenet.config.tasks import Task
from sgenet.pipeline import resources
from sgenet.pipeline.resources import JobResources
from sgenet.pipeline.workflow import load_workflow
from sgenet.runtime.files import write_json

JOB = SimpleNamespace(name="resnet50", seed="0")


def no_cores():
    raise AssertionError("the number of cores of this machine is asked for")


@pytest.fixture
def on(project, monkeypatch):
    """Makes the resources of a scale, on a cluster unless `cores` are given; this machine seems to have a GPU."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")

    def make(scale, cores=None, **changes):
        if changes:
            project(f"params/scales/{scale}.yaml", lambda value: value.update(changes))
        workflow = load_workflow({"scale": scale, "tables": "imagenet,coco-retinanet"})
        return JobResources(workflow, lambda: cores is None, no_cores if cores is None else lambda: cores)

    return make


def plan(device, seconds):
    row = {"task": "classification", "detector": None, "model": "resnet50", "epochs": 100}
    row |= {"training_seconds": seconds, "evaluation_seconds": 60.0}
    write_json(paths.plan("paper"), {"work": [row], "measured": {"device": device}})


def test_a_training_of_paper(on):
    asked = on("paper", devices=4).training(Task.CLASSIFICATION)
    assert (asked["nodes"], asked["gpu"](JOB)) == (1, 4)
    assert asked["mem_mb"] == 4 * (6000 + 8 * 1500)
    assert [asked["runtime"](JOB, attempt) for attempt in (1, 2)] == [24 * 60, 48 * 60]


@pytest.mark.parametrize(("each", "tasks"), [(4, {"tasks_per_node": 4}), (1, {"tasks": 8})])
def test_a_training_with_more_devices_than_a_node_has_uses_several_nodes(on, each, tasks):
    made = on("paper", devices=8, devices_per_node=each)
    asked = made.training(Task.CLASSIFICATION)
    assert (asked["nodes"], asked["gpu"](JOB), asked["cpus_per_task"]) == (8 // each, 8, 8)
    assert asked["mem_mb"] == each * (6000 + 8 * 1500)  # of a node
    assert {name: asked[name] for name in ("tasks", "tasks_per_node") if name in asked} == tasks
    assert f"--nodes={8 // each} --ntasks-per-node={each} --cpus-per-task=8" in made.launcher()
    assert made.evaluation(Task.CLASSIFICATION)["nodes"] == 1
    assert on("paper", devices=8, devices_per_node=8).launcher() == ""
    assert on("paper", cores=64, devices=8, devices_per_node=each).launcher() == ""


def test_the_suggestions_of_a_plan_are_what_jobs_ask_for(on):
    plan("cuda", 6000)
    asked = on("paper")
    found = {job["rule"]: job for job in resources.suggestions(asked.workflow.replication)}
    assert set(found) == {"train_classifier", "evaluate_classifier", "train_detector", "evaluate_detector"}
    assert found["train_classifier"]["mem_mb"] == 6000 + 8 * 1500
    longest = max(asked.minutes("train", run) for run in asked.workflow.replication.runs.values())
    assert longest in {job["runtime"] for job in found.values()} and found["train_detector"]["from"] is None


@pytest.mark.parametrize(("device", "minutes"), [("cuda", 160), ("cpu", 24 * 60)])
def test_a_plan_counts_only_if_it_was_made_on_such_a_device(on, device, minutes):
    """An hour and forty minutes are planned: half as much again, and ten minutes."""
    plan(device, 6000)
    assert on("paper").training(Task.CLASSIFICATION)["runtime"](JOB, 1) == minutes


@pytest.mark.parametrize(("device", "cluster", "here"), [("cpu", 0, 0), ("auto", 1, 1), ("cuda", 1, 1)])
def test_gpus(on, device, cluster, here):
    made = on("smoke", device=device).evaluation(Task.DETECTION)
    assert made["gpu"](JOB) == cluster
    assert on("smoke", cores=8).gpus(1) == here


def test_auto_asks_a_cluster_for_gpus_that_this_machine_does_not_have(on, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert on("smoke", device="auto").gpus(2) == 2
    assert on("smoke", cores=8).gpus(2) == 0


def test_only_on_one_machine_a_step_takes_all_cores(on):
    assert on("paper").machine_threads() == 8
    assert on("paper", cores=32).machine_threads() == 32


def test_nothing_but_latencies_need_a_node_of_their_own(on):
    made = on("paper")
    assert made.measurement(alone=True)["slurm_extra"] == "--exclusive"
    for asked in (made.measurement(), made.preparation(), made.small(), made.evaluation(Task.DETECTION)):
        assert "slurm_extra" not in asked and asked["nodes"] == 1 and asked["mem_mb"] >= resources.SMALL
