"""Reading and writing files: whole or not at all, and one clear sentence when the input is bad."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(Exception):
    """Bad input, told in one sentence: which file, which field, what was found, what was expected."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    On any exception the temporary file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as JSON atomically; NaN and infinities are refused with a ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file; InputError when it is missing, unreadable or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)}), expected a JSON file") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno} is not JSON ({error.msg})") from None
    except (RecursionError, ValueError):
        found = "found lists in lists too deep, or a number too long, to be read"
        raise InputError(f"{path}: {found}, expected an ordinary JSON file") from None


def read_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file; InputError when it is missing, unreadable or not YAML."""
    import yaml

    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        # libyaml's parser where there is one: ten times as fast, and every step pays
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        _refuse_repeated_keys(node, path)
        return None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)}), expected a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {min(mark.line, text.count(chr(10))) + 1} " if mark else ""  # not behind the end
        problem = getattr(error, "problem", None) or "unreadable text"
        raise InputError(f"{path}: {line}is not YAML ({problem})") from None


def _refuse_repeated_keys(node: Any, path: str | Path) -> None:
    """YAML silently takes the last of two equal keys; here that is an error."""
    seen = set()
    for key, value in node.value if getattr(node, "id", "") == "mapping" else ():
        if key.value in seen:
            raise InputError(f"{path}: line {key.start_mark.line + 1}: {key.value} stands twice, expected it once")
        seen.add(key.value)
        _refuse_repeated_keys(value, path)
    for child in node.value if getattr(node, "id", "") == "sequence" else ():
        _refuse_repeated_keys(child, path)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "not UTF-8 text").lower()
