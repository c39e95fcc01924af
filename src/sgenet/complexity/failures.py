"""Errors of attention modules in one sentence: a module that fails loses its own rows, and no others."""

import traceback
from pathlib import Path

from sgenet import errors
from sgenet.errors import InputError

_LONGEST = 300  # characters of a message that are shown


def describe_error(error: Exception) -> str:
    """Return, in one sentence, what failed in building or calling a network, and where in its attention module.

    Raises:
        Exception: the given error, if it is one of the machine, such as too little memory.
    """
    if errors.explain(error) is not None:
        raise error
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}{_place(error)}" + (f": {text}" if text else "")


def explain_module(error: Exception) -> str | None:
    """Return, in one sentence, what failed in an attention module, and where; None if it failed elsewhere."""
    return f"attention module: {describe_error(error)}" if _place(error) else None


def print_failures(failed: dict[str, str], what: str) -> None:
    """Print a sentence for each network that could not be `what`: its id, and why."""
    for name, why in failed.items():
        print(f"{name}: could not be {what}, and loses the numbers of its row: {why}", flush=True)


def _place(error: Exception) -> str:
    """Return the file and line in an attention module where an error was raised; empty if it was raised elsewhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" in {Path(error.filename).name}, line {error.lineno}"
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith("sgenet.attention.")
    ]
    return f" in {Path(frames[-1][0]).name}, line {frames[-1][1]}" if frames else ""
