"""Digests of source: what counts as a change, and which files decide which step."""

import textwrap

import pytest

from sgenet.provenance import code

FILES = {
    "attention/__init__.py": "",
    "attention/_parts.py": "LIMIT = 1\n",
    "attention/one.py": "from sgenet.attention import _parts\nfrom sgenet.kernels import op\nimport torch\n",
    "attention/two.py": "from . import _parts\n",
    "attention/three.py": "from sgenet.models import net\n",
    "kernels/__init__.py": "def op(x):\n    return x\n",
    "kernels/cpu.py": "",
    "models/net.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from sgenet.data import typed
        def build():
            from sgenet.data import read
    """,
    "data/read.py": "import sgenet.runtime.files\n",
    "data/typed.py": "",
    "runtime/files.py": "",
    "classification/train.py": "from sgenet.models.net import build\nfrom sgenet.attention import one\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package; returns a function that writes one of its files and forgets what was known."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        code.forget()

    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "attention_names", lambda: ["one", "three", "two"])
    for name, text in FILES.items():
        write(name, text)
    yield write
    monkeypatch.undo()
    write("attention/one.py", "")  # forgets them


def test_a_module_counts_with_what_it_imports_from_attention_and_kernels(package):
    of = {name: set(code.of_modules([name])) for name in ("one", "two", "three")}
    shared = {"attention/_parts.py", "attention/__init__.py"}
    assert of["one"] == shared | {"attention/one.py", "kernels/__init__.py", "kernels/cpu.py"}
    assert of["two"] - {"attention/__init__.py"} == {"attention/two.py", "attention/_parts.py"}
    assert of["three"] == {"attention/three.py"} and code.of_modules(["none"]) == {}


def test_a_step_counts_with_all_else_that_it_imports_however_late(package):
    found = set(code.of_step("sgenet.classification.train"))
    assert found == {"classification/train.py", "models/net.py", "data/read.py", "attention/__init__.py"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "# a comment\nx  =  1\n"),
        ('def f():\n    return "a"\n', "def f():\n    '''What it does.'''\n    return 'a'\n"),
        ('"""A module."""\nx = (1,\n     2)\n', "x = (1, 2)\n"),
        ("class A:\n    x = 1\n", 'class A:\n    """A class."""\n\n    x = 1  # one\n'),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(package, before, after):
    package("attention/two.py", before)
    first = code.of_modules(["two"])
    package("attention/two.py", after)
    assert code.of_modules(["two"]) == first


@pytest.mark.parametrize("after", ["x = 2\n", "x = 1.0\n", "x = '1'\n", "y = 1\n", "x = 1\nx = 1\n", "x = (\n"])
def test_anything_else_counts(package, after):
    package("attention/two.py", "x = 1\n")
    first = code.of_modules(["two"])
    package("attention/two.py", after)
    assert code.changed(first, code.of_modules(["two"])) == ["attention/two.py"]


def test_every_step_of_the_package_has_source():
    from sgenet.provenance.identity import _SOURCES

    for name in _SOURCES.values():
        for task in ("classification", "detection"):
            entry = name.format(task=task)
            assert entry.replace(".", "/").removeprefix("sgenet/") + ".py" in code.of_step(entry)
    files = code.of_report().keys()
    assert {"report/__init__.py", "report/templates/page.html"} <= files
    assert {f"evaluation/{name}.py" for name in ("verdicts", "trainings", "statistics", "bootstrap")} <= files
    assert {file.partition("/")[0] for file in files} == {"report", "judgement", "evaluation", "pipeline"}
