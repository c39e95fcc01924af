"""comparison.json and metrics.json: every cell and claim for other programs."""

import re
from typing import Any

from sgenet.config.replication import Replication
from sgenet.evaluation.comparison import VERSION
from sgenet.judgement import Judged
from sgenet.judgement.cells import Cell, CellTable
from sgenet.judgement.judged import to_json

DECIMALS = 6
_FOLDERS = ("root", "train", "val")  # of real data: where they are on this machine


def comparison(judged: Judged) -> dict[str, Any]:
    """Every cell as evaluation/comparison.py describes it; equal for equal runs, wherever they ran."""
    replication, found = judged.replication, judged.main.ratio
    ratio = {key: getattr(found, key) for key in ("value", "low", "high", "df")} if found else None
    return {
        "version": VERSION,
        "scale": replication.scale_name,
        "settings": _settings(replication),
        "ratio": ratio and {key: None if value is None else round(value, DECIMALS) for key, value in ratio.items()},
        "claims": [to_json(claim, DECIMALS) for claim in judged.claims],
        "tables": [
            {
                "id": table.table.id,
                "title": table.table.title,
                "columns": {
                    column.id: {"label": column.label, "unit": column.unit, "digits": column.digits}
                    for column in table.table.columns
                    if not column.timed
                },
                "rows": [
                    {
                        "label": row.row.label,
                        "run": row.run,
                        "cells": {cell.column.id: _cell(cell) for cell in row.cells if not cell.column.timed},
                    }
                    for row in table.rows
                ],
            }
            for table in judged.tables
        ],
    }


def _settings(replication: Replication) -> dict[str, Any]:
    """What decides the numbers, as it was asked for."""
    data = {task: replication.scale.data.of(task).plain() for task in replication.tasks}
    return {
        "report": replication.pipeline.report.plain(),
        "data": {
            task: {key: value for key, value in of_task.items() if key not in _FOLDERS}
            for task, of_task in data.items()
        },
        "runs": {
            run.id: {
                "trainings": replication.seed_counts[run.id],
                "train": run.identity,
                "test": run.test_settings,
            }
            for run in replication.runs.values()
        },
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
                if cell.column.trained and cell.value is not None
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
        published |= {key: text for key in ("note", "difference") if (text := getattr(cell.published, key))}
    released = None
    if cell.released:
        released = {"value": round(cell.released[0], DECIMALS), "sha256": cell.released[1]}
    return {
        "published": published,
        "reproduced": _reproduced(cell),
        "released": released,
        "verdict": cell.verdict,
        "reason": cell.reason,
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
    if cell.unlearned:
        value["did_not_learn"] = True
    if cell.last is not None:
        value["last"] = round(cell.last, DECIMALS)
    if cell.difference is not None:
        value["difference"] = round(cell.difference, DECIMALS)
    if cell.gain:
        gain = {key: getattr(cell.gain, key) for key in ("value", "low", "high", "df", "smallest")}
        value["gain"] = {key: None if bound is None else round(bound, DECIMALS) for key, bound in gain.items()}
        ps = {"p": cell.gain.p, "adjusted_p": cell.adjusted_p}
        value["gain"] |= {key: _short(p) for key, p in ps.items()}
        value["gain"] |= {"baseline": cell.baseline, "n": cell.gain.seeds, "needed": cell.needed}
        if cell.images and cell.images.low is not None and cell.images.high is not None:
            bounds = {"low": round(cell.images.low, DECIMALS), "high": round(cell.images.high, DECIMALS)}
            value["gain"]["images"] = {**bounds, "p": _short(cell.images.p), "n": cell.images.n}
    return value


def _short(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.3g}")
