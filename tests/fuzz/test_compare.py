"""Mutated reports of others: `sgenet compare` shows them, or refuses them in a sentence."""

import json
from pathlib import Path

import pytest

from sgenet.config.replication import load_replication
from sgenet.report import build
from sgenet.report.compare import compare
from support import results as make
from support.mutations import forms, fuzz, mutated_bytes, mutated_documents, refused

PAGE = Path("page/index.html")


@pytest.fixture
def report(tmp_path, monkeypatch):
    """The folder of a report, next to a copy of its comparison.json that a test mutates."""
    monkeypatch.chdir(tmp_path)
    make.lay_out(tmp_path)
    replication = load_replication(seeds=3)
    make.make_results(replication, images=60)
    build(replication)
    Path("other/curves").mkdir(parents=True)
    make.write(Path("other/comparison.json"), make.comparison())
    return Path("reports/demo")


def _check(path):
    PAGE.unlink(missing_ok=True)
    done = refused(lambda: compare(["demo", "other"], PAGE.parent), path)
    assert PAGE.exists() == (done is not None)
    assert done is None or PAGE.read_text().rstrip().endswith("</html>")
    return done is not None


@forms(25, 2000)
def test_mutated_comparisons(report, form):
    path = Path("other/comparison.json")

    def check(value):
        path.write_text(json.dumps(value))
        return _check(path)

    fuzz(mutated_documents(make.comparison()), check, form, also=[make.comparison()])


@forms(25, 2000)
def test_mutated_curves(report, form):
    path = Path("other/curves/classification.csv")

    def check(content):
        path.write_bytes(content)
        return _check(path)

    whole = (report / "curves/classification.csv").read_bytes()
    fuzz(mutated_bytes(whole), check, form, also=[whole])
