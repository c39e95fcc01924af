"""Processes of a replication: the DVC that runs a stage, and the ends of workflows and their steps."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

# What launchers such as torchrun and srun set for each process that they start.
LAUNCHED = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME",
    "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "TORCHELASTIC_ERROR_FILE", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_SIGNALS_TO_HANDLE", "TORCHELASTIC_USE_AGENT_STORE", "SLURM_STEP_NUM_TASKS",
)  # fmt: skip
_PATIENCE = 6  # seconds that a process has for its clean-up after SIGTERM


def dvc_of_stage() -> int | None:
    """Return the id of the DVC process that runs this process as the command of a stage; None outside of a stage."""
    if "DVC_STAGE" not in os.environ:
        return None
    callers = psutil.Process().parents()
    return next((caller.pid for caller in callers if "dvc" in _command(caller)), None)


def end_with(process: int, number: int = signal.SIGTERM) -> None:
    """Send the signal `number` to this process as soon as another process of this machine has ended, even by SIGKILL.

    Workflows end with the DVC that runs them as a stage, steps with their workflow, forks of the fork server with the
    command that they run, and the processes of a distributed training with the one that launched them. (The workers of
    data loaders end with their process by torch's own means.)
    """

    def wait() -> None:
        while alive(process):
            with contextlib.suppress(psutil.Error):  # the timeout, since it may remain as a zombie
                psutil.Process(process).wait(timeout=1)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def stop_steps() -> None:
    """Terminate the steps started by this process, in the background; kill those that do not end in time."""
    threading.Thread(target=_stop, args=(list(_steps(psutil.Process().children())),)).start()


def _stop(steps: list[psutil.Process]) -> None:
    _each(steps, psutil.Process.terminate)
    _, left = psutil.wait_procs(steps, timeout=_PATIENCE)
    for step in left:
        _each([*_below(step), step], psutil.Process.kill)


def _steps(processes: Iterable[psutil.Process]) -> Iterable[psutil.Process]:
    """Yield the topmost processes of `sgenet`, which end their own workers."""
    for process in processes:
        if {"sgenet", "sgenet.cli"} & set(_command(process)):
            yield process
        else:
            yield from _steps(_below(process, recursive=False))


def runs_below(program: str) -> bool:
    """Return whether this process has started a program that still runs, itself or by a shell."""
    return any(program in _command(process) for process in _below(psutil.Process()))


def _command(process: psutil.Process) -> list[str]:
    """Return the first words of a process's command line: interpreter, options, program."""
    try:
        return [Path(word).name for word in process.cmdline()[:3]]
    except psutil.Error:
        return []


def _below(process: psutil.Process, recursive: bool = True) -> list[psutil.Process]:
    try:
        return process.children(recursive=recursive)
    except psutil.Error:
        return []


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended
            act(process)


def alive(process: int) -> bool:
    """Return whether a process with this id runs on this machine; a zombie does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
