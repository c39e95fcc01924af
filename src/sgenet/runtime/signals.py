"""What ends a command early: signals, and the end of its workflow."""

import os
import signal
import socket

WORKFLOW = "SGENET_WORKFLOW"  # environment variable of steps: host and process id of their workflow


def end_with_workflow() -> None:
    """Stop this step with SIGTERM when its workflow, on the same machine, has ended."""
    host, _, process = os.environ.get(WORKFLOW, "").rpartition(":")
    if host == socket.gethostname() and process.isdecimal():
        from sgenet.runtime.processes import end_with  # imports psutil, which only the pipeline needs

        end_with(int(process))


def stop_on_signals() -> None:
    """Turn the first SIGTERM or SIGINT into an exception, so that this process cleans up; ignore later ones."""

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)  # not SIG_IGN: Python reports a signal that is already pending
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
