"""Digests of the source that decides the numbers of a step; comments, docstrings and formatting do not count."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sgenet.config.names import attention_names

Digests = dict[str, str]  # of files: path in the package -> digest

ROOT = Path(__file__).parents[1]  # of the package
_LENGTH = 16  # hexadecimal digits
# What is recorded by other means (parameters, data), or decides no number.
_OTHER = ("cli.py", "commands.py", "errors.py", "config/", "pipeline/", "provenance/", "report/", "runtime/")
_HARD = ("attention/", "kernels/")


def of_modules(names: Iterable[str]) -> Digests:
    """Return the digests of attention modules: their own files, and what these import from attention/ and kernels/.

    kernels/ counts as a whole, because it imports the kernels of a device by name.

    Args:
        names: such as `sge`; names that do not exist are left out.
    """
    own = [name for name in names if name in attention_names()]
    files = _closure(*(f"sgenet.attention.{name}" for name in own), within=_HARD)
    return _digests(files)


def of_step(*entries: str) -> Digests:
    """Return the digests of the other source of a step: its modules and what they import, without attention modules.

    Args:
        entries: names of modules, such as `sgenet.classification.train`.
    """
    return _digests(
        file for file in _closure(*entries) if file == "attention/__init__.py" or not file.startswith((*_OTHER, *_HARD))
    )


def of_report() -> Digests:
    """Return the digests of the source of the report: its modules and templates, and the judgement and statistics."""
    templates = {
        path.relative_to(ROOT).as_posix(): _short(path.read_bytes()) for path in (ROOT / "report/templates").iterdir()
    }
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "report").rglob("*.py")]
    statistics = _closure("sgenet.report", within=("report/", "judgement/", "evaluation/"))
    return _digests({*files, *statistics, "pipeline/learning.py", "pipeline/plan.py"}) | templates


def changed(recorded: Digests, present: Digests) -> list[str]:
    """Return the files that differ: changed, added or removed."""
    return sorted(name for name in recorded.keys() | present.keys() if recorded.get(name) != present.get(name))


def forget() -> None:
    """Read the source again when it is asked for next: it may have changed."""
    for known in (_closure, _imports, _digest):
        known.cache_clear()


def _digests(files: Iterable[str]) -> Digests:
    return {file: _digest(file) for file in sorted(files)}


@cache
def _closure(*modules: str, within: tuple[str, ...] = ("",)) -> frozenset[str]:
    """The files of modules and of what they import from the package, however late; `within` limits it to folders."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        file = _file_of(waiting.pop())
        if file is None or file in found or not file.startswith(within):
            continue
        found.add(file)
        waiting += _imports(file)
    if any(file.startswith("kernels/") for file in found):
        found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kernels").glob("*.py")}
    return frozenset(found)


def _file_of(module: str) -> str | None:
    """The file of a module of the package, relative to it; None for others, and for names that are no modules."""
    place = Path(*module.split(".")[1:])
    for file in (place.with_suffix(".py") if place.name else place, place / "__init__.py"):
        if (ROOT / file).is_file():
            return file.as_posix()
    return None


@cache
def _imports(file: str) -> tuple[str, ...]:
    """Names of the package that a file imports, also those that may be no modules."""
    package = ["sgenet", *Path(file).parts[:-1]]
    names: list[str] = []
    for node in _nodes(_parse(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name == "sgenet" or name.startswith("sgenet."))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)


def _parse(file: str) -> ast.Module:
    """The syntax tree of a file; one that cannot be parsed is taken for text."""
    content = (ROOT / file).read_bytes()
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return ast.Module([ast.Expr(ast.Constant(0)), ast.Expr(ast.Constant(content))], [])


@cache
def _digest(file: str) -> str:
    return _short(repr(_plain(_parse(file))).encode())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def _plain(node: Any) -> Any:
    """A syntax tree as plain values that do not depend on the version of Python, without docstrings."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return node
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, *((name, _plain(value)) for name, value in fields.items())]
