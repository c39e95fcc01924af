"""Mutated inputs, of bytes and of structure, and what a reader owes to each: it takes it, or refuses it in a sentence.

A mutation is drawn as eight bytes that seed Python's generator: ten times as fast as drawing each choice, and a
failure is repeated by them alone.
"""

import copy
import math
import random
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sgenet.errors import LONGEST, InputError
from support.words import NUMBERS, TEXTS, TOKENS

SECONDS = 20  # an example; far more than any takes
MEMORY = 3 * 2**30  # bytes of addresses that a reader may take beyond what the process has
RESIDENT = 2**30  # bytes that it may really fill
T = TypeVar("T")
_SEEDS = st.binary(min_size=8, max_size=8)


class Hang(BaseException):
    """No `except Exception` of a reader may take it."""


class Form(NamedTuple):
    """How many inputs a test draws, and whether others each time."""

    examples: int
    anew: bool


def forms(short: int, long: int) -> pytest.MarkDecorator:
    """Give a test the argument `form`: the same few inputs each time in `make test`, many others in `make soak`."""
    soak = pytest.param(Form(long, True), marks=pytest.mark.soak, id="long")
    return pytest.mark.parametrize("form", [pytest.param(Form(short, False), id="short"), soak])


def fuzz(mutated: st.SearchStrategy[T], check: Callable[[T], bool], form: Form, also: Iterable[T] = ()) -> None:
    """Call `check` with the inputs `also`, then with so many that are drawn; tell how each kind of them ended.

    `check` returns whether its input was taken.
    """
    ended: Counter[str] = Counter()

    def one(example: T) -> None:
        with _in_time():
            ended["taken" if check(example) else "refused"] += 1

    drawn = settings(
        max_examples=form.examples,
        derandomize=not form.anew,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking a seed leads nowhere
        print_blob=form.anew,
        suppress_health_check=list(HealthCheck),
    )(given(mutated)(one))
    with _in_memory():
        for example in also:
            one(example)
        drawn()
    print(f"{sum(ended.values())} inputs: {dict(ended)}")


def refused(read: Callable[[], T], *names: str | Path) -> T | None:
    """What `read` returns, or None where it refuses its input as it should: in a printable, bounded line.

    It names one of the `names`, if there are any.
    """
    try:
        return read()
    except InputError as error:
        told(str(error), *names)
        return None


def told(text: str, *names: str | Path) -> None:
    """Check a sentence that refuses a file, or a line for each of its defects."""
    for line in text.split("\n"):
        assert line.isprintable() and 10 < len(line) <= LONGEST, line
    assert not names or any(str(name) in text for name in names), text


@contextmanager
def _in_time() -> Iterator[None]:
    def hang(*_: object) -> NoReturn:
        raise Hang(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _in_memory() -> Iterator[None]:
    limits, used = resource.getrlimit(resource.RLIMIT_AS), _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    before = _status("VmHWM")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert _status("VmHWM") - before < RESIDENT


def _status(key: str) -> int:
    """A size of this process in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def mutated_bytes(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Valid files with some bytes changed, cut, put in, taken from another one or repeated."""
    return _SEEDS.map(lambda seed: _mutate_bytes(random.Random(seed), valid))


def _mutate_bytes(rng: random.Random, valid: Sequence[bytes]) -> bytes:
    content = bytearray(rng.choice(valid))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        start = rng.randrange(len(content) + 1)
        stop = min(len(content), start + rng.choice((1, 2, 4, 8, 30, 300, 10**9)))
        kind = rng.randrange(9)
        if kind == 0 and start < len(content):
            content[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[start:stop]
        elif kind == 2:
            content[start:start] = rng.choice(TOKENS)
        elif kind == 3:
            content[start : start + rng.choice((1, 4, 8))] = rng.choice(TOKENS)
        elif kind == 4:
            content[start:start] = content[start:stop] * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.choice(valid)
            place = rng.randrange(len(other) + 1)
            content[start:stop] = other[place : place + rng.choice((1, 10, 100, 10**9))]
        elif kind == 6:
            del content[start:]
        elif kind == 7:
            _replace_number(rng, content)
        else:
            content[start : start + 8] = rng.randbytes(rng.choice((1, 2, 4, 8)))
        del content[2**21 :]
    return bytes(content)


def _replace_number(rng: random.Random, content: bytearray) -> None:
    places = [place for place, byte in enumerate(content) if 48 <= byte < 58]
    if places:
        start = stop = rng.choice(places)
        while stop < len(content) and 48 <= content[stop] < 58:
            stop += 1
        content[start:stop] = rng.choice(NUMBERS).encode()


def mutated_documents(*valid: Any) -> st.SearchStrategy[Any]:
    """Valid documents in which some nodes became another kind, vanished, were doubled, moved, nested or made huge."""
    return _SEEDS.map(lambda seed: _mutate_document(random.Random(seed), valid))


def _mutate_document(rng: random.Random, valid: Sequence[Any]) -> Any:
    root: dict[str, Any] = {"": copy.deepcopy(rng.choice(valid))}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(root))
        holder, key = rng.choice(places)
        kind = rng.randrange(10)
        if kind < 4:
            holder[key] = strange(rng, holder[key])
        elif kind == 4:
            del holder[key]
            root.setdefault("", None)
        elif kind == 5:
            other, there = rng.choice(places)
            if there in other if isinstance(other, dict) else there < len(other):
                holder[key] = copy.deepcopy(other[there])
        elif kind == 6 and isinstance(holder, list):
            holder[key:key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 40))
        elif kind == 7 and isinstance(holder[key], dict):
            holder[key][rng.choice(("x", "id", "type", "", *TEXTS[:20]))] = strange(rng, 1)
        elif kind == 8 and isinstance(holder, dict) and holder is not root:
            holder[rng.choice((str(key).upper(), f"{key} ", "", *TEXTS[:8]))] = holder.pop(key)
        else:
            for _ in range(rng.choice((1, 2, 30, 60))):
                holder[key] = rng.choice(([holder[key]], {"a": holder[key]}))
    return root[""]


def mutated_files(
    files: Mapping[str, bytes], documents: Mapping[str, tuple[Any, Callable[[Any], bytes]]] = {}
) -> st.SearchStrategy[dict[str, bytes]]:
    """Some of the files (path -> content), each mutated: by structure those whose documents are given, others by bytes.

    Args:
        files: all of them, whole.
        documents: path -> document, and how it is written.
    """

    def mutate(rng: random.Random, path: str) -> bytes:
        if path in documents and rng.random() < 0.7:
            document, write = documents[path]
            return write(_mutate_document(rng, [document]))
        return _mutate_bytes(rng, [files[path]])

    def some(seed: bytes) -> dict[str, bytes]:
        rng = random.Random(seed)
        return {path: mutate(rng, path) for path in rng.sample(sorted(files), rng.choice((1, 1, 2, 4)))}

    return _SEEDS.map(some)


def _places(node: dict[Any, Any] | list[Any]) -> Iterator[tuple[dict[Any, Any] | list[Any], Any]]:
    """Container and key of everything in a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def strange(rng: random.Random, value: Any) -> Any:
    """A value that is close to `value`, or of another type."""
    if isinstance(value, int | float) and abs(value) < 1e300 and rng.random() < 0.5:
        close = value + 1, value - 1, -value, value * 1000, value / 3, float(value), value + 0.5
        return rng.choice((*close, 2**31, 2**53, 2**63, 1e300))
    kind = rng.randrange(4)
    if kind == 0:
        numbers = 0, -1, 1, 0.5, -0.0, 1e-320, 1e308, math.inf, -math.inf, math.nan, 2**31, 2**53 + 1, 2**64, 10**400
        return rng.choice((None, True, False, *numbers))
    if kind == 1:
        lists: tuple[Any, ...] = (
            [],
            [[]],
            [None],
            [0] * 3000,
            ["x"] * 3000,
            [[1, 2], [3]],
            {},
            {"a": 1},
            {str(n): n for n in range(500)},
        )
        return copy.deepcopy(rng.choice(lists))
    return rng.choice(TEXTS if kind == 2 else NUMBERS)
