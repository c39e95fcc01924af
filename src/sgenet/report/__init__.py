"""The report: reads the files that the steps left and shows every number next to the published one."""

from collections import Counter

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication
from sgenet.config.tasks import TASKS
from sgenet.data.manifest import Manifest
from sgenet.judgement import main_gains
from sgenet.judgement.cells import make_table
from sgenet.judgement.claims import Judge
from sgenet.judgement.comparison import comparison, metrics
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import read_histories, read_manifest
from sgenet.judgement.ranking import rank
from sgenet.judgement.results import read_found
from sgenet.pipeline.report_identity import report_digest
from sgenet.pipeline.workflow import command_line
from sgenet.provenance.identity import Artifacts
from sgenet.report.exports import write_tables
from sgenet.report.figures.activations import read_activations
from sgenet.report.figures.cost import draw_costs
from sgenet.report.figures.curves import Histories, by_run, make_figures
from sgenet.report.figures.detections import read_detections
from sgenet.report.figures.forest import draw_forests
from sgenet.report.figures.precision_recall import draw_precision_recall
from sgenet.report.figures.scatter import draw_scatter
from sgenet.report.index import write_index
from sgenet.report.methods import describe
from sgenet.report.pages import render
from sgenet.runtime.files import write_json, write_text


def build(replication: Replication) -> list[str]:
    """Write the report of a scale to reports/<scale>/, and reports/index.html, which lists the scales.

    The files are index.html, comparison.json, metrics.json, curves/<task>.csv and tables/<id>.{csv,md,tex}.

    What is missing is shown as not run. What cannot be used is shown as failed, and the rest is still built.

    Returns:
        the problems met, a sentence each; none where every file that was found could be used.
    """
    scale, artifacts = replication.scale_name, Artifacts(replication)
    identity = report_digest(artifacts)  # before anything is read: what is finished meanwhile makes the page outdated
    found = read_found(replication)
    gains = Gains(replication, found)
    gains.check()
    tables = [rank(make_table(table, replication, found, gains)) for table in replication.tables]
    activations, bad_activations = read_activations(artifacts)
    judge = Judge(replication, found, gains, activations.measured if activations else None)
    asked = load_claims(replication.tables)
    claims = [judge.claim(claim) for claim in asked.claims]
    main = main_gains.measure(asked.main_gains, replication, tables, found)
    problems = [problem for run in found.runs.values() for problem in (run.problem, run.released_problem)]
    problems += [outdated for run in found.runs.values() for outdated in run.outdated.values()]
    problems += [cell.problem for table in tables for cell in table.cells]
    problems += [condition.problem for claim in claims for condition in claim.conditions]
    detections, bad_detections = read_detections(replication, found)
    problems += [bad_activations, bad_detections]
    histories: dict[str, list[dict[str, str]]] = {}
    manifests: dict[str, Manifest | None] = {}
    for task in replication.tasks:
        histories[task], bad_histories = read_histories(replication, task)
        manifests[task], bad_manifest = read_manifest(scale, task)
        problems += [*bad_histories, bad_manifest]
    methods = describe(replication, tables, found, manifests)
    problems.append(methods.problem)
    met = list(dict.fromkeys(problem for problem in problems if problem))
    curves: dict[str, Histories] = {task: by_run(rows) for task, rows in histories.items()}
    page = render(
        replication,
        found,
        tables,
        curves,
        manifests,
        met,
        main=main,
        claims=claims,
        activations=activations,
        curves=make_figures(tables, curves),
        scatter=draw_scatter(main),
        forests=draw_forests(tables),
        costs=draw_costs(tables),
        precision_recall=draw_precision_recall(replication, found),
        detections=detections,
        methods=methods,
        identity=identity,
        other_code=Counter(map(tuple, artifacts.made_by_other_code().values())),
        results=sum(artifact.present for artifact in (*artifacts.trainings(), *artifacts.measurements())),
        strictly=command_line(replication, code="strict"),
        report_command=command_line(replication, paths.report(scale) / "index.html"),
        complexity_command=artifacts.complexity().command,
    )
    folder = paths.report(scale)
    for task in TASKS:
        write_text(folder / "curves" / f"{task}.csv", _to_csv(histories.get(task, [])))
    write_json(folder / "comparison.json", comparison(replication, claims, tables, main))
    write_json(folder / "metrics.json", metrics(tables))
    write_tables(folder / "tables", tables, replication)
    write_text(folder / "index.html", page)
    write_index()
    return met


def _to_csv(rows: list[dict[str, str]]) -> str:
    import pandas as pd

    columns = dict.fromkeys(["run", "seed", "epoch", "loss", *(key for row in rows for key in row)])
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, lineterminator="\n")
