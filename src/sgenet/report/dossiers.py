"""All that is known of the numbers of each run: what a reader sees who opens one of them."""

from typing import Any

from sgenet.judgement import Judged


def dossiers(judged: Judged) -> list[dict[str, Any]]:
    """For each run, and each model that is counted alone, all that is known of its numbers."""
    replication, tables, found = judged.replication, judged.tables, judged.found
    rows = [(table.table.title, row) for table in tables for row in table.rows]
    models = {run_id: run.model for run_id, run in replication.runs.items()}
    models |= {row.run: row.row.model for _, row in rows if row.run not in models}
    latency = found.latency.models if found.latency else {}
    return [
        {
            "run": run_id,
            "model": models[run_id],
            "starts_from": replication.runs[run_id].starts_from if run_id in replication.runs else None,
            "counts": found.counts.get(run_id),
            "failed": found.failed(run_id),
            "latency": latency.get(run_id),
            "results": found.runs.get(run_id),
            "gains": [(title, cell) for title, row in rows if row.run == run_id for cell in row.cells if cell.gain],
        }
        for run_id in sorted(models)
    ]
