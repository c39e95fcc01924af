"""Whatever kills or stops a replication, the same command continues it, and it ends as if nothing had happened."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

FAULTS = Path(__file__).parent / "faults"
SOON = 60  # seconds in which a workflow that is asked to stops; one or two where nothing else runs


@pytest.fixture
def disturbed(undisturbed, tmp_path):
    """The same checkout without anything made, in another folder; every write of its processes is watched."""
    folder = tmp_path / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=undisturbed.folder, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    shutil.copytree(undisturbed.folder / ".git", folder / ".git")
    for name in filter(None, [*tracked, "params/tables/one.yaml"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(undisturbed.folder / name, folder / name)
    checkout = type(undisturbed)(folder)
    checkout.environment |= {"PYTHONPATH": str(FAULTS), "FAULT_LOG": str(tmp_path / "events")}
    yield checkout
    for process in processes_in(folder):  # what a test that failed left behind
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def start(checkout, *command, at=""):
    """Start a command in a process group of its own, which is killed at the event `at`."""
    Path(f"{checkout.environment['FAULT_LOG']}.met").unlink(missing_ok=True)
    with open(checkout.folder.parent / "output", "w") as output:
        return subprocess.Popen(
            ["bash", "-c", 'FAULT_GROUP=$$ exec "$@"', "-", *command], cwd=checkout.folder, start_new_session=True,
            env=checkout.environment | {"FAULT_AT": at}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip


def killed(checkout, *command, at):
    """Run a command that is killed, with all its group, at the event `at`."""
    process = start(checkout, *command, at=at)
    status = process.wait(timeout=600)
    assert status == -signal.SIGKILL, (at, status, (checkout.folder.parent / "output").read_text()[-4000:])


TRAINING = "logs/smoke/train/classification/resnet50-seed-0.log"
ENDLESS = 1000  # epochs


def start_endless(checkout, *command):
    """As `start`, with a training that no machine is quick enough to end, until its first epoch is told."""
    set_epochs(checkout, ENDLESS)
    log = checkout.folder / TRAINING
    log.unlink(missing_ok=True)  # that of the last time
    process = start(checkout, *command)
    while not (log.exists() and f"/{ENDLESS}" in log.read_text()):
        assert process.poll() is None, (checkout.folder.parent / "output").read_text()[-4000:]
        time.sleep(0.01)
    return process


def set_epochs(checkout, epochs):
    checkout.edit("params/scales/smoke.yaml", lambda value: value["classification"].update(epochs=epochs))


def wait_until_all_ended(folder):
    asked = time.monotonic()
    while left := processes_in(folder):
        assert time.monotonic() - asked < SOON, [str(process) for process in left]
        time.sleep(0.1)


def processes_in(folder):
    """Processes that work in a checkout."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def is_whole(checkout, undisturbed, *command):
    """The same command again ends the replication as if nothing had happened."""
    output = checkout(*command)
    assert "unlock" not in output.lower()
    assert "Traceback" not in output
    checkout.same_results(undisturbed.folder, checkout.folder)
    assert not list(junk(checkout.folder))
    checkout.nothing_to_do()


def junk(folder):
    """Temporary files, and what a run that is done has no use for."""
    kept = {".gitignore", ".snakemake_timestamp", ".made.json"}
    for name in ("data", "results", "reports", "logs", "params"):
        yield from (path for path in (folder / name).rglob(".*") if path.name not in kept)
    yield from (path for path in (folder / ".resume").rglob("*") if path.is_file())


PREPARE = r"after rename .*/data/smoke/classification$"  # nothing can be trained before
CHECKPOINT = r"before replace .*classification_resnet50/.*/epoch-0002"
PUBLISH = r"after replace .*results/smoke/classification/resnet50/seed-0/best.safetensors"
EVALUATION = r"before replace .*/detections.json"
REPORT = r"before replace .*reports/smoke/index.html"
COMMIT = r"before replace .*\.dvc/cache"


def test_snakemake_goes_on_after_kills(disturbed, undisturbed):
    for at in (PREPARE, CHECKPOINT, PUBLISH):
        killed(disturbed, "snakemake", at=at)
    assert "continues after epoch 1" in (disturbed.folder / TRAINING).read_text()
    for at in (EVALUATION, REPORT, COMMIT):
        killed(disturbed, "snakemake", at=at)
    is_whole(disturbed, undisturbed, "snakemake")


def test_dvc_goes_on_after_a_kill(disturbed, undisturbed):
    killed(disturbed, "dvc", "repro", at=r"after rename .*\.dvc/cache")
    is_whole(disturbed, undisturbed, "dvc", "repro")


@pytest.mark.parametrize(
    ("door", "signals"),
    [(("snakemake",), (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)), (("dvc", "repro"), (signal.SIGTERM,))],
    ids=["snakemake", "dvc"],
)
def test_a_second_one_is_refused_and_all_ends_with_the_first(disturbed, undisturbed, door, signals):
    process = start_endless(disturbed, *door)
    for second in (("snakemake",), ("dvc", "repro")):
        found = subprocess.run(
            second, cwd=disturbed.folder, env=disturbed.environment, capture_output=True, text=True, timeout=600
        )
        output = found.stdout + found.stderr
        assert found.returncode != 0 and "Traceback" not in output
        assert "Execute" not in output  # refused before any job began
        assert "this checkout is in use" in output or door == second == ("dvc", "repro")  # DVC has a lock of its own
        holders = {int(number) for number in re.findall(r"(?:process|PID) (\d+)", output)}
        assert holders & {process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))}
    for number in signals:
        if process.poll() is not None:
            process = start_endless(disturbed, *door)
        if number == signal.SIGINT:  # a terminal sends it to all
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        wait_until_all_ended(disturbed.folder)
        assert process.wait() != 0
        told = "the same command continues" in (disturbed.folder.parent / "output").read_text()
        assert told or number == signal.SIGKILL
    shutil.rmtree(disturbed.folder / ".resume")  # of other settings than those of the undisturbed training:
    set_epochs(disturbed, 3)
    is_whole(disturbed, undisturbed, "snakemake")


@pytest.mark.soak
@pytest.mark.parametrize("door", [("snakemake",), ("dvc", "repro")], ids=" ".join)
@pytest.mark.parametrize("round", range(3))
def test_random_moments(disturbed, undisturbed, door, round):
    chance = random.Random(f"{door} {round}")
    for _ in range(20):
        process = start(disturbed, *door)
        try:
            process.wait(timeout=chance.uniform(1, 30))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    is_whole(disturbed, undisturbed, *door)


@pytest.mark.soak
def test_every_kind_of_write(disturbed, undisturbed):
    """Kill at the first and the last event of each kind and each file name, one after another."""
    log = Path(disturbed.environment["FAULT_LOG"])
    disturbed("snakemake")
    events = {}
    for line in log.read_text().splitlines():
        if str(disturbed.folder) not in line:
            continue
        short = re.sub(r"\.tmp-\w+|[0-9a-f]{30,}(\.dir)?|[\w-]{22}\.tmp", "*", line.replace(str(disturbed.folder), ""))
        events.setdefault(short, re.escape(line.split()[0]) + " " + line.split()[1] + ".*" + pattern(short))
    (disturbed.folder.parent / "events.json").write_text(json.dumps(events, indent=1))
    for name in ("data/smoke", "results", "reports/smoke", "logs", ".resume", ".snakemake", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(disturbed.folder / name, ignore_errors=True)
    (disturbed.folder / "dvc.lock").unlink()
    for at in events.values():
        killed(disturbed, "snakemake", at=at)
    is_whole(disturbed, undisturbed, "snakemake")


def pattern(short):
    return ".*".join(map(re.escape, short.split(" ", 2)[2].split("*"))) + "$"
