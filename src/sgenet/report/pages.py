"""The page: one HTML file that needs nothing beside it."""

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from sgenet import params, paths
from sgenet.params import Settings
from sgenet.report import figures
from sgenet.report.cells import VERDICTS, CellTable
from sgenet.report.figures import Figure
from sgenet.report.results import Found
from sgenet.runs import TASKS, Replication

GOOD, BAD = ("exact", "gain replicated", "same direction"), ("differs", "opposite direction", "failed")
CONFIDENCE_MARKS = {"high": "", "medium": "†", "low": "‡"}
MINUS = "\N{MINUS SIGN}"


def render(
    replication: Replication,
    tables: list[CellTable],
    found: Found,
    curves: list[Figure],
    manifests: dict[str, Settings | None],
    problems: list[str],
) -> str:
    """The whole page as HTML."""
    counts = Counter(cell.verdict for table in tables for cell in table.cells)
    anchors = {run_id: f"run-{number}" for number, run_id in enumerate(sorted(found.runs), 1)}
    environment = _environment()
    environment.globals["anchors"] = anchors
    return environment.get_template("page.html").render(
        scale=replication.scale_name,
        description=replication.scale["description"],
        paper=replication.scale_name == "paper",
        confidence=f"{100 * replication.pipeline['report']['confidence']:g}",
        seeds=len(replication.seeds),
        verdicts=[(verdict, counts[verdict], VERDICTS[verdict]) for verdict in VERDICTS if counts[verdict]],
        problems=problems,
        tables=tables,
        sources=params.load_sources(),
        models=_models(found.counts),
        curves=curves,
        data=[(task, manifests[task], _contact_sheet(replication.scale_name, task)) for task in TASKS],
        left_out=_left_out(replication, tables, found),
        dossiers=_dossiers(replication, tables, found),
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "span": span,
        "duration": duration,
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"= {p:.3f}",
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=True, default_flow_style=None, width=72),
    }
    environment.globals |= {
        "panel_size": {name: getattr(figures, name.upper()) for name in ("width", "height", "left", "right", "bottom")},
        "tone": lambda verdict: "good" if verdict in GOOD else "bad" if verdict in BAD else "plain",
        "marks": CONFIDENCE_MARKS,
    }
    return environment


def number(value: float, digits: int = 0) -> str:
    """A number with so many decimals, a real minus sign, and thin spaces between thousands."""
    return f"{value:,.{digits}f}".replace("-", MINUS).replace(",", "\N{NARROW NO-BREAK SPACE}")


def signed(value: float, digits: int) -> str:
    """A difference: always with its sign, except for zero."""
    text = number(value, digits)
    return text.lstrip(MINUS) if float(f"{value:.{digits}f}") == 0 else text if value < 0 else f"+{text}"


def span(bounds: tuple[float, float], digits: int, *, sign: bool = False) -> Markup:
    """An interval that breaks, if it must, behind the comma."""
    show = signed if sign else number
    low, high = (show(bound, digits) for bound in bounds)
    return Markup('<span class="nb">[{},</span> <span class="nb">{}]</span>').format(low, high)


def duration(seconds: Any) -> str:
    """Seconds as a person says them; what is no number stays as it is."""
    if not isinstance(seconds, int | float):
        return str(seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _models(counts: dict[str, Settings]) -> list[Settings]:
    """The counted networks, each once though several runs share it, by part and name."""
    found = {(entry.get("part"), entry.get("model"), str(entry.get("input"))): entry for entry in counts.values()}
    return sorted(found.values(), key=lambda entry: (str(entry.get("part")) != "network", entry["gflops"]))


def _contact_sheet(scale: str, task: str) -> str | None:
    path = paths.manifest(scale, task).with_suffix(".png")
    if not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _left_out(replication: Replication, tables: list[CellTable], found: Found) -> list[str]:
    """What was not run, in sentences."""
    told = []
    if replication.scale_name != "paper":
        told.append("ImageNet and COCO with the paper's recipe: that is scale paper, and this page is not of it.")
    for run in found.runs.values():
        if run.missing:
            seeds = ", ".join(map(str, run.missing))
            told.append(f"{run.id}, seed {seeds}: no result was found.")
    known = {path.stem for path in (params.PARAMS / "tables").glob("*.yaml")}
    if unchosen := sorted(known - {table.table.id for table in tables}):
        told.append(f"Tables that params/pipeline.yaml leaves out: {', '.join(unchosen)}.")
    empty = sum(cell.published is None for table in tables for cell in table.cells)
    if empty:
        told.append(f"Published values that were not recovered: {empty} of {sum(len(t.cells) for t in tables)} cells.")
    return told


def _dossiers(replication: Replication, tables: list[CellTable], found: Found) -> list[dict[str, Any]]:
    """For each run all that is known of its numbers: counts, results by seed with their origin, gains."""
    rows = [(table.table.title, row) for table in tables for row in table.rows]
    return [
        {
            "run": run_id,
            "model": replication.runs[run_id].model,
            "starts_from": replication.runs[run_id].starts_from,
            "counts": found.counts.get(run_id),
            "results": results,
            "gains": [(title, cell) for title, row in rows if row.run == run_id for cell in row.cells if cell.gain],
        }
        for run_id, results in sorted(found.runs.items())
    ]
