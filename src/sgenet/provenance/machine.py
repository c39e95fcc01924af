"""The machine of a step: host, GPUs with their driver and energy, threads, load, and the job of a cluster."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from sgenet.provenance.results import Gpu, Machine


@dataclass(frozen=True)
class Start:
    """What is known at the start of a step: the load in processes, and the energy of each GPU so far in mJ by UUID."""

    load: float
    energy: dict[str, int]

    @classmethod
    def now(cls) -> "Start":
        """Measure both."""
        return cls(round(os.getloadavg()[0], 2), {uuid: energy for uuid, energy in _energies() if energy is not None})


def describe(start: Start) -> Machine:
    """Return the machine of this process, which may have used GPUs since `start`.

    GPUs and threads are those of torch, if this process has imported it. Energy is that which NVML reports.
    """
    torch, job = sys.modules.get("torch"), os.environ.get("SLURM_JOB_ID")
    machine = Machine(host=socket.gethostname(), cluster_job=job, load=start.load)
    if torch is None:
        return machine
    machine = machine.model_copy(update={"threads": torch.get_num_threads()})
    if not torch.cuda.is_initialized():
        return machine
    now = dict(_energies())
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        uuid = f"GPU-{properties.uuid}"
        before, after = start.energy.get(uuid), now.get(uuid)
        energy = None if before is None or after is None else round((after - before) / 1000, 1)
        gpus.append(Gpu(name=properties.name, device_uuid=uuid, energy_joules=energy))
    cudnn = torch.backends.cudnn.version()
    found = {"gpus": gpus, "driver": _driver(), "cuda": torch.version.cuda, "cudnn": str(cudnn) if cudnn else None}
    return machine.model_copy(update=found)


def _energies() -> Iterator[tuple[str, int | None]]:
    """Yield the UUID of each GPU and its energy since the driver was loaded, in mJ; nothing without NVML."""
    with _nvml() as nvml:
        if nvml is None:
            return
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            try:
                energy = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            except nvml.NVMLError:  # not of this model
                energy = None
            yield nvml.nvmlDeviceGetUUID(handle), energy


def _driver() -> str | None:
    with _nvml() as nvml:
        return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())


@contextmanager
def _nvml() -> Iterator[ModuleType | None]:
    """NVIDIA's management library; None where it, or a driver, is not installed."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
