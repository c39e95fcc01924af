"""Nodes that are lost and time limits: a training continues from its last checkpoint, and none is repeated."""

import psutil
import pytest

from support.cluster import RECORD, continued, epochs, output_of, same_training, submitted, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.soak]
REQUEUED = 400  # seconds until a job of a lost node runs elsewhere: Slurm waits two minutes after it has noticed


def steps_of(job):
    """The processes by which Slurm runs a job, and all below them."""
    found = [process for process in psutil.process_iter(["cmdline"]) if f"slurmstepd: [{job}." in str(process.info)]
    return [*found, *(below for process in found for below in process.children(recursive=True))]


@pytest.fixture
def running(cluster, long):
    """A workflow whose training runs: the checkout, its process, the job and its node."""
    with submitted(long, "classify") as process:
        wait_until(lambda: len(epochs(long)) > 2, "some epochs")
        ((job, shown),) = cluster.jobs(long).items()
        yield long, process, job, shown["NodeList"]


def test_a_job_of_a_dead_node_continues_elsewhere(cluster, running, undisturbed):
    long, process, job, node = running
    psutil.Process(cluster.daemon(node)).kill()
    for each in steps_of(job):
        each.kill()
    reached = max(epochs(long))
    try:
        assert process.wait(timeout=REQUEUED) == 0, output_of(long)
    finally:
        cluster.start_node(node)
    assert continued(long) >= reached
    same_training(long, undisturbed)


def test_a_job_of_a_half_dead_node_whose_training_ends_is_not_repeated(cluster, running, undisturbed):
    long, process, _, node = running
    psutil.Process(cluster.daemon(node)).kill()
    cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")  # or 20 seconds later
    wait_until((long.folder / RECORD).exists, "the training ends on the node that Slurm has given up")
    last = max(epochs(long))
    try:
        assert process.wait(timeout=REQUEUED) == 0, output_of(long)
    finally:
        cluster.start_node(node)
    assert continued(long) == last and not epochs(long)  # the requeued job has only written the results
    same_training(long, undisturbed)


def test_a_job_that_reaches_its_time_limit_is_submitted_again_and_continues(cluster, long):
    """The limit of a job that runs is set to the shortest one, which Slurm checks once a minute or so."""
    scale = "params/scales/smoke.yaml"
    long.edit(scale, lambda value: value["classification"].update(epochs=600))
    with submitted(long, "--set-resources", "train_classifier:runtime=1", "--", "classify") as process:
        wait_until(lambda: "Trying to restart" in output_of(long), "the time limit", 300)
        wait_until(lambda: continued(long) > 0, "the training continues")
        process.terminate()
        wait_until(lambda: not cluster.jobs(long), "the job is cancelled", 15)
        assert process.wait(timeout=15) != 0  # Snakemake itself looks at its jobs a minute apart by now
    assert sorted(job["JobState"] for job in cluster.ended(long)) == ["CANCELLED", "TIMEOUT"]
