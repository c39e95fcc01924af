"""Reading YAML of plain values: text, numbers, lists and mappings of limited size and depth."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from sgenet.errors import InputError
from sgenet.runtime.files import DEEPEST, read_text, reason_of

_LARGEST = 2**20  # bytes
_MOST_NODES = 20_000
_LONGEST_NUMBER = 40  # characters
_PLAIN = ("str", "int", "float", "bool", "null", "seq", "map")
_ADDED = {  # numbers of YAML 1.2's core schema (10.3.2) that YAML 1.1 reads as text; DVC writes 1e-5
    "int": re.compile(r"0o[0-7]+$"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$|[-+]\.[0-9]+$"),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all except tab and line feed


def read_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file of plain values: text, numbers, true, false, null, lists, and mappings of text.

    Numbers may be written as in YAML 1.1 or 1.2.

    Raises:
        InputError: the file is missing, unreadable or not YAML; or it contains a tag, a date, a key that is not text, a
            repeated key, a control character, or more than _MOST_NODES values (each use of an alias counts).
    """
    try:
        text = read_text(path, _LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}), expected a YAML file") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: str | Path) -> Any:
    """Return the plain values of a YAML text; `path` is the place that the InputError of bad text names."""
    import yaml

    try:
        kind = _loader()
        _check_events(yaml.parse(text, kind), path)
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, path)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {min(mark.line, text.count(chr(10))) + 1} " if mark else ""  # not after the last line
        problem = getattr(error, "problem", None) or "unreadable text"
        raise InputError(f"{path}: {line}is not YAML ({problem})") from None
    except ValueError:  # raised by PyYAML for numbers such as 0b_
        raise InputError(f"{path}: contains a number that cannot be read, expected ordinary numbers") from None


@cache
def _loader() -> Any:
    """Return the loader's class: numbers are those of YAML 1.1, which has precedence, and of YAML 1.2's core schema."""
    import yaml

    # libyaml's parser, if available, is ten times as fast, and every step reads YAML
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    for kind, pattern in _ADDED.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, list("-+.0123456789"))
    return Loader


def _check_events(events: Iterable[Any], path: str | Path) -> None:
    """Refuse tags, and any content that would exhaust PyYAML's stack or the memory, before values are constructed.

    An alias counts as much as the value that it repeats.
    """

    def refuse(event: Any, problem: str) -> NoReturn:
        raise InputError(f"{path}: line {event.start_mark.line + 1} {problem}")

    anchors: dict[str | None, tuple[int, int]] = {}  # number of values, and depth of nesting
    around: list[tuple[str | None, int, int]] = [(None, 0, 0)]  # the same for the open collections
    for event in events:
        kind = type(event).__name__
        if getattr(event, "tag", None) is not None:
            refuse(event, f"is not YAML of plain values (found the tag {event.tag}, expected none)")
        if kind.endswith("StartEvent"):
            around.append((getattr(event, "anchor", None), 1, 1))
            if len(around) > DEEPEST:
                refuse(event, f"is nested too deeply, expected at most {DEEPEST} levels of lists and mappings")
            continue
        if kind == "AliasEvent":
            if event.anchor not in anchors:
                refuse(event, f"is not YAML (*{event.anchor} refers to no complete value before it)")
            count, depth = anchors[event.anchor]
        elif kind == "ScalarEvent":
            count, depth = 1, 0
            anchors[event.anchor] = 1, 0
        else:  # the end of a collection, a document or the stream
            anchor, count, depth = around.pop()
            anchors[anchor] = count, depth
        outer, before, deepest = around[-1]
        around[-1] = outer, before + count, max(deepest, depth + 1)
        if around[-1][1] > _MOST_NODES or around[-1][2] > DEEPEST:
            found = "repeats by an alias" if kind == "AliasEvent" else "contains"
            refuse(
                event,
                f"{found} too many values, expected at most {_MOST_NODES:,}, nested at most {DEEPEST} levels deep",
            )


def _check_nodes(root: Any, path: str | Path) -> None:
    """Refuse values that PyYAML would not construct as plain values, and repeated keys, of which it keeps the last."""

    def refuse(node: Any, problem: str) -> NoReturn:
        raise InputError(f"{path}: line {node.start_mark.line + 1}: {problem}")

    nodes, visited = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        kind = node.tag.rpartition(":")[2]
        if kind not in _PLAIN:
            refuse(node, f"found {node.value}, which YAML reads as a {kind}: put text in quotes")
        if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
            refuse(node, f"found a number of {len(node.value)} characters, expected an ordinary one")
        if kind == "str" and (found := _CONTROL.search(node.value)):
            refuse(node, f"found the control character {found[0]!r}, expected text without control characters")
        if kind == "seq":
            nodes += node.value
        seen = set()
        for key, value in node.value if kind == "map" else ():
            if (kind_of_key := key.tag.rpartition(":")[2]) not in ("str", "merge"):
                refuse(key, f"found a key that YAML reads as {kind_of_key}, expected text: put it in quotes")
            if key.value in seen:
                refuse(key, f"{key.value} is repeated, expected it once")
            seen.add(key.value)
            nodes += [value] if key.value == "<<" else [key, value]
