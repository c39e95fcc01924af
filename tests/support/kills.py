"""Replications that are killed at a chosen moment, or stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from support.checkout import Checkout

KILL_AT = Path(__file__).parent / "kill_at"
TRAINING = "logs/smoke/train/classification/resnet50-seed-0.log"
EPOCHS, ENDLESS = 2, 100_000  # those of scale `smoke`, and the most that are allowed
SOON = 60  # seconds in which a workflow that is asked to stops; one or two where nothing else runs


@contextmanager
def watched(of: Checkout, folder: Path, *untracked: str) -> Iterator[Checkout]:
    """Copy a checkout without its results to `folder`/project; every write of its processes is watched.

    Args:
        of: the checkout.
        folder: receives the copy, the log of its writes, and the output of `start`.
        untracked: names of files that are copied besides those in git.
    """
    project = folder / "project"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=of.folder, capture_output=True, text=True, check=True)
    shutil.copytree(of.folder / ".git", project / ".git")
    for name in filter(None, [*listed.stdout.split("\0"), *untracked]):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(of.folder / name, project / name)
    checkout = Checkout(project, of.binaries)
    checkout.use_dvc()
    checkout.environment |= {"PYTHONPATH": str(KILL_AT), "FAULT_LOG": str(folder / "events")}
    yield checkout
    for process in processes_in(project):  # what a failed test left running
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def start(checkout: Checkout, *command: str, at: str = "") -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, which is killed at the event `at`."""
    Path(f"{checkout.environment['FAULT_LOG']}.met").unlink(missing_ok=True)
    with open(checkout.folder.parent / "output", "w") as output:
        return subprocess.Popen(
            ["bash", "-c", 'FAULT_GROUP=$$ exec "$@"', "-", *command], cwd=checkout.folder, start_new_session=True,
            env=checkout.environment | {"FAULT_AT": at}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip


def output_of(checkout: Checkout) -> str:
    """What the last command that was started has printed."""
    return (checkout.folder.parent / "output").read_text()


def kill(checkout: Checkout, *command: str, at: str) -> None:
    """Run a command that is killed, with all its group, at the event `at`."""
    status = start(checkout, *command, at=at).wait(timeout=600)
    assert status == -signal.SIGKILL, (at, status, output_of(checkout)[-4000:])


def start_endless(checkout: Checkout, *command: str) -> subprocess.Popen[bytes]:
    """As `start`, with a training that no machine is quick enough to end; returns when its first epoch is reported."""
    set_epochs(checkout, ENDLESS)
    log = checkout.folder / TRAINING
    log.unlink(missing_ok=True)  # of the last time
    process = start(checkout, *command)
    while not (log.exists() and f"/{ENDLESS}" in log.read_text()):
        assert process.poll() is None, output_of(checkout)[-4000:]
        time.sleep(0.01)
    return process


def set_epochs(checkout: Checkout, epochs: int) -> None:
    """Set the epochs of classifiers."""
    checkout.edit("params/scales/smoke.yaml", lambda value: value["classification"].update(epochs=epochs))


def stop(checkout: Checkout, process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a command that `start` has started; all processes of the checkout must end, and it must fail."""
    if number == signal.SIGINT:  # a terminal sends it to all
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    wait_until_all_ended(checkout.folder)
    assert process.wait() != 0
    assert number == signal.SIGKILL or "the same command continues" in output_of(checkout)


def wait_until_all_ended(folder: Path) -> None:
    """Wait until no process works in a checkout."""
    asked = time.monotonic()
    while left := processes_in(folder):
        assert time.monotonic() - asked < SOON, [str(process) for process in left]
        time.sleep(0.1)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes that work in a checkout."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def junk(folder: Path) -> Iterator[Path]:
    """Temporary files, and files that a finished run no longer needs."""
    kept = {".gitignore", ".snakemake_timestamp"}
    for name in ("data", "results", "reports", "logs", "params"):
        yield from (path for path in (folder / name).rglob(".*") if path.name not in kept)
    yield from (path for path in (folder / ".resume").rglob("*") if path.is_file())
