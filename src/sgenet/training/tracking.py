"""Log learning curves and settings to Weights & Biases: offline by default, without prompts or an account."""

import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from sgenet.config.pipeline import WandB
from sgenet.errors import InputError

_MODES = ("online", "offline", "disabled")
_LONGEST_TAG = 64  # characters; W&B refuses longer ones
_CONNECTING, _OPENING = 2, 20  # seconds for a connection to W&B's server, and to open a run; W&B would wait for 90


@contextmanager
def wandb_run(
    settings: WandB, *, name: str, scale: str, task: str, tables: list[str], config: dict[str, Any]
) -> Iterator[Callable[[dict[str, float]], None] | None]:
    """Open a W&B run and yield the function that logs a row of the history; None when W&B is disabled.

    If the server of W&B cannot be used, the run is logged offline, and a line says so. If W&B fails later, for instance
    on a full disk, the failure is reported once and further rows are not logged.

    Args:
        settings: `wandb` of params/pipeline.yaml; the environment variable WANDB_MODE overrides its mode.
        name: of the run.
        scale: of the run; runs of different scales are never in the same group.
        task: of the run.
        tables: that contain the run: the first one is the W&B group, and each is a tag.
        config: settings to record.

    Raises:
        InputError: WANDB_MODE is none of the modes.
    """
    mode = os.environ.get("WANDB_MODE") or settings.mode
    if mode not in _MODES:
        raise InputError(f"environment variable WANDB_MODE: found {mode!r}, expected one of {', '.join(_MODES)}")
    if "disabled" in (mode, settings.mode):
        yield None
        return
    opened = _Run(lambda mode: _open(mode, settings.project, name, scale, task, tables, config), mode)
    try:
        yield opened.log
    except BaseException:
        opened.finish(exit_code=1)
        raise
    opened.finish()


class _Run:
    """A W&B run that is abandoned when W&B fails; the failure is reported once and the training continues."""

    def __init__(self, make: Callable[[str], Any], mode: str) -> None:
        """Open the run with `make`, given a mode: `mode`, or offline if that is online and fails."""
        if mode == "online":
            try:
                _check_server()
                self._run = make("online")
                return
            except Exception as error:
                offline = "this training is logged offline, `wandb sync` uploads it later"
                print(f"wandb: {_sentence(error)}; {offline}", flush=True)
        self._run = self._try(lambda: make("offline"))

    def log(self, row: dict[str, float]) -> None:
        if self._run is not None:
            self._try(lambda: self._run.log(row, step=int(row["epoch"])))

    def finish(self, exit_code: int = 0) -> None:
        if self._run is not None:
            self._try(lambda: self._run.finish(exit_code=exit_code))

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            self._run = None
            print(f"wandb: {_sentence(error)}; the training continues without W&B", flush=True)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())  # on one line
    return f"{type(error).__name__}: {text:.200}"


def _check_server() -> None:
    """Connect to W&B's server, unless that takes a proxy.

    Raises:
        ConnectionError: there is no connection within _CONNECTING seconds.
    """
    import wandb

    settings = wandb.setup().settings
    server = urlsplit(settings.base_url)
    host, port = server.hostname or "", server.port or (443 if server.scheme == "https" else 80)
    proxy = settings.https_proxy if server.scheme == "https" else settings.http_proxy
    if (proxy or server.scheme in urllib.request.getproxies()) and not urllib.request.proxy_bypass(host):
        return
    problems: list[OSError | None] = [TimeoutError("timed out")]

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_CONNECTING).close()
            problems.append(None)
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=connect, daemon=True)  # the search for the name has no time limit of its own
    thread.start()
    thread.join(_CONNECTING)
    if problem := problems[-1]:
        raise ConnectionError(f"no connection to {settings.base_url} ({problem})")


def _open(mode: str, project: str, name: str, scale: str, task: str, tables: list[str], config: dict[str, Any]) -> Any:
    import wandb

    return wandb.init(
        project=project,
        name=name,
        group=f"{scale}/{tables[0]}",
        job_type=task,
        tags=[tag[:_LONGEST_TAG] for tag in (scale, *tables)],
        config=config,
        mode=mode,  # type: ignore[arg-type]
        dir=".",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, init_timeout=_OPENING),
    )
