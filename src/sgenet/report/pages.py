"""The page: one HTML file that needs nothing beside it."""

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from sgenet import params, paths
from sgenet.claims import CLAIM_VERDICTS, CONTRADICTED, SUPPORTED
from sgenet.params import Settings
from sgenet.report import activations as activation_figures
from sgenet.report import figures
from sgenet.report.activations import Activations
from sgenet.report.cells import VERDICTS, CellTable
from sgenet.report.claims import JudgedClaim, beaten
from sgenet.report.figures import Figure
from sgenet.report.results import Found
from sgenet.runs import FIGURES_RUN, TASKS, Replication

GOOD = ("exact", "gain replicated", "same direction", "equals the log", SUPPORTED)
BAD = ("differs", "opposite direction", "differs from the log", "failed", CONTRADICTED)
CONFIDENCE_MARKS = {"high": "", "medium": "†", "low": "‡"}
MINUS = "\N{MINUS SIGN}"


def render(
    replication: Replication,
    claims: list[JudgedClaim],
    tables: list[CellTable],
    found: Found,
    curves: list[Figure],
    activations: Activations | None,
    manifests: dict[str, Settings | None],
    problems: list[str],
) -> str:
    """The whole page as HTML."""
    counts = Counter(cell.verdict for table in tables for cell in table.cells)
    dossiers = _dossiers(replication, tables, found)
    environment = _environment()
    environment.globals["anchors"] = {entry["run"]: f"run-{number}" for number, entry in enumerate(dossiers, 1)}
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
        claims=claims,
        claim_verdicts=CLAIM_VERDICTS,
        beaten=beaten(replication.tables),
        latency=found.latency,
        curves=curves,
        activations=activations,
        figures_of=FIGURES_RUN,
        figures_run=FIGURES_RUN in replication.runs,
        data=[(task, manifests[task], _contact_sheet(replication.scale_name, task)) for task in TASKS],
        left_out=_left_out(replication, tables, found),
        dossiers=dossiers,
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
        "printed": printed,
        "signed": signed,
        "span": span,
        "duration": duration,
        "three": lambda value: f"{value:#.3g}".removesuffix("."),
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"= {p:.3f}",
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=True, default_flow_style=None, width=72),
    }
    environment.globals |= {
        "panel_size": {name: getattr(figures, name.upper()) for name in ("width", "height", "left", "right", "bottom")},
        "chart": {
            name: getattr(activation_figures, name.upper()) for name in ("width", "height", "left", "right", "bottom")
        },
        "tone": lambda verdict: "good" if verdict in GOOD else "bad" if verdict in BAD else "plain",
        "marks": CONFIDENCE_MARKS,
        "number_notes": number_notes,
    }
    return environment


def number(value: float, digits: int = 0) -> str:
    """A number with so many decimals, a real minus sign, and thin spaces between thousands."""
    return f"{value:,.{digits}f}".replace("-", MINUS).replace(",", "\N{NARROW NO-BREAK SPACE}")


def printed(value: float, digits: int) -> str:
    """A published number: no more than so many decimals, and none that it was not published with."""
    return number(value, min(digits, len(str(value).partition(".")[2])))


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


def number_notes(table: CellTable) -> dict[str, int]:
    """The notes of a table's columns, rows and published values, each once, in reading order, with their numbers."""
    texts = [column.note for column in table.table.columns]
    for row in table.rows:
        texts.append(row.row.note)
        for cell in row.cells:
            if cell.published:
                texts += [cell.published.note, cell.published.difference]
    return {text: number for number, text in enumerate(dict.fromkeys(filter(None, texts)), 1)}


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
    if never := [run.id for run in found.runs.values() if run.missing and not run.by_seed]:
        which = f"{len(never)} of {len(found.runs)} runs: {', '.join(never)}"
        told.append(f"No result was found of {which if len(never) < len(found.runs) else 'any run'}.")
    for run in found.runs.values():
        if run.missing and run.by_seed:
            told.append(f"{run.id}, seed {', '.join(map(str, run.missing))}: no result was found.")
    known = {path.stem for path in (params.PARAMS / "tables").glob("*.yaml")}
    if unchosen := sorted(known - {table.table.id for table in tables}):
        told.append(f"Tables that params/pipeline.yaml leaves out: {', '.join(unchosen)}.")
    printed = [
        cell.published
        for table in tables
        for cell in table.cells
        if "published" in table.parts(cell.column) and cell.verdict != "not applicable"
    ]
    if empty := printed.count(None):
        told.append(f"Published values that were not recovered: {empty} of {len(printed)} cells.")
    return told


def _dossiers(replication: Replication, tables: list[CellTable], found: Found) -> list[dict[str, Any]]:
    """For each run, and each model that is counted alone, all that is known of its numbers."""
    rows = [(table.table.title, row) for table in tables for row in table.rows]
    models = {run_id: run.model for run_id, run in replication.runs.items()}
    models |= {row.run: row.row.model for _, row in rows if row.run not in models}
    latency = found.latency["models"] if found.latency else {}
    return [
        {
            "run": run_id,
            "model": models[run_id],
            "starts_from": replication.runs[run_id].starts_from if run_id in replication.runs else None,
            "counts": found.counts.get(run_id),
            "latency": latency.get(run_id),
            "results": found.runs.get(run_id),
            "gains": [(title, cell) for title, row in rows if row.run == run_id for cell in row.cells if cell.gain],
        }
        for run_id in sorted(models)
    ]
