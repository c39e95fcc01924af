"""Checkpoints: whole, the newest that is not damaged, nothing run that stands in them; one training at a time."""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import pickle
import resource
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from sgenet.errors import InputError
from sgenet.training import resume
from sgenet.training.resume import load_checkpoint, lock, newest_checkpoint, remove_checkpoints, save_checkpoint


class Small(SimpleNamespace):
    """What checkpoints see of a runner, around a network with momentum and running statistics."""

    def __init__(self, outputs=3):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, outputs), nn.BatchNorm1d(outputs))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        super().__init__(
            model=model,
            optim_wrapper=OptimWrapper(optimizer),
            param_schedulers=[torch.optim.lr_scheduler.StepLR(optimizer, 1)],
            train_loop=SimpleNamespace(_epoch=0, _iter=0),
            train_dataloader=range(5),
        )

    def step(self):
        self.optim_wrapper.update_params(self.model(torch.randn(8, 4)).square().mean())
        self.param_schedulers[0].step()


@pytest.fixture
def folder(tmp_path):
    """Three epochs' checkpoints were written here."""
    runner, history = Small(), []
    for epoch in (1, 2, 3):
        runner.step()
        history.append({"epoch": epoch, "loss": epoch / 3, "seconds": 1.5})
        save_checkpoint(runner, history, {"w": torch.full((2,), float(epoch))}, tmp_path)
    return tmp_path


def _files(folder):
    """The checkpoints, the newest first."""
    return sorted(folder.glob("epoch-*"), reverse=True)


def _named_after(content, epoch, folder):
    path = folder / f"epoch-{epoch:04}-{hashlib.sha256(content).hexdigest()}.pth"
    path.write_bytes(content)
    return path


def test_two_are_kept_and_their_names_tell_their_content(folder):
    assert [path.name[:11] for path in _files(folder)] == ["epoch-0003-", "epoch-0002-"]
    assert sorted(folder.iterdir()) == sorted(_files(folder))
    told = subprocess.run(["sha256sum", *_files(folder)], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in told.splitlines()] == [path.stem[11:] for path in _files(folder)]


def test_a_continued_run_has_all_that_the_interrupted_one_had(folder):
    undisturbed, continued = Small(), Small()
    for _ in range(3):
        undisturbed.step()
    checkpoint, damaged = newest_checkpoint(folder)
    load_checkpoint(continued, checkpoint)
    assert damaged == [] and checkpoint.state["best"]["w"].tolist() == [3, 3]
    assert [row["loss"] for row in checkpoint.state["history"]] == [1 / 3, 2 / 3, 1.0]
    assert continued.train_loop == SimpleNamespace(_epoch=3, _iter=15)
    for runner in (undisturbed, continued):
        torch.manual_seed(1)
        runner.step()
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, continued.model.state_dict()[name]), name
    assert undisturbed.optim_wrapper.get_lr() == continued.optim_wrapper.get_lr()


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _become_folder(path):
    path.unlink()
    (path / "inside").mkdir(parents=True)


def _become_pipe(path):
    path.unlink()
    os.mkfifo(path)


def _become_link(path):
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES = {
    "bit flipped": _flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "folder": _become_folder,
    "pipe": _become_pipe,
    "link": _become_link,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_told_removed_and_the_one_before_used(folder, damage):
    newest, before = _files(folder)
    DAMAGES[damage](newest)
    checkpoint, damaged = newest_checkpoint(folder)
    assert checkpoint.path == before and checkpoint.state["epoch"] == 2
    assert len(damaged) == 1 and damaged[0].startswith("epoch-0003 (")
    assert sorted(folder.iterdir()) == [before]


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_both_are_damaged_there_is_none(folder, damage):
    for path in _files(folder):
        DAMAGES[damage](path)
    checkpoint, damaged = newest_checkpoint(folder)
    assert checkpoint is None and [told[:10] for told in damaged] == ["epoch-0003", "epoch-0002"]
    assert not list(folder.iterdir())


class Creates:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def _saved(value, **how):
    content = io.BytesIO()
    torch.save(value, content, **how)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["pickle", "torch", "torch, old format", "torch, inside a state"])
def test_code_in_one_is_never_run(folder, tmp_path_factory, form):
    mark = tmp_path_factory.mktemp("mark") / "made"
    state = torch.load(_files(folder)[0], weights_only=True)
    content = {
        "pickle": lambda: pickle.dumps(Creates(mark)),
        "torch": lambda: _saved(Creates(mark)),
        "torch, old format": lambda: _saved(Creates(mark), _use_new_zipfile_serialization=False),
        "torch, inside a state": lambda: _saved(state | {"epoch": 4, "best": Creates(mark)}),
    }[form]()
    if form == "pickle":  # as a proof that it is one with code
        pickle.loads(content).close()
        mark.unlink()
    path = _named_after(content, 4, folder)  # the right checksum
    checkpoint, damaged = newest_checkpoint(folder)
    assert not mark.exists() and not path.exists()
    assert checkpoint.state["epoch"] == 3 and damaged == ["epoch-0004 (it contains more than tensors and numbers)"]


def test_a_whole_one_that_does_not_fit_is_refused_and_stays(folder):
    checkpoint, _ = newest_checkpoint(folder)
    with pytest.raises(InputError, match="epoch-0003-.*: does not fit the model at .* 0.weight is "):
        load_checkpoint(Small(outputs=2), checkpoint)
    state = torch.load(checkpoint.path, weights_only=True)
    for broken in (state | {"optimizer": {}}, state | {"schedulers": []}, state | {"model": 3}):
        with pytest.raises(InputError, match="does not fit the run, expected a checkpoint that this version"):
            load_checkpoint(Small(), checkpoint._replace(state=broken))
    other = _named_after(_saved({"epoch": 9}), 9, folder)
    with pytest.raises(InputError, match="epoch-0009-.* does not fit the run"):
        newest_checkpoint(folder)
    assert other.exists() and len(_files(folder)) == 3


def test_one_that_cannot_be_read_for_now_is_no_damaged_one(folder, monkeypatch):
    for error in (OSError(errno.EMFILE, "too many open files"), RuntimeError("can't allocate memory")):
        with monkeypatch.context() as patched:
            patched.setattr(torch, "load", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
            with pytest.raises(InputError, match="epoch-0003-.*: cannot be read"):
                newest_checkpoint(folder)
    assert len(_files(folder)) == 2


def test_a_full_disk_leaves_the_older_ones_and_no_other_file(folder, monkeypatch):
    before = sorted(folder.iterdir())

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="cannot be written .no space left on device"):
        save_checkpoint(Small(), [{}] * 4, None, folder)
    assert sorted(folder.iterdir()) == before


def _fork(act):
    """Run `act` in a fork of this process; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(1)
    return child


def test_a_file_that_may_not_grow_leaves_the_older_ones_and_no_other_file(folder):
    before, answers = sorted(folder.iterdir()), os.pipe()

    def write():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        try:
            save_checkpoint(Small(), [{}] * 4, None, folder)
        except InputError as error:
            os.write(answers[1], str(error).encode())

    os.waitpid(_fork(write), 0)
    assert b"cannot be written (file too large)" in os.read(answers[0], 1000)
    assert sorted(folder.iterdir()) == before


def test_killed_while_one_is_written_the_one_before_stands_and_the_rest_goes(folder, monkeypatch):
    before = sorted(folder.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(resume, "put", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        child = _fork(lambda: save_checkpoint(Small(), [{}] * 4, None, folder))
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list(folder.iterdir())) == 3
    checkpoint, damaged = newest_checkpoint(folder)
    assert (checkpoint.state["epoch"], damaged) == (3, [])
    save_checkpoint(Small(), [{}] * 4, None, folder)
    assert sorted(folder.iterdir()) == [before[1], _files(folder)[0]]


class Holder:
    """A process that trains in `folder`, and a worker of it that outlives it."""

    def __init__(self, folder):
        told, self._orders = os.pipe(), os.pipe()
        self._told = os.fdopen(told[0])
        os.set_inheritable(told[1], True)

        def train():
            os.setsid()
            with lock(folder):
                if os.fork() == 0:
                    signal.pause()
                os.write(told[1], b"holds\n")
                os.read(self._orders[0], 1)
                remove_checkpoints(folder)
                os.write(told[1], b"forgot\n")
                signal.pause()

        self.process = _fork(train)

    def wait_until(self, told):
        assert self._told.readline() == told + "\n"

    def wait_for_lock(self, path):
        """Wait until it has opened the lock, for which it waits then."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for file in Path(f"/proc/{self.process}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed since
                    if os.readlink(file) == str(path):
                        return
            time.sleep(0.01)
        raise AssertionError(f"{path} was not opened")

    def end_run(self):
        os.write(self._orders[1], b"x")
        self.wait_until("forgot")

    def kill(self):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


@pytest.fixture
def start(tmp_path):
    """Starts processes that train in one folder."""
    folder, started = tmp_path / "run" / "seed-0", []

    def start():
        started.append(Holder(folder))
        return started[-1]

    yield start
    for holder in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(holder.process, 0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of the run that `start` trains; who waits for it loses patience soon."""
    monkeypatch.setattr(resume, "_PATIENCE", 0.2)
    return tmp_path / "run" / "seed-0"


def _lock(folder):
    with lock(folder):
        pass


def test_a_second_training_of_a_run_is_refused_until_the_first_is_gone(start, run):
    first = start()
    first.wait_until("holds")
    with pytest.raises(InputError, match=f"run/seed-0 is in use by process {first.process} on "):
        _lock(run)
    first.kill()  # its worker lives on
    _lock(run)


def test_nothing_is_left_of_a_run_that_is_done_and_another_may_begin(start, run, tmp_path):
    first = start()
    first.wait_until("holds")
    (run / "mmengine" / "log").mkdir(parents=True)
    (run / "epoch-0001-x.pth").touch()
    first.end_run()
    assert not list(tmp_path.iterdir())
    other = run.with_name("seed-1")
    with lock(run), lock(other):  # though the first one still lives
        remove_checkpoints(run)
    assert list(tmp_path.rglob("*")) == [other.parent, other, other / "lock"]


def test_a_training_that_waited_holds_the_folder_that_it_gets(start, run, monkeypatch):
    """The lock that it waited for is removed with the folder: what it holds in the end must be the new one."""
    first = start()
    first.wait_until("holds")
    with monkeypatch.context() as patched:
        patched.setattr(resume, "_PATIENCE", 600)
        second = start()
    second.wait_for_lock(run / "lock")
    with pytest.raises(InputError, match=f"process {first.process} on"):
        _lock(run)
    first.end_run()
    third = start()
    third.wait_until("holds")  # a new folder of the same name
    first.kill()
    with pytest.raises(InputError, match=f"process {third.process} on"):
        _lock(run)
    third.end_run()
    third.kill()
    second.wait_until("holds")
    with pytest.raises(InputError, match=f"process {second.process} on"):
        _lock(run)


def test_a_folder_that_another_run_removes_meanwhile_is_made_again(run, monkeypatch):
    mkdir, made = type(run).mkdir, []

    def mkdir_in_vain(self, *how, **more):
        if self == run and not made:
            made.append(self)
        else:
            mkdir(self, *how, **more)

    monkeypatch.setattr(type(run), "mkdir", mkdir_in_vain)
    with lock(run):
        assert made and (run / "lock").exists()


def test_on_a_file_system_without_locks_nothing_is_trained(run, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match="lock: this file system supports no locks .*, expected one that does"):
        _lock(run)
