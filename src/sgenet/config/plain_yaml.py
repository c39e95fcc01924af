"""Parameters as YAML of plain values: nothing is built of what is no text, number, list or mapping, or too much."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from sgenet.errors import InputError
from sgenet.runtime.files import DEEPEST, read_text, reason_of

_LARGEST = 2**20  # bytes
_MOST_NODES = 20_000
_LONGEST_NUMBER = 40  # characters
_PLAIN = ("str", "int", "float", "bool", "null", "seq", "map")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tab and end of line


def read_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file of plain values: text, numbers, true, false, null, lists, and mappings of text.

    InputError when it is missing, unreadable, not YAML, or holds anything else: tags, dates, keys that are no text or
    stand twice, control characters, or more than _MOST_NODES values, those that aliases repeat counted each time.
    """
    import yaml

    text = ""
    try:
        text = read_text(path, _LARGEST)
        # libyaml's parser where there is one: ten times as fast, and every step pays
        kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        _check_events(yaml.parse(text, kind), path)
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, path)
        return loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}), expected a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {min(mark.line, text.count(chr(10))) + 1} " if mark else ""  # not behind the end
        problem = getattr(error, "problem", None) or "unreadable text"
        raise InputError(f"{path}: {line}is not YAML ({problem})") from None
    except ValueError:  # PyYAML's of numbers such as 0b_
        raise InputError(f"{path}: holds a number that cannot be read, expected ordinary ones") from None


def _check_events(events: Iterable[Any], path: str | Path) -> None:
    """Refuse, before anything is built, what would take PyYAML's stack or all memory, and any tag.

    An alias counts as much as what it stands for.
    """

    def refuse(event: Any, problem: str) -> NoReturn:
        raise InputError(f"{path}: line {event.start_mark.line + 1} {problem}")

    anchors: dict[str | None, tuple[int, int]] = {}  # how many values, and how deep they stand in each other
    around: list[tuple[str | None, int, int]] = [(None, 0, 0)]  # the same of the collections that are open
    for event in events:
        kind = type(event).__name__
        if getattr(event, "tag", None) is not None:
            refuse(event, f"is not YAML of plain values (found the tag {event.tag}, expected none)")
        if kind.endswith("StartEvent"):
            around.append((getattr(event, "anchor", None), 1, 1))
            if len(around) > DEEPEST:
                refuse(event, f"stands too deep, expected at most {DEEPEST} lists and mappings in each other")
            continue
        if kind == "AliasEvent":
            if event.anchor not in anchors:
                refuse(event, f"is not YAML (*{event.anchor} stands for nothing that is complete before it)")
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
            found = "repeats by aliases" if kind == "AliasEvent" else "ends"
            refuse(event, f"{found} too much, expected at most {_MOST_NODES:,} values, {DEEPEST} in each other")


def _check_nodes(root: Any, path: str | Path) -> None:
    """Refuse what PyYAML would make more than plain values of, and repeated keys, of which it takes the last."""

    def refuse(node: Any, problem: str) -> NoReturn:
        raise InputError(f"{path}: line {node.start_mark.line + 1}: {problem}")

    nodes, looked_at = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in looked_at:
            continue
        looked_at.add(id(node))
        kind = node.tag.rpartition(":")[2]
        if kind not in _PLAIN:
            refuse(node, f"found {node.value}, which YAML takes for a {kind}: put text in quotes")
        if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
            refuse(node, f"found a number of {len(node.value)} characters, expected an ordinary one")
        if kind == "str" and (found := _CONTROL.search(node.value)):
            refuse(node, f"found the control character {found[0]!r}, expected text without any")
        if kind == "seq":
            nodes += node.value
        seen = set()
        for key, value in node.value if kind == "map" else ():
            if (kind_of_key := key.tag.rpartition(":")[2]) not in ("str", "merge"):
                refuse(key, f"found a key that YAML takes for {kind_of_key}, expected text: put it in quotes")
            if key.value in seen:
                refuse(key, f"{key.value} stands twice, expected it once")
            seen.add(key.value)
            nodes += [value] if key.value == "<<" else [key, value]
