"""The report: reads the files that the steps left and puts every number beside the published one."""

import csv
import io
import re
from typing import Any

from sgenet import paths
from sgenet.files import write_json, write_text
from sgenet.report.cells import Cell, CellTable, make_table
from sgenet.report.figures import by_run, make_figures
from sgenet.report.inputs import read_histories, read_manifest
from sgenet.report.pages import render
from sgenet.report.results import read_found
from sgenet.runs import TASKS, Replication

DECIMALS = 6


def build(replication: Replication) -> list[str]:
    """Write reports/<scale>/: index.html, comparison.json, metrics.json and curves/<task>.csv.

    What is missing is shown as not run. What cannot be used is shown as failed, and the rest is still built.

    Returns:
        the problems met, a sentence each; none where every file that was found could be used.
    """
    scale = replication.scale_name
    found = read_found(replication)
    tables = [make_table(table, replication, found) for table in replication.tables]
    problems = [run.problem for run in found.runs.values()]
    problems += [cell.problem for table in tables for cell in table.cells]
    histories, manifests = {}, {}
    for task in TASKS:
        histories[task], bad_histories = read_histories(replication, task)
        manifests[task], bad_manifest = read_manifest(scale, task)
        problems += [*bad_histories, bad_manifest]
    told = list(dict.fromkeys(problem for problem in problems if problem))
    curves = [figure for table in tables for figure in make_figures(table, by_run(histories[table.table.task]))]
    page = render(replication, tables, found, curves, manifests, told)
    folder = paths.report(scale)
    for task in TASKS:
        write_text(folder / "curves" / f"{task}.csv", _to_csv(histories[task]))
    write_json(folder / "comparison.json", comparison(scale, tables))
    write_json(folder / "metrics.json", metrics(tables))
    write_text(folder / "index.html", page)
    return told


def comparison(scale: str, tables: list[CellTable]) -> dict[str, Any]:
    """Every cell as workflow/schemas/comparison.schema.json describes it; equal for equal runs, wherever they ran."""
    return {
        "scale": scale,
        "tables": [
            {
                "id": table.table.id,
                "title": table.table.title,
                "rows": [
                    {
                        "label": row.row.label,
                        "run": row.run,
                        "cells": {cell.column.id: _cell(cell) for cell in row.cells},
                    }
                    for row in table.rows
                ],
            }
            for table in tables
        ],
    }


def metrics(tables: list[CellTable]) -> dict[str, dict[str, dict[str, float]]]:
    """The reproduced values of the trained columns by table, row and column, for `dvc metrics`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for table in tables:
        rows = found.setdefault(table.table.id, {})
        for row in table.rows:
            values = {
                cell.column.id: round(cell.value, DECIMALS)
                for cell in row.cells
                if not cell.column.static and cell.value is not None
            }
            name = slug = re.sub(r"[^a-z0-9]+", "-", row.row.label.lower()).strip("-") or "row"
            while name in rows:
                name += f"-{slug}"
            rows[name] = values
    return found


def _cell(cell: Cell) -> dict[str, Any]:
    published = None
    if cell.published:
        published = {
            "value": cell.published.value,
            "source": list(cell.published.source),
            "confidence": cell.published.confidence,
        }
    return {
        "published": published,
        "reproduced": _reproduced(cell),
        "verdict": cell.verdict,
        "origin": cell.origin,
    }


def _reproduced(cell: Cell) -> dict[str, Any] | None:
    if cell.value is None:
        return None
    value: dict[str, Any] = {"value": round(cell.value, DECIMALS), "n": len(cell.seeds) or 1}
    if cell.seeds:
        value["seeds"] = {str(seed): round(number, DECIMALS) for seed, number in cell.seeds.items()}
    if cell.interval:
        value["low"], value["high"] = (round(bound, DECIMALS) for bound in cell.interval)
    if cell.last is not None:
        value["last"] = round(cell.last, DECIMALS)
    if cell.gain:
        gain = {key: getattr(cell.gain, key) for key in ("value", "low", "high")}
        value["gain"] = {key: None if bound is None else round(bound, DECIMALS) for key, bound in gain.items()}
        value["gain"]["baseline"] = cell.baseline
    return value


def _to_csv(rows: list[dict[str, str]]) -> str:
    columns = dict.fromkeys(["run", "seed", "epoch", "loss", *(key for row in rows for key in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
