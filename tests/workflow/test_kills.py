"""Whatever kills or stops a replication, the same command continues it, and it ends as if nothing had happened."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from support.checkout import ELSEWHERE, ROOT
from support.kills import EPOCHS, junk, kill, set_epochs, start, start_endless, stop, watched


@pytest.fixture
def disturbed(undisturbed, tmp_path):
    """The same checkout without anything made, in another folder; every write of its processes is watched."""
    with watched(undisturbed, tmp_path, "params/tables/one.yaml") as checkout:
        yield checkout


@pytest.fixture
def really_disturbed(really_undisturbed, tmp_path):
    """As `disturbed`, where `sgenet` itself trains."""
    with watched(really_undisturbed, tmp_path, "params/tables/one.yaml") as checkout:
        yield checkout


def is_whole(checkout, undisturbed, *command):
    """The same command again ends the replication as if nothing had happened."""
    output = checkout(*command)
    assert "unlock" not in output.lower()
    assert "Traceback" not in output
    assert "is not up to date" not in output, output  # dvc.lock
    checkout.same_results(undisturbed.folder, checkout.folder)
    assert not list(junk(checkout.folder))
    checkout.nothing_to_do()


PREPARE = r"after rename .*/data/smoke/classification$"  # nothing can be trained before
PUBLISH = r"after replace .*results/smoke/classification/resnet50/seed-0/best.safetensors"
EVALUATION = r"before replace .*/detections.json"
REPORT = r"before replace .*reports/smoke/index.html"
COMMIT = r"before replace .*\.dvc/cache"


def test_snakemake_goes_on_after_kills(disturbed, undisturbed):
    for at in (PREPARE, PUBLISH, EVALUATION, REPORT, COMMIT):
        kill(disturbed, "snakemake", at=at)
    is_whole(disturbed, undisturbed, "snakemake")


def test_dvc_goes_on_after_a_kill(disturbed, undisturbed):
    kill(disturbed, "dvc", "repro", at=r"after rename .*\.dvc/cache")
    is_whole(disturbed, undisturbed, "dvc", "repro")


def test_another_environment_and_one_core_change_no_byte(undisturbed, new_checkout):
    other = new_checkout()
    other.choose_one_detector()
    other.environment |= ELSEWHERE
    other("snakemake", "--cores", "1")
    other.same_results(undisturbed.folder, other.folder)


@pytest.mark.parametrize(
    ("command", "signals"),
    [
        (("snakemake",), (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)),
        (("dvc", "repro"), (signal.SIGTERM, signal.SIGKILL)),
    ],
    ids=["snakemake", "dvc"],
)
def test_a_second_one_is_refused_and_all_ends_with_the_first(disturbed, undisturbed, command, signals):
    process = start_endless(disturbed, *command)
    for second in (("snakemake",), ("dvc", "repro")):
        found = subprocess.run(
            second, cwd=disturbed.folder, env=disturbed.environment, capture_output=True, text=True, timeout=600
        )
        output = found.stdout + found.stderr
        assert found.returncode != 0 and "Traceback" not in output
        assert "Execute" not in output  # refused before any job began
        assert "this checkout is in use" in output or command == second == ("dvc", "repro")  # DVC has a lock of its own
        holders = {int(number) for number in re.findall(r"(?:process|PID) (\d+)", output)}
        assert holders & {process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))}
    for number in signals:
        if process.poll() is not None:
            process = start_endless(disturbed, *command)
        stop(disturbed, process, number)
    set_epochs(disturbed, EPOCHS)
    is_whole(disturbed, undisturbed, "snakemake")


def test_a_list_of_processes_that_dvc_refuses_is_removed_as_documented(undisturbed, new_checkout):
    """DVC ignores processes that have ended. It refuses to run beside a zombie, and a list cut short by a kill."""
    checkout = new_checkout(undisturbed)
    checkout("dvc", "repro")
    listed = checkout.folder / ".dvc/tmp/rwlock"
    (removal,) = re.findall(r"`(rm [^`]*rwlock)`", (ROOT / "docs/dvc.md").read_text())
    killed = subprocess.Popen(["true"])
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    entry = {"pid": killed.pid, "cmd": "dvc repro"}
    of_zombie = json.dumps({"write": {str(checkout.folder / "results/smoke/classification"): entry}})
    for content, message in ((of_zombie, "it is being blocked by"), ("", "Unable to read RWLock-file")):
        listed.write_text(content)
        assert message in checkout("dvc", "repro", status=255)
        checkout(*removal.split())
        checkout.nothing_to_do()
    killed.wait()
    listed.write_text(of_zombie)
    checkout.nothing_to_do()


@pytest.mark.soak
@pytest.mark.parametrize("command", [("snakemake",), ("dvc", "repro")], ids=" ".join)
@pytest.mark.parametrize("round", range(3))
def test_random_moments(really_disturbed, really_undisturbed, command, round):
    chance = random.Random(f"{command} {round}")
    for _ in range(20):
        process = start(really_disturbed, *command)
        try:
            process.wait(timeout=chance.uniform(1, 30))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    is_whole(really_disturbed, really_undisturbed, *command)


@pytest.mark.soak
def test_every_kind_of_write(really_disturbed, really_undisturbed):
    """Kill at the first and the last event of each kind and each file name, one after another."""
    log, folder = Path(really_disturbed.environment["FAULT_LOG"]), str(really_disturbed.folder)
    really_disturbed("snakemake")
    events = {}
    for line in log.read_text().splitlines():
        if folder not in line:
            continue
        short = re.sub(r"\.tmp-\w+|[0-9a-f]{30,}(\.dir)?|[\w-]{22}\.tmp", "*", line.replace(folder, ""))
        events.setdefault(short, re.escape(line.split()[0]) + " " + line.split()[1] + ".*" + pattern(short))
    (really_disturbed.folder.parent / "events.json").write_text(json.dumps(events, indent=1))
    for name in ("data/smoke", "results", "reports/smoke", "logs", ".resume", ".snakemake", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(really_disturbed.folder / name, ignore_errors=True)
    really_disturbed.use_dvc()
    for at in events.values():
        kill(really_disturbed, "snakemake", at=at)
    is_whole(really_disturbed, really_undisturbed, "snakemake")


def pattern(short):
    return ".*".join(map(re.escape, short.split(" ", 2)[2].split("*"))) + "$"
