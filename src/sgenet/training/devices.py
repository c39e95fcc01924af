"""Devices of a run: the CPU, or GPUs that no other run has locked; and the run's processes, one per device.

A run locks a file for each GPU that it uses, so that concurrent runs never share a GPU by accident. It acquires the
first free GPUs among the visible ones (CUDA_VISIBLE_DEVICES), and waits if too few are free. `device` and `devices` are
settings of the scale.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from functools import cache
from pathlib import Path

from sgenet.errors import InputError
from sgenet.runtime import locks, slurm
from sgenet.runtime.locks import InUseError
from sgenet.runtime.machine import cpu_name

LOCKS = Path("/tmp")  # not TMPDIR, which may differ from job to job
_LOCKED = "SGENET_GPUS_HELD"  # set for processes that a run starts on the GPUs that it has locked
_PARENT = "SGENET_PARENT"  # also set for them: process id of the run that started them
_acquired: list[str] = []  # names of the GPUs that this process has locked


def lacking(device: str, count: int) -> str | None:
    """Return a sentence if a scale of this device, with `count` devices a training, cannot be trained on this machine.

    None if it can.
    """
    if device == "cpu" or (device == "auto" and count == 1):
        return None
    import torch

    there = torch.cuda.device_count()
    if device == "cuda" and not there:
        found = "device: found cuda in the scale, and no CUDA device on this machine"
        return f"{found}, expected one where its jobs run"
    if 0 < there < count:
        return (
            f"devices: found {count} in the scale, expected at most the {there} CUDA devices here; fewer devices give "
            "the same numbers, in more rounds of micro-batches"
        )
    return None


def visible() -> int:
    """Return how many GPUs runs on this machine may use at a time, without torch: one where that is not known."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = _uuids() if listed is None else [name for name in listed.split(",") if name.strip()]
    return max(1, len(names))


def acquire(device: str, count: int = 1) -> str:
    """Resolve `cpu`, `cuda` or `auto` to `cpu` or `cuda`, and lock `count` GPUs.

    Call it before anything uses CUDA. GPUs that are not locked here are hidden from this process and its children.

    Raises:
        InputError: there are fewer GPUs than requested.
    """
    if os.environ.get(_LOCKED):
        return "cuda"
    import torch

    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that CUDA and nvidia-smi number the GPUs alike
    there = torch.cuda.device_count() if device != "cpu" else 0
    if device == "auto" and not there and slurm.gpus_given():
        found = f"no CUDA device on {socket.gethostname()}, though Slurm has given this job one"
        raise InputError(f"device: found auto in the scale, and {found}; expected `device: cpu`, or a driver there")
    if device == "cpu" or (device == "auto" and not there):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine would use a visible GPU
        return "cpu"
    if _acquired:
        return "cuda"
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(there)] if listed is None else listed.split(",")[:there]
    visible = [name.strip() for name in names]
    if is_distributed():  # by another launcher: this process uses one GPU, which `init_process_group` selects
        visible, count = visible[local_rank() :][:1], 1
    if len(visible) < count:
        raise InputError(f"devices: found {count} in the scale, expected at most the {len(visible)} CUDA devices here")
    names = acquire_gpus(visible, count)
    if not is_distributed():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    return "cuda"


def acquire_gpus(visible: list[str], count: int) -> list[str]:
    """Wait until `count` of these GPUs are free, lock them until this process ends, and return their names."""
    reported = False
    while True:
        acquired: dict[str, int] = {}
        for name in visible:
            if len(acquired) < count:
                with contextlib.suppress(InUseError):
                    file = LOCKS / f"sgenet-gpu-{_uuids().get(name, name).replace('/', '_')}.lock"
                    acquired[name] = locks.acquire(file, f"GPU {name}", all_users=True)
        if len(acquired) == count:
            _acquired.extend(acquired)
            return list(acquired)
        for lock in acquired.values():
            locks.release(lock)
        if not reported:
            print(f"waiting for {count} of the GPUs {', '.join(visible)}, which other runs have locked", flush=True)
            reported = True
        time.sleep(1)


@cache
def _uuids() -> dict[str, str]:
    """GPU index -> UUID, which CUDA_VISIBLE_DEVICES may use as well; empty if nvidia-smi does not report them."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = [line.split(",") for line in output.splitlines() if line.count(",") == 1]
    return {index.strip(): uuid.strip() for index, uuid in pairs}


def join_step() -> None:
    """Become a process of a run if srun has started several of them; another launcher comes first."""
    if not is_distributed():
        os.environ.update(slurm.launched())


def is_distributed() -> bool:
    """Whether this process is one of several processes of a run, started as by `torchrun`; see also `join_step`."""
    return "RANK" in os.environ and "LOCAL_RANK" in os.environ


def rank() -> int:
    """Rank of this process among the processes of its run."""
    return int(os.environ["RANK"]) if is_distributed() else 0


def local_rank() -> int:
    """Rank of this process among the processes of its run on this machine."""
    return int(os.environ["LOCAL_RANK"]) if is_distributed() else 0


def world_size() -> int:
    """Number of the run's processes."""
    return int(os.environ["WORLD_SIZE"]) if is_distributed() else 1


def is_launcher() -> bool:
    """Whether this process leads its run: it starts the others, has rank 0 of another launcher, or is the only one."""
    return rank() == 0 and not os.environ.get(_PARENT)


def init_process_group(device: str) -> None:
    """Join the process group of the run, if it has several processes: gloo on the CPU, NCCL on GPUs."""
    if not is_distributed():
        return
    import warnings

    import torch
    from torch import distributed

    if os.environ.get(_PARENT):
        from sgenet.runtime import processes

        # It has locked the GPUs and the folder of checkpoints. SIGKILL, since this process may wait in a library.
        processes.end_with(int(os.environ[_PARENT]), signal.SIGKILL)
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # harmless for 1 x 1 convolutions
    for library in ("OMP", "MKL"):  # mmengine would set it with a warning; the scale sets torch's threads
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    if device == "cuda" and torch.cuda.device_count() > 1:
        torch.cuda.set_device(local_rank())
    if sys.platform == "linux" and os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes run on this machine
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def destroy_process_group() -> None:
    """Leave the process group that `init_process_group` created."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def launch(arguments: list[str], count: int, device: str) -> None:
    """Run `sgenet` with these arguments in `count` processes, one per device, with torchrun's launcher.

    `device` is what `acquire` returned for all of them.

    Raises:
        SystemExit: with the status of the first process that failed, or 128 plus the signal that ended it.
    """
    import logging

    from torch.distributed import TCPStore
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # the step itself reports what is wrong
    os.environ[_PARENT] = str(os.getpid())
    if device == "cuda":
        os.environ[_LOCKED] = "1"
    # The processes rendezvous in a store on a free port. torchrun's default backend, `c10d`, is not used: it unpickles
    # the content of its store, which other users of this machine may reach. The launcher finds the store by its port.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, multi_tenant=True)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid.uuid4().hex, max_restarts=0, monitor_interval=0.2,
        rdzv_backend="static", rdzv_endpoint=f"127.0.0.1:{store.port}", rdzv_configs={"rank": 0},
        local_addr="127.0.0.1",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "sgenet.cli", *arguments)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            print(f"sgenet: process {number} of {count} was ended by signal {-failure.exitcode}", file=sys.stderr)
        raise SystemExit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode) from None
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None


def describe_device(device: str) -> str:
    """Return the name of the GPU, or of the CPU with the number of threads in use."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
