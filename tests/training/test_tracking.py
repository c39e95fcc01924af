"""What Weights & Biases is told, offline: names, groups and tags."""

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sgenet.config.pipeline import WandB
from sgenet.config.replication import load_replication
from sgenet.errors import InputError
from sgenet.pipeline.steps import _tables_of
from sgenet.training.tracking import wandb_run

OFFLINE = WandB(mode="offline", project="a-project")


def test_an_offline_run_holds_name_group_and_tags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tables = ["a-table", "long-" + "x" * 80]
    with wandb_run(OFFLINE, name="a-run seed 7", scale="a-scale", task="a-task", tables=tables, config={}) as log:
        log({"epoch": 1, "loss": 0.5})
    (file,) = Path("wandb").glob("offline-run-*/*.wandb")
    # The process behind wandb writes the file: on a busy machine after `finish` has returned.
    until = time.monotonic() + 60
    while b"loss" not in (written := file.read_bytes()) and time.monotonic() < until:
        time.sleep(0.1)
    for told in ("a-project", "a-run seed 7", "a-scale/a-table", "a-task", "a-table", "long-" + "x" * 59, "loss"):
        assert told.encode() in written
    assert b"x" * 60 not in written


@pytest.mark.parametrize("by", ["settings", "environment"])
def test_disabled_writes_nothing(tmp_path, monkeypatch, by):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled" if by == "environment" else "offline")
    settings = WandB(mode="disabled", project="a-project") if by == "settings" else OFFLINE
    with wandb_run(settings, name="a", scale="b", task="c", tables=["d"], config={}) as log:
        assert log is None
    assert not list(tmp_path.iterdir())


@pytest.fixture
def online(tmp_path, monkeypatch):
    """Log a row in the mode `online`, to a server of this address; returns the seconds that it took."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    import wandb

    def run(address):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        wandb.teardown()  # forgets the address of before
        started = time.monotonic()
        settings = WandB(mode="online", project="a-project")
        with wandb_run(settings, name="a", scale="b", task="c", tables=["d"], config={}) as log:
            log({"epoch": 1, "loss": 0.5})
        return time.monotonic() - started

    yield run
    wandb.teardown()


@pytest.fixture
def opened(monkeypatch):
    """The modes in which W&B opens runs, in place of opening them."""
    modes = []
    monkeypatch.setattr("wandb.init", lambda mode, **_: modes.append(mode) or SimpleNamespace(log=print, finish=print))
    return modes


@pytest.fixture
def port():
    """A port of this machine that nothing listens to; `listen` makes it one that accepts connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield SimpleNamespace(address=f"http://127.0.0.1:{listener.getsockname()[1]}", listen=listener.listen)


def test_without_a_server_a_training_is_logged_offline_at_once(online, port, capsys):
    assert online(port.address) < 15  # most of it imports
    assert list(Path("wandb").glob("offline-run-*/*.wandb")) and not list(Path("wandb").glob("run-*"))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"wandb: ConnectionError: no connection to {port.address} ")
    assert line.endswith("; this training is logged offline, `wandb sync` uploads it later")


def test_a_server_that_accepts_a_connection_is_used(online, port, opened):
    port.listen()
    online(port.address)
    assert opened == ["online"]


def test_a_name_that_is_not_found_in_time_counts_as_no_server(online, opened, monkeypatch):
    def create_connection(*_, **__):
        time.sleep(20)
        raise OSError

    monkeypatch.setattr("socket.create_connection", create_connection)
    assert online("http://wandb.invalid") < 10
    assert opened == ["offline"]


@pytest.mark.parametrize(("bypass", "mode"), [("", "online"), ("127.0.0.1", "offline")])
def test_a_proxy_decides_itself_what_can_be_reached(online, port, opened, monkeypatch, bypass, mode):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", bypass)
    online(port.address)
    assert opened == [mode]


def test_a_server_that_refuses_the_training_has_it_logged_offline(online, port, monkeypatch, capsys):
    """As without an API key, or if the server does not answer in time."""
    port.listen()
    modes = []

    def init(mode, **_):
        modes.append(mode)
        if mode == "online":
            raise RuntimeError("refused\n  by the server")
        return SimpleNamespace(log=print, finish=print)

    monkeypatch.setattr("wandb.init", init)
    online(port.address)
    assert modes == ["online", "offline"]
    assert "wandb: RuntimeError: refused by the server; this training is logged offline" in capsys.readouterr().out


def test_an_odd_mode_in_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "$(touch ran)")
    run = wandb_run(OFFLINE, name="a", scale="b", task="c", tables=["d"], config={})
    with pytest.raises(InputError, match="WANDB_MODE: found .*, expected one of online, offline, disabled"), run:
        pass


def test_a_run_stands_first_with_the_tables_that_show_it(project):
    project("params/pipeline.yaml", lambda value: value.update(tables=["coco-retinanet", "ablation-init", "imagenet"]))
    replication = load_replication("smoke")
    shown = {
        name: [row["run"] for row in yaml.safe_load(Path(f"params/tables/{name}.yaml").read_text())["rows"]]
        for name in ("coco-retinanet", "ablation-init", "imagenet")
    }
    for run in ("resnet50", "se-resnet101", "sge-resnet50", "sk-resnet50"):
        expected = [name for name in ("ablation-init", "imagenet") if run in shown[name]]
        expected += ["coco-retinanet"] * (f"retinanet/{run}" in shown["coco-retinanet"])
        assert _tables_of(replication, replication.run(f"classification/{run}")) == expected
    assert _tables_of(replication, replication.run("detection/retinanet/resnet50")) == ["coco-retinanet"]


def test_a_run_of_a_table_that_was_not_chosen_is_logged_with_that_table(project):
    replication = load_replication("demo", tables=["ablation-init"])
    assert _tables_of(replication, replication.run("detection/mask-rcnn/resnet50")) == ["coco-two-stage"]
