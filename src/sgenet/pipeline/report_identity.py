"""The identity of a report: a digest of everything that decides its page, which contains it."""

import hashlib
import json
import re
from pathlib import Path

from sgenet.config import params, paths
from sgenet.config.claims import load_claims
from sgenet.provenance import code
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import stored

_IDENTITY = re.compile(r'<meta name="identity" content="([0-9a-f]+)">')
_HEAD = 4096  # characters of a page within which it is


def report_digest(artifacts: Artifacts) -> str:
    """Return the digest of what decides a report: parameters, its source, and all results."""
    replication, records = artifacts.replication, list(artifacts.measurements())
    files = {path for task in replication.tasks for path in (artifacts.data(task).record, *artifacts.data(task).files)}
    files.add(paths.plan("paper"))  # the page has its hours
    for artifact in (*records, *artifacts.trainings()):
        # the record has the digests of the others
        files |= {artifact.record, *(path for path in artifact.files if path.name in (paths.HISTORY, paths.TIMING))}
    what = {
        "settings": replication.pipeline.report.plain(),
        "tables": [table.plain() for table in replication.tables],
        "left out": replication.left_out,
        "claims": load_claims(replication.tables).plain(),
        "sources": params.load_sources(),
        "scale": replication.scale.plain(),
        "full scale": path.read_text() if (path := params.PARAMS / "scales" / "paper.yaml").is_file() else "",
        "runs": {run.id: run.settings.plain() for run in replication.runs.values()},
        "seeds": replication.seed_counts,
        "code": code.of_report(),
        "other code": {str(record): files for record, files in artifacts.made_by_other_code().items()},
        "stale": {str(artifact.record): artifacts.stale(artifact) for artifact in records},
        "files": {str(path): stored(path).xxhash for path in sorted(files) if path.is_file()},
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def read_identity(page: Path) -> str | None:
    """Return the identity in a page; None if it has none. OSError or UnicodeDecodeError if it cannot be read."""
    with open(page, encoding="utf-8") as file:
        found = _IDENTITY.search(file.read(_HEAD))
    return found[1] if found else None
