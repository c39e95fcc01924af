"""What the steps leave and the report reads, mutated: the report is built from the rest and tells what is wrong."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.tasks import TASKS
from sgenet.judgement.cells import make_table
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import problem_of, read_activations, read_histories, read_manifest
from sgenet.judgement.results import count_missing, read_found, trained_columns
from sgenet.provenance.identity import Artifacts
from sgenet.report import build
from sgenet.report.figures.activations import draw_activations
from sgenet.report.figures.curves import by_run, make_figures
from sgenet.report.figures.detections import read_detections
from sgenet.report.figures.precision_recall import draw_precision_recall
from sgenet.report.index import write_index
from support import results as make
from support.mutations import forms, fuzz, mutated_files, told

IMAGES = 36
CLASSIFIERS = ["classification/resnet50", "classification/sge-resnet50"]
DETECTORS = ["detection/retinanet/resnet50", "detection/retinanet/sge-resnet50"]


@pytest.fixture(scope="module")
def left(tmp_path_factory, request):
    """A small repository in which every step has run once, and what it left by path."""
    folder = tmp_path_factory.mktemp("left")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make.lay_out(folder)
        replication = load_replication()
        make.make_results(replication, IMAGES)
        make.make_scenes(Path("data/demo/detection/val"), Path("data/demo/detection/annotations/val.json"))
        spread = {"value": 1.5, "low": 1.4, "high": 1.6}
        latency = {"input": [64, 64], "threads": 1, "rounds": 2, "models": {"complexity/resnet50": {"latency": spread}}}
        origin = {"command": "sgenet latency", "device": "a clock", "finished": "2026-03-04T05:06:07+00:00"}
        artifacts = Artifacts(replication)
        origin = make.record(artifacts, artifacts.latency()) | origin
        make.write(paths.latency("demo"), latency | {"origin": origin})
        for run in (*CLASSIFIERS, *DETECTORS):
            result = json.loads(make.metrics_path(run).read_text())
            times = json.loads(make.metrics_path(run).with_name("timing.json").read_text())["train"]
            make.write(paths.training("demo", run, 0) / "training.json", result["origin"]["train"] | times)
        for run in DETECTORS:
            found = [make.detection(number, 1 + number % 2, 0.9) for number in range(10, 19)]
            make.write(paths.evaluation("demo", run, 0) / "detections.json", found)
    files = [path.relative_to(folder) for path in sorted(folder.glob("[dr]*/**/*")) if path.is_file()]
    return folder, {str(path): (folder / path).read_bytes() for path in files if path.suffix != ".png"}


@pytest.fixture
def repository(left, monkeypatch):
    """The small repository as working folder, and its files by path; each is put back where a test changed it."""
    folder, files = left
    files[str(paths.activations("demo"))] = json.dumps(make.activations()).encode()
    monkeypatch.chdir(folder)
    for path, content in files.items():
        Path(path).write_bytes(content)
    return files


def few_samples(replication):
    few = replication.pipeline.report.model_copy(update={"bootstrap_samples": 20})
    return replace(replication, pipeline=replication.pipeline.model_copy(update={"report": few}))


def beside(mutated, read):
    """The problems that `read` tells beside mutated files, path -> content."""
    whole = {path: Path(path).read_bytes() for path in mutated}
    try:
        for path, content in mutated.items():
            Path(path).write_bytes(content)
        problems = read()
    finally:
        for path, content in whole.items():
            Path(path).write_bytes(content)
    for problem in problems:
        told(problem)
        assert any(path in problem for path in ("results/", "data/")), problem
    return problems


def use(mutated):
    """Build the report beside mutated files; returns whether it has no problem."""

    def report():
        replication = few_samples(load_replication())
        problems = build(replication)
        count_missing(replication), write_index()
        return problems

    shutil.rmtree("reports", ignore_errors=True)
    problems = beside(mutated, report)
    comparison = json.loads(Path("reports/demo/comparison.json").read_text())
    jsonschema.validate(comparison, json.loads(Path("workflow/schemas/comparison.schema.json").read_text()))
    assert Path("reports/demo/index.html").read_text().rstrip().endswith("</html>")
    return not problems


def test_whole_files_are_no_problem(repository):
    assert use({})


@pytest.fixture
def documents(repository):
    """The documents in those files, each with how it is written."""
    found = {path: (json.loads(content), _json) for path, content in repository.items() if path.endswith(".json")}
    for path, content in repository.items():
        if path.endswith(".npz"):
            with np.load(io.BytesIO(content)) as arrays:
                found[path] = {name: array.tolist() for name, array in arrays.items()}, _npz
        elif path.endswith(".csv"):
            found[path] = list(csv.reader(io.StringIO(content.decode()))), _csv
    return found


def _json(value):
    return json.dumps(value).encode()


def _npz(arrays):
    """Whatever numpy makes of it, objects to be unpickled too."""
    file = io.BytesIO()
    arrays = arrays if isinstance(arrays, dict) else {"array": arrays}
    np.savez_compressed(file, **{str(name).replace("\0", "0") or "x": _array(value) for name, value in arrays.items()})
    return file.getvalue()


def _array(value):
    try:
        return np.array(value)
    except (ValueError, OverflowError):
        return np.array([value, None], dtype=object)


def _csv(rows):
    rows = [row if isinstance(row, list) else [row] for row in rows] if isinstance(rows, list) else [[rows]]
    return "\n".join(",".join(map(str, row)) for row in rows).encode(errors="surrogatepass")


@forms(6, 150)
def test_the_report_beside_mutated_files(repository, documents, form):
    fuzz(mutated_files(repository, documents), use, form)


@forms(60, 2500)
def test_every_reader_of_the_report(repository, documents, form):
    """What costs most, the page, left out."""
    replication = few_samples(load_replication())
    names = trained_columns(replication)

    def read():
        found = read_found(replication)
        problems = list(found.problems)
        gains = Gains(replication, found)
        for run in found.runs.values():
            problems.append(run.problem)
            for metric in names[run.id]:
                assert gains.value_interval(run, metric) is None or run.by_seed
        draw_precision_recall(replication, found)
        measured = read_activations(Artifacts(replication))
        draw_activations(measured)
        problems += [problem_of(measured), read_detections(replication, found)[1]]
        histories = {}
        for task in TASKS:
            rows, bad = read_histories(replication, task)
            histories[task] = by_run(rows)
            problems += [*bad, problem_of(read_manifest("demo", task))]
        tables = [make_table(table, replication, found, gains) for table in replication.tables]
        for figure in make_figures(tables, histories):
            assert {plot.run for plot in figure.plots} <= replication.runs.keys()
        return [problem for problem in problems if problem]

    fuzz(mutated_files(repository, documents), lambda files: not beside(files, read), form)
