"""What the rules ask of a replication, without Snakemake."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgenet.config import paths
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.pipeline.workflow import load_workflow, logged
from sgenet.runtime.files import write_json
from sgenet.runtime.processes import LAUNCHED


@pytest.fixture
def workflow(project):
    return load_workflow({"scale": "smoke", "seeds": 2, "tables": "coco-retinanet,ablation-normalization"})


def test_every_run_and_seed_is_trained_and_evaluated(workflow):
    runs, made = workflow.replication.runs.values(), workflow.artifacts
    for task in (Task.CLASSIFICATION, Task.DETECTION):
        members = [run for run in runs if run.task is task]
        assert members and len(list(made.trainings(task))) == 2 * len(members)
    records = [artifact.record for artifact in made.measurements()]
    assert len(records) == len(set(records)) == 2 * len(runs) + 2
    assert paths.activations("smoke") in records and paths.latency("smoke") not in records  # no table of complexity


def test_what_is_missing_is_asked_for_with_what_it_reads(workflow):
    wildcards = SimpleNamespace(name="retinanet/sge-resnet50", seed="1")
    request = workflow.training(Task.DETECTION, wildcards)
    assert request.due and request.asked.read_text().startswith("missing\n")
    assert request.reads == [Path("results/smoke/classification/sge-resnet50/seed-1/best.safetensors")]
    names = [path.name for path in workflow.evaluation(Task.DETECTION, wildcards).reads]
    assert names == ["training.json", "last.safetensors", "history.csv"]


def test_the_file_that_asks_is_newer_than_files_of_the_future(workflow):
    artifact = workflow.artifacts.complexity()
    write_json(artifact.record, {})
    os.utime(artifact.record, (4e9, 4e9))
    assert workflow.request(artifact).asked.stat().st_mtime > 4e9


def test_a_process_of_one_job_judges_nothing(project):
    workflow = load_workflow({"scale": "smoke", "tables": "coco-retinanet"}, judge=False)
    request = workflow.training(Task.DETECTION, SimpleNamespace(name="retinanet/sge-resnet50", seed="0"))
    assert not request.due and request.reads and not request.asked.exists()


def test_a_forced_training_repeats_what_follows(project):
    forced = load_workflow({"scale": "smoke", "tables": "coco-retinanet"}, lambda: {"train_classifier"})
    detector = forced.replication.run("detection/retinanet/sge-resnet50")
    made = forced.artifacts
    assert forced.due(made.evaluation(detector, 0)) == "missing"
    for artifact in (made.training(detector, 0), made.evaluation(forced.replication.run(detector.starts_from), 0)):
        forced.artifacts.due = lambda _: None  # as if all were current
        assert "is forced" in forced.due(artifact)


@pytest.mark.parametrize("rule", ["evaluate_classifier", "evaluate_detector", "activations", "complexity"])
def test_a_forced_measurement_repeats_the_report(project, rule):
    forced = load_workflow({"scale": "smoke", "tables": "coco-retinanet"}, lambda: {rule})
    forced.artifacts.due = lambda _: None  # as if all were current
    assert forced.report().asked.read_text().splitlines()[0].endswith("is forced")


def test_a_step_has_none_of_the_variables_of_a_launcher_that_started_the_workflow(workflow, monkeypatch):
    """Compared with what torchrun sets, which is more than what makes a process a rank."""
    kept = {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "OMP_NUM_THREADS"}  # settings, also of users
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    names = "compgen -e"  # of the exported variables
    before = subprocess.run(["bash", "-c", names], capture_output=True, text=True, check=True).stdout.split()
    shell = f"set -euo pipefail; {names}; echo ---; {workflow.prefix} {names}"  # the options as Snakemake's
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", "bash", "-c", shell]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=120, check=True)
    launched, step = (set(part.split()) - set(before) - kept for part in done.stdout.split("---"))
    assert {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"} <= launched
    assert step == {"SGENET_SEEDS", "SGENET_TABLES", "SGENET_ROWS", "SGENET_CODE"}


def test_a_step_logs_its_output_and_its_exit_status(tmp_path):
    log = tmp_path / "a log"
    command = logged("sh -c 'echo out; echo error >&2; exit 3'")
    shell = command.replace("{log:q}", shlex.quote(str(log))).replace("{{", "{").replace("}}", "}")  # as Snakemake does
    assert subprocess.run(["bash", "-c", shell]).returncode == 3
    assert log.read_text() == "out\nerror\n\nsgenet: exit status 3\n"


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"sclae": "smoke"}, "--config: unknown key sclae, expected scale, seeds, tables, rows or code"),
        ({"scale": "dmo"}, "scale: found 'dmo', no such file in params/scales/; did you mean demo"),
        ({"code": "srict"}, "code: found 'srict', expected "),
        ({"seeds": 0}, "command line: seeds: found 0, expected at least 1"),
        (
            {"tables": "imagenet,imagnet"},
            "tables: found 'imagnet', no such file in params/tables/; did you mean imagenet",
        ),
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


def test_missing_weights_are_one_sentence_before_anything_starts(project):
    chosen = {"scale": "smoke", "tables": "coco-retinanet"}
    project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(starts_from="w/a.pth"))
    with pytest.raises(InputError, match=r"^w/a\.pth: missing \(starts_from: w/a\.pth\), expected a file of weights"):
        load_workflow(chosen)
    load_workflow(chosen, judge=False)
    Path("w").mkdir()
    Path("w/a.pth").write_text("weights")
    workflow = load_workflow(chosen)
    request = workflow.training(Task.DETECTION, SimpleNamespace(name="retinanet/sge-resnet50", seed="0"))
    assert request.due and request.reads == [Path("w/a.pth")]


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [
        ({"devices": 3}, r"smoke.yaml: classification/resnet50: device_batch_size: found 16 on 3 devices, expected "),
        (
            {"devices": 6, "devices_per_node": 4},
            r"smoke.yaml: .*devices: found 6, expected at most the 4 of devices_per_n",
        ),
    ],
)
def test_devices_that_cannot_share_a_training_are_refused_before_any_job(project, devices, sentence):
    project("params/scales/smoke.yaml", lambda scale: scale.update(devices))
    with pytest.raises(InputError, match=sentence):
        load_workflow({"scale": "smoke", "tables": "imagenet"})
