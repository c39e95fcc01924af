"""Error messages of one sentence, for bad input and for failures of the machine (full disk, no memory, and others)."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONTINUES = "the same command continues"
_ROOM = f"make room, and {_CONTINUES}"
_RIGHT = f"give this user the permission, and {_CONTINUES}"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f), and {_CONTINUES}",
    errno.EROFS: "expected a writable file system",
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.EMFILE: f"raise the limit on open files (ulimit -n), and {_CONTINUES}",
    errno.ENOMEM: f"free some memory, and {_CONTINUES}",
}
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
_MEMORY = re.compile(r"out of memory|_ALLOC_FAILED")
_WORKER = re.compile(r"DataLoader worker .*(killed|exited)|.*shared memory|Too many open files")
_LESS = f"fewer `workers` or a smaller device_batch_size need less, and {_CONTINUES}"
_PLACE = re.compile(r"\[enforce fail at [^]]*\] ")
_TEMPORARY = re.compile(r"\.([^/]+)\.tmp-[^/]+/new(?=/|$)")
_LONGEST = 120  # characters of a library's message that are shown
LONGEST = 1500  # characters of a line of an error message


class InputError(Exception):
    """Bad input, described in one sentence that names the file, the field, what was found and what was expected.

    Each argument is one line of the message. Control characters are escaped; the middle of a long line is left out.
    """

    def __str__(self) -> str:
        return "\n".join(_line(str(text)) for text in self.args)


def _line(text: str) -> str:
    return _shorten("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in _shorten(text)))


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[3 - LONGEST // 2 :]}"


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn an error raised because `path` cannot be written into an InputError that gives the reason."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if (text := cannot_write(Path(path), error)) is None:
            raise
        raise InputError(text) from None


def cannot_write(path: Path, error: Exception) -> str | None:
    """Return a message for an error raised while `path`, or a temporary file next to it, was written.

    Returns None for any other error. An error that names another file concerns that file, unless only writing can
    raise it.
    """
    if isinstance(error, OSError) and error.errno is not None:
        here = Path(os.path.abspath(path))
        named = here if error.filename is None else Path(os.path.abspath(os.fsdecode(error.filename)))
        concerned = here.parent in named.parents or named in here.parents
        text = f"{_final(path)}: cannot be written{_why(error.errno)}"
        return text if error.errno in _OF_WRITING or concerned else None
    sqlite = str(getattr(error, "sqlite_errorname", ""))
    if sqlite.startswith(_SQLITE):
        return f"{path}: cannot be written ({_first(error)}); {_ROOM if sqlite == 'SQLITE_FULL' else _CONTINUES}"
    return None


def _final(path: Path) -> str:
    """Return the final name of a file that is written in a new folder with a temporary name."""
    name, count = str(path), 1
    while count:
        name, count = _TEMPORARY.subn(r"\1", name)
    return name


def explain(error: Exception) -> str | None:
    """Return a message for an error of the machine, such as too little memory; None for other errors."""
    name, text = type(error).__name__, _first(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"the machine's memory is full ({text or 'allocation failed'}); {_LESS}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'a file or the output'}: cannot be used{_why(error.errno)}"
    if name == "OutOfMemoryError" or (isinstance(error, RuntimeError) and _MEMORY.search(text)):
        return f"the GPU's memory is full ({text}); lower device_batch_size; batch_size stays the same"
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return f"compile: torch.compile failed ({text}); set it to false, or install what torch.compile needs"
    if isinstance(error, RuntimeError | OSError) and _WORKER.match(text):
        return f"{text}; fewer `workers` need less memory, and {_CONTINUES}"
    return None


def message(error: Exception) -> str:
    """Return the message of an error.

    Of an error in a data-loader worker, whose message starts with the worker's traceback, only the last line is used.
    """
    text = str(error.args[0]) if error.args else ""
    if not (text.startswith("Caught ") and "in DataLoader worker process" in text):
        return str(error)
    return text.rstrip().rpartition("\n")[2].partition(": ")[2]


def _why(number: int) -> str:
    advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
    return f" ({os.strerror(number).lower()}){advice}"


def _first(error: Exception) -> str:
    """Return the first line of a message, without the location in torch's sources."""
    text = next(iter(message(error).splitlines()), "")
    return _PLACE.sub("", text)[:_LONGEST].strip()
