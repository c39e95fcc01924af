"""The report: shows every number next to the published one, as a page and as files."""

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.tasks import TASKS
from sgenet.judgement import judge
from sgenet.judgement.comparison import comparison, metrics
from sgenet.pipeline.report_identity import report_digest
from sgenet.provenance.identity import Artifacts
from sgenet.report.exports import export_tables
from sgenet.report.index import write_index
from sgenet.report.pages import render
from sgenet.runtime.files import to_json, write_text


def build(replication: Replication) -> list[str]:
    """Write the report of a scale to reports/<scale>/, and reports/index.html, which lists the scales.

    What is missing is shown as not run. What cannot be used is shown as failed, and the rest is still built.

    Returns:
        the problems met, a sentence each; none where every file that was found could be used.
    """
    files, problems = contents(replication)
    for name, text in files.items():
        write_text(paths.report(replication.scale_name) / name, text)
    write_index()
    return problems


def contents(replication: Replication) -> tuple[dict[str, str], list[str]]:
    """Return the text of each file of the report by its path, and the problems met.

    The files are index.html, comparison.json, metrics.json, curves/<task>.csv and tables/<id>.{csv,md,tex}; equal
    results give equal text.
    """
    identity = report_digest(Artifacts(replication))  # first: what is finished meanwhile makes the page outdated
    judged = judge(replication)
    page, problems = render(judged, identity)
    files = {f"curves/{task}.csv": _to_csv(judged.histories.get(task, [])) for task in TASKS}
    files |= {"comparison.json": to_json(comparison(judged)), "metrics.json": to_json(metrics(judged.tables))}
    files |= {f"tables/{name}": text for name, text in export_tables(judged).items()}
    return files | {"index.html": page}, problems


def _to_csv(rows: list[dict[str, str]]) -> str:
    import pandas as pd

    columns = dict.fromkeys(["run", "seed", "epoch", "loss", *(key for row in rows for key in row)])
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, lineterminator="\n")
