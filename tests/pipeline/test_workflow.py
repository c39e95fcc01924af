"""What the rules ask of a replication, without Snakemake."""

import json
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgenet.config import paths
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest, SplitCounts
from sgenet.errors import InputError
from sgenet.pipeline.workflow import canonical, load_workflow, logged
from sgenet.runtime.files import write_json


@pytest.fixture
def workflow(project):
    return load_workflow({"scale": "smoke", "seeds": 2, "tables": "coco-retinanet,ablation-normalization"})


def test_every_run_and_seed_is_trained_and_evaluated(workflow):
    runs = workflow.replication.runs.values()
    of_task = {task: [run for run in runs if run.task is task] for task in (Task.CLASSIFICATION, Task.DETECTION)}
    for task, members in of_task.items():
        assert members and len(workflow.trainings(task)) == 2 * len(members)
    files = workflow.evaluations()
    assert len(files) == len(set(files)) == 6 * len(of_task[Task.CLASSIFICATION]) + 8 * len(of_task[Task.DETECTION]) + 1
    assert paths.activations("smoke") in files and paths.latency("smoke") not in files  # no table of complexity
    assert len(workflow.networks()) == len(runs) and workflow.networks(timed=True) == []


def test_a_detector_starts_from_its_classifier_of_the_same_seed(workflow):
    start = workflow.start_of(SimpleNamespace(name="retinanet/sge-resnet50", seed="1"))
    assert start == Path("results/smoke/classification/sge-resnet50/seed-1/best.safetensors")


def test_parameters_of_the_test_are_not_those_of_the_training(workflow):
    wildcards = SimpleNamespace(name="retinanet/sge-resnet50")
    settings, test = workflow.settings(Task.DETECTION)(wildcards), workflow.test_settings(wildcards)
    assert "score_threshold" in test and "score_threshold" not in settings
    assert json.loads(settings)["starts_from"] == "classification/sge-resnet50"


def test_the_fingerprint_is_that_of_the_manifest_now(workflow):
    of = workflow.fingerprint(Task.CLASSIFICATION)
    assert of(None) is None
    splits = {split: SplitCounts(images=1) for split in ("train", "val")}
    made = {"task": Task.CLASSIFICATION, "source": "embedded", "settings": {}, "classes": ["a"], "files": []}
    manifest = Manifest(fingerprint="f1", splits=splits, **made)
    write_json(paths.manifest("smoke", "classification"), manifest.plain())
    assert of(None) == "f1"


def test_the_order_of_keys_does_not_count():
    assert canonical({"a": 1, "b": {"c": 2, "d": 3}}) == canonical({"b": {"d": 3, "c": 2}, "a": 1})


def test_a_step_logs_its_output_and_its_exit_status(tmp_path):
    log = tmp_path / "a log"
    command = logged("sh -c 'echo out; echo error >&2; exit 3'")
    shell = command.replace("{log:q}", shlex.quote(str(log))).replace("{{", "{").replace("}}", "}")  # as Snakemake does
    assert subprocess.run(["bash", "-c", shell]).returncode == 3
    assert log.read_text() == "out\nerror\n\nsgenet: exit status 3\n"


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"sclae": "smoke"}, "--config: unknown key sclae, expected scale, seeds or tables"),
        ({"scale": "dmo"}, "scale: found 'dmo', expected one of demo, paper, smoke, subset"),
        ({"seeds": 0}, "command line: seeds: found 0, expected at least 1"),
        ({"tables": "imagenet,imagnet"}, "tables: found 'imagnet', expected one of"),
    ],
)
def test_bad_choices_are_refused_in_one_sentence(project, chosen, sentence):
    with pytest.raises(InputError, match=sentence):
        load_workflow(chosen)


def test_a_folder_with_braces_is_refused(project, tmp_path, monkeypatch):
    (tmp_path / "{x}").mkdir()
    monkeypatch.chdir(tmp_path / "{x}")
    with pytest.raises(InputError, match="found a brace in the folder's name, expected none"):
        load_workflow({})
