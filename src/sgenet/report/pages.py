"""The page: one HTML file that needs no other."""

import base64
from collections import Counter
from functools import partial

from sgenet.config import params, paths
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest
from sgenet.judgement import Judged
from sgenet.judgement.ranking import beaten
from sgenet.pipeline.workflow import again, command_line
from sgenet.provenance.identity import Artifacts
from sgenet.report.dossiers import dossiers
from sgenet.report.environment import make_environment
from sgenet.report.figures.activations import draw_activations
from sgenet.report.figures.curves import by_run, make_figures
from sgenet.report.figures.detections import read_detections
from sgenet.report.figures.forest import draw_forests, draw_main_gains
from sgenet.report.figures.precision_recall import draw_precision_recall
from sgenet.report.glance import compare_with_full, costs, seen
from sgenet.report.methods import describe
from sgenet.report.overview import overview, spread


def render(judged: Judged, identity: str) -> tuple[str, list[str]]:
    """The whole page as HTML, and all problems that were met, those of single figures too."""
    replication, found, tables = judged.replication, judged.found, judged.tables
    curves = {task: by_run(rows) for task, rows in judged.histories.items()}
    detections, bad_detections = read_detections(replication, found)
    methods, artifacts = describe(judged), Artifacts(replication)
    problems = list(filter(None, dict.fromkeys([*judged.problems, bad_detections, methods.problem])))
    entries = dossiers(judged)
    published = [cell.published for table in tables for cell in table.cells if cell.published]
    pairs = sorted({(value.source, value.confidence) for value in published})
    shown = overview(judged)
    page = (
        make_environment()
        .get_template("page.html")
        .render(
            again=partial(again, replication),
            anchors={entry["run"]: f"run-{number}" for number, entry in enumerate(entries, 1)},
            identity=identity,
            scale=judged.scale,
            paper=judged.paper,
            description=replication.scale.description,
            overview=shown,
            seen=seen,
            main_gains=draw_main_gains(judged.main),
            costs_of_sge=costs(tables),
            compared=compare_with_full(judged, shown),
            spread=spread([cell for table in tables for cell in table.cells]),
            confidence_level=judged.confidence,
            confidence=f"{100 * judged.confidence:g}",
            seeds=replication.seed_range[1],
            problems=problems,
            tables=tables,
            claims=judged.claims,
            main=judged.main,
            sources=params.load_sources(),
            source_ids={pair: f"source-{number}" for number, pair in enumerate(pairs, 1)},
            beaten=beaten(replication.tables),
            found=found,
            latency=found.latency,
            figures_of=FIGURES_RUN,
            figures_run=FIGURES_RUN in replication.runs,
            data=[(task, judged.manifest(task), _contact_sheet(judged.scale, task)) for task in replication.tasks],
            few_classes=_few_classes(judged.manifest(Task.CLASSIFICATION)),
            left_out=_left_out(judged),
            dossiers=entries,
            activations=draw_activations(judged.activations),
            curves=make_figures(tables, curves),
            forests=draw_forests(tables),
            precision_recall=draw_precision_recall(replication, found),
            detections=detections,
            methods=methods,
            other_code=Counter(map(tuple, artifacts.made_by_other_code().values())),
            results=sum(artifact.present for artifact in (*artifacts.trainings(), *artifacts.measurements())),
            strictly=command_line(replication, code="strict"),
            report_command=command_line(replication, paths.report(judged.scale) / "index.html"),
            complexity_command=artifacts.complexity().command,
        )
    )
    return page, problems


def _contact_sheet(scale: str, task: str) -> str | None:
    path = paths.manifest(scale, task).with_suffix(".png")
    if not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _few_classes(manifest: Manifest | None) -> int | None:
    """The number of classes, if every one of them is among the five best."""
    return len(manifest.classes) if manifest and len(manifest.classes) <= 5 else None


def _left_out(judged: Judged) -> list[str]:
    """What was not run, in sentences."""
    replication, found, told = judged.replication, judged.found, []
    if not judged.paper:
        told.append("ImageNet and COCO with the paper's recipe: that is scale paper, and this page is not of it.")
    if never := [run.id for run in found.runs.values() if run.missing and not run.by_seed]:
        which = f"{len(never)} of {len(found.runs)} runs: {', '.join(never)}"
        told.append(f"No result was found of {which if len(never) < len(found.runs) else 'any run'}.")
    for run in found.runs.values():
        if run.missing and run.by_seed:
            told.append(f"{run.id}, seed {', '.join(map(str, run.missing))}: no result was found.")
    if replication.left_out:
        told.append(f"Tables that params/pipeline.yaml leaves out: {', '.join(replication.left_out)}.")
    if rows := [f"{label} ({table.id})" for table in replication.tables for label in table.left_out]:
        told.append(f"Rows that were not chosen: {'; '.join(rows)}.")
    printed = [
        cell.published
        for table in judged.tables
        for row in table.rows
        for cell in row.cells
        if row.row.published and "published" in table.parts(cell.column) and cell.applicable
    ]
    if empty := printed.count(None):
        told.append(f"Published values that were not recovered: {empty} of {len(printed)} cells.")
    return told
