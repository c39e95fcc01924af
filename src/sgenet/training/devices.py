"""Which devices a run takes: the CPU, or GPUs that no other run holds; and its processes, one a device.

A GPU is held by a lock on a file, so that runs that start side by side never share one by accident: a run takes the
first free ones of those it may see (CUDA_VISIBLE_DEVICES), and waits where there are none. `device` and `devices` are
settings of the scale.
"""

import ctypes
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from functools import cache
from pathlib import Path

from sgenet.errors import InputError
from sgenet.provenance.origin import cpu_name

LOCKS = Path("/tmp")  # not TMPDIR, which may be a job's own
_HELD = "SGENET_GPUS_HELD"  # set for processes that a run starts on the GPUs that it holds
_PARENT = "SGENET_PARENT"  # for them too: that run's process
_held: list[int] = []  # locks, kept to the end of this process


def take(device: str, count: int = 1) -> str:
    """Resolve `cpu`, `cuda` or `auto` to `cpu` or `cuda`, and take that many GPUs.

    Must come before anything uses CUDA. GPUs that were not taken are hidden from this process and those it starts.

    Raises:
        InputError: fewer GPUs are there than asked for.
    """
    if os.environ.get(_HELD):
        return "cuda"
    import torch

    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as the numbers below
    there = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cpu" or (device == "auto" and not there):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine would take one that it sees
        return "cpu"
    if _held:
        return "cuda"
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(there)] if listed is None else listed.split(",")[:there]
    visible = [name.strip() for name in names]
    if launched():  # by another launcher, which means one of them for this process; `join` chooses it
        visible, count = visible[local_rank() :][:1], 1
    if len(visible) < count:
        raise InputError(f"devices: found {count} in the scale, but {len(visible)} CUDA devices here, expected fewer")
    held = hold(visible, count)
    if not launched():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    return "cuda"


def hold(visible: list[str], count: int) -> list[str]:
    """Lock `count` of these GPUs until this process ends, waiting until so many are free; return their names."""
    told = False
    while True:
        locks = [(name, lock) for name in visible if (lock := _lock(name)) is not None]
        for _, lock in locks[count:] if len(locks) >= count else locks:
            os.close(lock)
        if len(locks) >= count:
            _held.extend(lock for _, lock in locks[:count])
            return [name for name, _ in locks[:count]]
        if not told:
            print(f"waits for {count} of the GPUs {', '.join(visible)}, which other runs hold", flush=True)
            told = True
        time.sleep(1)


def _lock(name: str) -> int | None:
    path = LOCKS / f"sgenet-gpu-{_uuids().get(name, name).replace('/', '_')}.lock"
    try:
        file = _open_lock(path)
    except OSError as error:  # of a link, ELOOP
        reason = (error.strerror or "no reason told").lower()
        raise InputError(f"{path}: cannot be opened ({reason}), expected a file that locks a GPU") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _open_lock(path: Path) -> int:
    """Open a file in a folder where anyone may put one: no link is followed, no pipe waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(path, flags)  # another user's is opened, never made anew
    except FileNotFoundError:
        file = os.open(path, flags | os.O_CREAT)
        os.chmod(file, 0o666)  # whatever the umask: others must be able to open it
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "no ordinary file")
    return file


@cache
def _uuids() -> dict[str, str]:
    """Number of a GPU -> its UUID, by which it may be called as well; empty where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = [line.split(",") for line in told.splitlines() if line.count(",") == 1]
    return {index.strip(): uuid.strip() for index, uuid in pairs}


def launched() -> bool:
    """Whether this process is one of several of a run, as `torchrun` starts them."""
    return "RANK" in os.environ and "LOCAL_RANK" in os.environ


def rank() -> int:
    """Number of this process among those of its run."""
    return int(os.environ["RANK"]) if launched() else 0


def local_rank() -> int:
    """Number of this process among those of its run on this machine."""
    return int(os.environ["LOCAL_RANK"]) if launched() else 0


def world() -> int:
    """Number of the run's processes."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def leads() -> bool:
    """Whether this process answers for its run: it starts the others, is the first of another launcher's, or alone."""
    return rank() == 0 and not os.environ.get(_PARENT)


def join(device: str) -> None:
    """Join the run's other processes, where there are any: gloo on the CPU, NCCL on GPUs."""
    if not launched():
        return
    import warnings

    import torch
    from torch import distributed

    if os.environ.get(_PARENT):
        _end_with(int(os.environ[_PARENT]))
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1 x 1 convolutions: the same memory
    for library in ("OMP", "MKL"):  # mmengine would warn that it does so; torch takes as many threads as the scale says
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    if device == "cuda" and torch.cuda.device_count() > 1:
        torch.cuda.set_device(local_rank())
    if sys.platform == "linux" and os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def _end_with(parent: int) -> None:
    """Have this process ended when the one that holds its GPUs is gone, even by SIGKILL (Linux alone knows how)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; it may be waiting in a library
        if os.getppid() != parent:  # gone before it could be told
            raise SystemExit(128 + signal.SIGKILL)


def leave() -> None:
    """Leave the group that `join` made."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def launch(arguments: list[str], count: int, device: str) -> None:
    """Run `sgenet` with these arguments in `count` processes, one a device, through torchrun's own launcher.

    `device` is what `take` returned for all of them.

    Raises:
        SystemExit: with the status of the first process that failed, or 128 and the signal that stopped all.
    """
    import logging

    from torch.distributed import TCPStore
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # a step says itself what is wrong
    os.environ[_PARENT] = str(os.getpid())
    if device == "cuda":
        os.environ[_HELD] = "1"
    # The processes meet in a store on a port that is free. Not by torchrun's ordinary way, `c10d`: that one unpickles
    # what stands in its store, which others on this machine may reach. The launcher finds the store by its port.
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
    """The name of a device: the GPU's, or the CPU's with the number of threads in use."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
