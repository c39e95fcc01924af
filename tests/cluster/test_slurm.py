"""The workflow on a real Slurm: the same files as on one machine, and what a lost or stopped workflow leaves."""

import signal

import pytest

from support.checkout import copy
from support.cluster import (
    LOG,
    QUICK,
    RECORD,
    RUN,
    SUBMIT,
    continued,
    epochs,
    output_of,
    same_training,
    submitted,
    wait_until,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_the_files_are_those_of_one_machine(cluster, prepared, checkout, tmp_path):
    local = copy(prepared, tmp_path / "local")
    with submitted(checkout) as process:
        local("snakemake")
        assert process.wait(timeout=300) == 0, output_of(checkout)
    assert not cluster.jobs(checkout)
    assert not list((checkout.folder / ".snakemake").glob("sgenet-*-*"))  # no job used a fork server
    assert not [path for path in (checkout.folder / ".resume").rglob("*") if path.is_file()]
    checkout.same_results(local.folder, checkout.folder)
    assert "Nothing to be done" in checkout(*SUBMIT)


def test_a_job_asks_for_what_its_scale_needs(cluster, checkout):
    """On nodes that take no jobs: a training of two GPUs stays pending until the workflow is stopped."""

    def change(scale):
        scale.update(device="cuda", devices=2, threads=3)
        scale["classification"].update(workers=2, device_batch_size=8)

    checkout.edit("params/scales/smoke.yaml", change)
    cluster.set_nodes("drain")
    try:
        with submitted(checkout, "classify") as process:
            wait_until(lambda: len(cluster.jobs(checkout)) == 2, "both trainings are submitted")
            (job, *_) = cluster.jobs(checkout).values()
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not cluster.jobs(checkout), "the jobs are cancelled", 15)
            assert process.wait(timeout=60) != 0
    finally:
        cluster.set_nodes("resume")
    assert job["JobState"] == "PENDING" and job["NumNodes"] in ("1", "1-1") and job["CPUs/Task"] == "6"
    assert job["TresPerJob"].endswith("gpu:2") and job["TimeLimit"] == "01:00:00"
    assert job["MinMemoryNode"] == "6000M"
    assert job["JobName"].startswith("sgenet_") and job["Requeue"] == "1"


def test_one_training_on_two_nodes_is_that_of_two_processes_on_one(cluster, prepared, tmp_path):
    def change(scale):
        scale["classification"].update(device_batch_size=8)
        scale.update(devices=2)

    one = copy(prepared, tmp_path / "one")
    one.edit("params/scales/smoke.yaml", change)
    one.edit("params/pipeline.yaml", lambda value: value.update(rows=["ResNet50"]))
    several = copy(one, tmp_path / "several")
    several.edit("params/scales/smoke.yaml", lambda scale: scale.update(devices_per_node=1))
    with submitted(several, f"results/smoke/evaluation/{RUN}/seed-0/metrics.json") as process:  # both steps in one job
        one("snakemake", "classify")
        assert process.wait(timeout=300) == 0, output_of(several)
    assert "on 2 devices of 2 nodes of a cluster" in output_of(several)
    (job,) = cluster.ended(several)
    assert job["JobState"] == "COMPLETED" and job["NumNodes"] == "2" and job["NumTasks"] == "2"
    assert "on 2 devices" in (several.folder / LOG).read_text()
    same_training(several, one)


def test_a_job_that_finds_no_gpu_fails_with_a_sentence(cluster, checkout):
    checkout.edit("params/scales/smoke.yaml", lambda scale: scale.update(device="auto"))
    checkout(*SUBMIT, *QUICK, "--restart-times", "0", RECORD, status=1)
    assert "device: found auto in the scale, and no CUDA device on" in (checkout.folder / LOG).read_text()


def test_a_killed_workflow_and_cancelled_jobs_continue(cluster, long, undisturbed):
    reached = 0
    for stop in ("kill", "scancel"):
        (long.folder / LOG).unlink(missing_ok=True)
        with submitted(long, "--restart-times", "0", "classify") as process:
            wait_until(lambda: len(epochs(long)) > 2, "some epochs")
            assert continued(long) >= reached
            (job,) = cluster.jobs(long)
            if stop == "kill":
                process.kill()
            else:
                cluster.ask("scancel", job)
                assert process.wait(timeout=120) != 0
            reached = max(epochs(long))
        assert (job in cluster.jobs(long)) == (stop == "kill")
    long(*SUBMIT, *QUICK, "classify")
    assert continued(long) >= reached
    same_training(long, undisturbed)


def test_dvc_submits_no_jobs(cluster, checkout):
    checkout.use_dvc()
    checkout.environment["SNAKEMAKE_PROFILE"] = "profiles/slurm"
    output = checkout("dvc", "repro", status=255)
    assert "dvc repro: found jobs for a cluster, expected `snakemake --workflow-profile profiles/slurm`" in output
    assert not cluster.jobs(checkout) and "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_jobs_of_a_stopped_workflow_are_cancelled(cluster, long, number):
    with submitted(long, "classify") as process:
        wait_until(lambda: epochs(long), "the first epoch")
        if number == signal.SIGTERM:  # as from another login shell
            assert f"this checkout is in use by process {process.pid} on" in long(*SUBMIT, "classify", status=1)
            assert cluster.jobs(long)
        process.send_signal(number)
        if number == signal.SIGINT:  # Ctrl-C twice
            wait_until(lambda: "the same command continues" in output_of(long), "the first signal is seen", 10)
            process.send_signal(number)
        wait_until(lambda: not cluster.jobs(long), "the job is cancelled", 15)
        assert process.wait(timeout=15) != 0
    assert "the same command continues" in output_of(long)
    assert "Traceback" not in output_of(long)
