"""The files of params/, mutated: read as a whole replication, whose runs must then resolve, or refused."""

import itertools
import json
from pathlib import Path

import pytest
import yaml

from sgenet.config import paths
from sgenet.config.claims import load_claims
from sgenet.config.replication import load_replication
from support.mutations import forms, fuzz, mutated_bytes, mutated_documents, refused

ROOT = Path(__file__).parents[2]
FILES = {
    "pipeline": "params/pipeline.yaml",
    "scale": "params/scales/demo.yaml",
    "real data": "params/scales/subset.yaml",
    "classification": "params/recipes/classification.yaml",
    "detection": "params/recipes/detection.yaml",
    "table": "params/tables/ablation-normalization.yaml",
    "table of detectors": "params/tables/coco-retinanet.yaml",
    "table of counts": "params/tables/complexity.yaml",
    "sources": "params/sources.yaml",
    "claims": "params/claims.yaml",
}
TABLES = ["ablation-normalization", "coco-retinanet"]


def use(path):
    """Everything that steps, workflow and report first ask of the parameters."""
    name = Path(path).stem
    scale = name if "scales" in path else "demo"
    tables = [name] if "tables" in path else TABLES if "pipeline" not in path else None
    replication = load_replication(None if "pipeline" in path else scale, None, tables)
    for run in replication.runs.values():
        json.dumps([run.identity, run.test_settings], allow_nan=False)
        for seed in itertools.islice(replication.seeds(run.id), 3):
            assert len(paths.training(replication.scale_name, run.id, seed).parts) > 3
            assert replication.run(run.id) is run
    assert replication.seed_range[0] >= replication.pipeline.seeds
    replication.full_size(), replication.plain_of(), replication.released()
    json.dumps([replication.scale.plain(), replication.pipeline.plain()], allow_nan=False).encode()
    by_id = {table.id: table for table in replication.tables}
    for claim in load_claims(replication.tables).claims:
        for condition in claim.conditions:
            if (table := by_id.get(getattr(condition, "table", ""))) and hasattr(condition, "row"):
                condition.rows(table)
    for table in replication.tables:
        for row in table.rows:
            f"{table.title} {row.label} {row.note}".encode()
    return replication


@pytest.mark.parametrize("what", FILES)
@forms(15, 100)
def test_bytes(project, what, form):
    path = FILES[what]
    valid = Path(path).read_bytes()

    def check(content):
        Path(path).write_bytes(content)
        return refused(lambda: use(path), "params/") is not None

    fuzz(mutated_bytes(valid), check, form, also=[valid])


@pytest.mark.parametrize("what", FILES)
@forms(20, 150)
def test_structure(project, what, form):
    path = FILES[what]
    valid = yaml.safe_load(Path(path).read_text())

    def check(value):
        Path(path).write_text(yaml.safe_dump(value, sort_keys=False))
        return refused(lambda: use(path), "params/") is not None

    fuzz(mutated_documents(valid), check, form)
