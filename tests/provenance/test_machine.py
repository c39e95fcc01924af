"""The machine of a step, with a driver that is made up, and what records make of it."""

import json
import os
import socket
import sys
from types import SimpleNamespace

import pytest
import torch

from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.provenance import machine
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.origin import Making
from sgenet.provenance.records import read_record, write_record

RUN = "classification/sge-resnet50"


class DriverError(Exception):
    """An error of the driver."""


def driver(*energies: int | None) -> SimpleNamespace:
    """NVML with GPUs of these energies in mJ; None: a model that measures none."""

    def energy(handle: int) -> int:
        if energies[handle] is None:
            raise DriverError
        return energies[handle]

    return SimpleNamespace(
        NVMLError=DriverError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(energies),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: f"GPU-{handle}",
        nvmlDeviceGetTotalEnergyConsumption=energy,
        nvmlSystemGetDriverVersion=lambda: "580.1",
    )


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch with the GPUs 2 and 1 of four visible, in this order."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    properties = [SimpleNamespace(name="H200", uuid="2"), SimpleNamespace(name="H200", uuid="1")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties[index])


def test_energy_is_of_the_visible_gpus(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(0, None, 7_000, 1))
    start = machine.Start.now()
    monkeypatch.setitem(sys.modules, "pynvml", driver(10**6, None, 19_340, 10**6))
    found = machine.describe(start)
    assert [(gpu.name, gpu.device_uuid, gpu.energy_joules) for gpu in found.gpus or []] == [
        ("H200", "GPU-2", 12.3),
        ("H200", "GPU-1", None),
    ]
    assert found.driver == "580.1" and found.cuda == torch.version.cuda


def test_without_driver(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = driver()
    broken.nvmlInit = lambda: (_ for _ in ()).throw(DriverError())
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    found = machine.describe(machine.Start.now())
    assert found.driver is None and [gpu.energy_joules for gpu in found.gpus or []] == [None, None]


def test_cpu_and_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    found = machine.describe(machine.Start.now())
    assert found.host == socket.gethostname() and found.cluster_job == "4711" and found.gpus is None
    assert found.threads == torch.get_num_threads() and abs((found.load or 0) - os.getloadavg()[0]) < 5


def test_the_digest_of_a_record_does_not_depend_on_the_machine(project: object) -> None:
    artifacts = Artifacts(load_replication("smoke", 1, ["imagenet"]))
    for step in (artifacts.training(artifacts.replication.run(RUN), 0), artifacts.complexity()):
        made = Making.of(artifacts, step).measured()
        assert made.machine and made.machine.host == socket.gethostname()
        assert made.without_times().machine is None
        value = made.plain()
        for key in reversed(step.at):
            value = {key: value}
        write_record(step, value)
        record = json.loads(step.record.read_text())
        entry = record[step.at[0]] if step.at else record
        del entry["machine"]["host"]
        step.record.write_text(json.dumps(record))
        assert read_record(step).identity
        entry["commit"] = 40 * "a"
        step.record.write_text(json.dumps(record))
        with pytest.raises(InputError, match="was changed since it was written"):
            read_record(step)
