"""A real Slurm on this machine, and workflows that run on it."""

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.checkout import Checkout, content

SCRIPTS = Path(__file__).parent / "slurm"
CONFIGURATION = Path("/etc/slurm/slurm.conf")
OURS = re.compile(r"# made by the tests of sgenet in (.*)")
SUBMIT = ("snakemake", "--workflow-profile", "profiles/slurm")
# Look at the jobs every second, or nearly; two run at a time.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", "--jobs", "2")
RUN = "classification/resnet50"
LOG = f"logs/smoke/train/{RUN}-seed-0.log"
RECORD = f"results/smoke/{RUN}/seed-0/training.json"


def lacking() -> str | None:
    """Why no Slurm can be started on this machine; None if it can."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    if missing := [name for name in programs if not shutil.which(name, path=_path())]:
        return f"{', '.join(missing)} not installed (Debian: make test-cluster)"
    if os.getuid():
        return "starting Slurm's daemons takes root"
    if CONFIGURATION.exists() and not OURS.search(CONFIGURATION.read_text()):
        return f"{CONFIGURATION} is that of another Slurm"
    return None


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


def _fields(shown: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shown.split() if "=" in word)


class Cluster:
    """Commands of Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        subprocess.run(["slurmd", "-N", node], env=os.environ | {"PATH": _path()}, check=True)

    def daemon(self, node: str) -> int:
        """Process id of the daemon of a node."""
        return int((self.folder / f"slurmd-{node}.pid").read_text())

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def jobs(self, checkout: Checkout) -> dict[str, dict[str, str]]:
        """The jobs of a checkout that are alive, by id: what scontrol shows of them."""
        listed = self.ask("squeue", "--noheader", "--format", "%i|%Z").splitlines()
        ids = [line.split("|")[0] for line in listed if line.split("|")[1] == str(checkout.folder)]
        return {job: _fields(self.ask("scontrol", "show", "job", job)) for job in ids}

    def ended(self, checkout: Checkout) -> list[dict[str, str]]:
        """What scontrol shows of all jobs of a checkout, also of those that have ended."""
        shown = map(_fields, self.ask("scontrol", "--oneliner", "show", "job").splitlines())
        return [job for job in shown if job.get("WorkDir") == str(checkout.folder)]

    def set_nodes(self, state: str) -> None:
        """Drain or resume all nodes: `drain` keeps jobs pending."""
        self.ask("scontrol", "update", "nodename=ALL", f"state={state}", "reason=test")


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start Slurm with two nodes of 16 CPUs and two GPUs each, which all are this machine; end it afterwards."""
    CONFIGURATION.parent.mkdir(exist_ok=True)
    with open(CONFIGURATION.with_name("sgenet-tests.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of other tests on this machine
        if CONFIGURATION.exists() and (before := OURS.search(CONFIGURATION.read_text())) and Path(before[1]).is_dir():
            subprocess.run([SCRIPTS / "slurm-stop", before[1]], check=True)  # what a killed test has left
            time.sleep(2)
        environment = os.environ | {"PATH": _path(), "CPUS": "16", "MEM": "200000"}
        subprocess.run([SCRIPTS / "slurm-start", folder], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            yield Cluster(folder)
        finally:
            subprocess.run([SCRIPTS / "slurm-stop", folder], check=False)
            for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
                CONFIGURATION.with_name(name).unlink(missing_ok=True)


@contextmanager
def submitted(checkout: Checkout, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the workflow on the cluster in the background; it is killed in the end, its jobs are not."""
    with open(checkout.folder / "output", "w") as output:
        process = subprocess.Popen(
            [*SUBMIT, *QUICK, *options], cwd=checkout.folder, env=checkout.environment, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def output_of(checkout: Checkout) -> str:
    """What the last workflow of `submitted` has printed."""
    return (checkout.folder / "output").read_text()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait until a condition is met."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.2)


def epochs(checkout: Checkout) -> list[int]:
    """The epochs that the log of the training of RUN reports."""
    log = checkout.folder / LOG
    found = re.findall(r"epoch (\d+)/\d+:", log.read_text()) if log.exists() else []
    return [int(epoch) for epoch in found]


def continued(checkout: Checkout) -> int:
    """The epoch after which the last job of the training of RUN has continued; 0 if it began anew."""
    log = checkout.folder / LOG  # Snakemake removes that of a job which it submits again
    found = re.findall(r"continues after epoch (\d+)", log.read_text()) if log.exists() else []
    return int(found[0]) if found else 0


def same_training(one: Checkout, other: Checkout) -> None:
    """Check that the training of RUN has the same bytes in two checkouts, and that no checkpoints are left in one."""
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        path = f"results/smoke/{RUN}/seed-0/{name}"
        assert content(one.folder / path) == content(other.folder / path)
    assert not [path for path in (one.folder / ".resume").rglob("*") if path.is_file()]
