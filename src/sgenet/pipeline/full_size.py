"""The steps on full-size models: their parameters and operations, and their time on this machine."""

from sgenet.config.model import validate
from sgenet.config.replication import Replication
from sgenet.pipeline.steps import acquire_device
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.origin import Making
from sgenet.provenance.records import write_record
from sgenet.provenance.results import Complexity, Latencies
from sgenet.training.devices import describe_device


def complexity(replication: Replication) -> None:
    """Count parameters and operations of every run's full-size model; writes complexity.json, also if some fail."""
    from sgenet.complexity.count import count_runs
    from sgenet.complexity.failures import print_failures

    artifacts = Artifacts(replication)
    making = Making.of(artifacts, artifacts.complexity())
    models, failed = count_runs(replication.full_size())
    print_failures(failed, "counted")
    result = {"models": models, "failed": failed or None, "origin": making.measured().without_times().plain()}
    write_record(making.artifact, validate(Complexity, result, making.artifact.record).plain())


def latency(replication: Replication) -> None:
    """Time the models of tables of complexity on this machine; writes latency.json, also if some fail."""
    import torch

    from sgenet.complexity.failures import print_failures
    from sgenet.complexity.latency import measure

    artifacts = Artifacts(replication)
    making = Making.of(artifacts, artifacts.latency())
    device, settings = acquire_device(replication), replication.scale.latency
    networks = {run.id: (run.model, run.network) for run in replication.full_size() if not run.task.trained}
    size, rounds = settings.image_size, settings.rounds
    models, failed = measure(networks, replication.plain_of(), size=size, rounds=rounds, device=device)
    print_failures(failed, "timed")
    how = {"input": [size, size], "batch": 1, "threads": torch.get_num_threads(), "rounds": rounds}
    made, path = making.measured(describe_device(device)).plain(), making.artifact.record
    result = {**how, "models": models, "failed": failed or None, "origin": made}
    write_record(making.artifact, validate(Latencies, result, path).plain())
