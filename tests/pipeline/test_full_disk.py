"""A full disk, a read-only folder, no permission, a limit on the size of files: one sentence, and nothing is lost.

Each test runs a step where its older results are, makes the machine refuse, and compares every file with what was
there; then it lets the machine be and runs the same command again.
"""

import hashlib
import io
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sgenet.cli import main
from sgenet.config.pipeline import WandB
from sgenet.models.resnet import create_resnet
from sgenet.training.tracking import wandb_run
from support.faults import NOBODY, can_mount, fill, forked, lift_limit, limit_files, make_read_only, mount, sgenet

ROOT = Path(__file__).parents[2]
RUN = "classification/sge-resnet50"
STEPS = {  # command -> folder of what it makes
    "prepare classification": "data/smoke",
    "prepare detection": "data/smoke",
    "prepare classification --scale own": "data/own",
    f"train {RUN}": ".resume/smoke",
    f"evaluate {RUN}": f"results/smoke/evaluation/{RUN}/seed-0",
    "activations": "results/smoke/evaluation",
    "complexity": "results/smoke",
    "report --partial": "reports/smoke",
    "data pack images packed": "packed",
    "import-checkpoint resnet18.pth.tar imported/w.safetensors --model resnet18": "imported",
}
# A step's own state outside its results, which may have come further; and what tells times.
STATE = re.compile(r"\.resume/.*|data/[^/]*/classification\.sqlite|.*\.pth\.tar|fill")
TIMED = re.compile(r".*/(training|timing)\.json|.*/index\.html|.*/history\.csv")
REFUSED = re.compile(r"sgenet: (?!\S*\.tmp-)\S+: cannot be (written|made|used) \([a-z -]+\)[^\n]*\n")


@contextmanager
def open_folder():
    """A new folder where every user may look, other than those of pytest."""
    with tempfile.TemporaryDirectory(prefix="sgenet-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def whole():
    """A project with results of every step, where every user may look."""
    with open_folder() as folder, open_folder() as beside, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "disabled")
        for part in ("params", "workflow"):
            shutil.copytree(ROOT / part, folder / part)
        edit("params/pipeline.yaml", scale="smoke", tables=["ablation-normalization"])
        shutil.copy("params/scales/smoke.yaml", "params/scales/own.yaml")
        scale = yaml.safe_load(Path("params/scales/own.yaml").read_text())
        own = {"classification": {"source": "folder", "root": f"{folder}/images"}}
        edit("params/scales/own.yaml", data=scale["data"] | own)
        scale["data"]["classification"]["train_images"] = scale["data"]["detection"]["train_images"] = 16
        edit("params/scales/smoke.yaml", data=scale["data"], classification=scale["classification"] | {"epochs": 1})
        for number in range(12):
            path = folder / "images" / ("val" if number < 4 else "train") / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(24 + number)).save(path)
        torch.save(create_resnet("resnet18").state_dict(), beside / "resnet18.pth.tar")
        Path("resnet18.pth.tar").symlink_to(beside / "resnet18.pth.tar")  # too large to be copied each time
        threads = torch.get_num_threads()
        for step in STEPS:  # in this process: forks then need not import, which another user may not
            assert main(step.split()) == 0, step
        torch.set_num_threads(threads)
        yield folder


def edit(path, **values):
    Path(path).write_text(yaml.safe_dump(yaml.safe_load(Path(path).read_text()) | values))


def noise(side):
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def files(place):
    """Digests of what is there, but for a step's own state and what fills the disk."""
    paths = ((path, path.relative_to(place).as_posix()) for path in place.rglob("*") if path.is_file())
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for path, name in paths if not STATE.fullmatch(name)}


def differing(one, other):
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def attempt(whole, place, step, begin=None, refuse=None, relent=None, other_user=False):
    """In a fork: the step where the machine refuses, then, where that ends with `relent`, once more.

    `begin` is called before the project is copied to `place`, `refuse` before the step, `relent` after it.
    """

    def act():
        if begin:
            begin(place)
        shutil.copytree(whole, place, symlinks=True, dirs_exist_ok=True)
        if "pack" in step:
            shutil.rmtree(place / "packed")
        before = files(place)
        os.chdir(place)
        if refuse:
            refuse(place)
        tries = [(*sgenet(*step.split(), other_user=other_user), differing(before, files(place)))]
        if relent:
            relent(place)
            tries.append((*sgenet(*step.split()), differing(files(whole), files(place))))
        return tries

    (status, told, changed), *again = forked(act)
    if status == 0:
        return False  # nothing that it wrote was too large
    assert status == 2 and REFUSED.fullmatch(told.splitlines(True)[-1]) and "Traceback" not in told, (status, told)
    of_run = re.compile(r".*/timing\.json" + rf"|results/smoke/{RUN}/.*" * step.startswith("train"))  # begun to replace
    assert not [name for name in changed if not of_run.fullmatch(name)]
    for status, told, changed in again:
        assert status == 0 and "Traceback" not in told, (status, told)
        assert not [name for name in changed if not TIMED.fullmatch(name)]
    return True


def limited(whole, place, step, size):
    return attempt(whole, place, step, refuse=lambda _: limit_files(size), relent=lambda _: lift_limit())


def filled(whole, place, step, left, relent=None):
    return attempt(whole, place, step, lambda place: mount(place, "128m"), lambda place: fill(place, left), relent)


def remove_fill(place):
    (place / "fill").unlink()


def quick(*names):
    """All steps; those of other names only in the long form of the tests."""
    return [step if step.startswith(names) else pytest.param(step, marks=pytest.mark.soak) for step in STEPS]


@pytest.fixture(scope="module")
def mounts(tmp_path_factory):
    if why := can_mount(tmp_path_factory.mktemp("mount")):
        pytest.skip(f"nothing can be mounted here: {why}")


@pytest.mark.parametrize("step", quick("prepare", "train", "evaluate", "report", "data"))
def test_a_step_under_a_limit_on_file_sizes(whole, tmp_path, step):
    assert limited(whole, tmp_path, step, 100)


@pytest.mark.parametrize("step", quick("prepare classification", "train"))
def test_a_step_on_a_full_disk(whole, tmp_path, mounts, step):
    assert filled(whole, tmp_path, step, 0)


@pytest.mark.parametrize("step", quick("data", "prepare detection"))
def test_a_step_on_a_read_only_disk(whole, tmp_path, mounts, step):
    assert attempt(whole, tmp_path, step, lambda place: mount(place, "128m"), lambda place: make_read_only(place, True))


@pytest.mark.parametrize("step", quick("prepare detection", "train", "activations"))
def test_a_step_without_permission(whole, step):
    def refuse(place):
        forbidden = place / STEPS[step]
        while not forbidden.exists():
            forbidden = forbidden.parent
        for path in (place, *place.rglob("*")):
            if path.is_symlink():
                continue
            os.chown(path, *(NOBODY if os.getuid() == 0 else -1 for _ in range(2)))
        os.chown(forbidden, 0 if os.getuid() == 0 else -1, -1)
        forbidden.chmod(0o555)

    with open_folder() as place:
        assert attempt(whole, place, step, refuse=refuse, other_user=True)


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
def test_a_step_refused_at_every_write(whole, tmp_path, mounts, step):
    """Under ever larger limits, and with ever more room, until it gets through."""
    size = 0
    while limited(whole, tmp_path / f"limit-{size}", step, size):
        size = 4 * size or 64
    assert size > 1000
    for left in range(0, 2**18, 2**15):
        place = tmp_path / f"left-{left}"
        place.mkdir()
        filled(whole, place, step, left, relent=remove_fill)


def test_open_files_have_a_limit(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True, symlinks=True)

    def act():
        os.chdir(tmp_path)
        spare = [os.dup(0) for _ in range(4)]  # the lowest numbers that are free
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for number in spare:
            os.close(number)
        return sgenet("evaluate", RUN)

    status, told = forked(act)
    assert status == 2 and told.count("\n") == 1 and "(too many open files)" in told


def test_an_output_that_takes_nothing_more_ends_a_step_without_a_traceback(whole, tmp_path):
    """As a log on a full disk."""

    def run(*arguments, **streams):
        command = [sys.executable, "-m", "sgenet.cli", *arguments]
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        return subprocess.run(command, cwd=whole, env=buffered, text=True, timeout=100, **streams)

    with open("/dev/full", "w") as full:
        done = run("data", "pack", "images", str(tmp_path / "packed"), stdout=full, stderr=subprocess.PIPE)
        told = "sgenet: a file or the output: cannot be used (no space left on device); make room, and the same command"
        assert (done.returncode, done.stderr) == (2, f"{told} continues\n")
        assert run("train", "classification/none", stdout=full, stderr=full).returncode == 2


@pytest.mark.parametrize("full", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_training_goes_on_where_wandb_finds_no_room(tmp_path, mounts, monkeypatch, full):
    """From the beginning, or from the first epoch on."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    settings = WandB(mode="offline", project="a-project")

    def act():
        mount(tmp_path, "1m")
        os.chdir(tmp_path)
        sys.stdout, logging.raiseExceptions = io.StringIO(), False
        if full:
            fill(tmp_path, 0)
        with wandb_run(settings, name="a", scale="b", task="c", tables=["d"], config={}) as log:
            if not full:
                fill(tmp_path, 0)
            for epoch in range(1, 4):
                log({"epoch": epoch, "loss": 0.5})
        return sys.stdout.getvalue()

    told = forked(act)
    assert not full or (told.startswith("wandb: ") and told.endswith("the training continues without W&B\n"))
    assert told.count("\n") == full
