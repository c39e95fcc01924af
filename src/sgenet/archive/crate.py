"""Metadata of an archive: RO-Crate 1.2 with the profile Workflow Run Crate 0.5, as JSON-LD.

Specifications: https://w3id.org/ro/crate/1.2 and https://w3id.org/ro/wfrun/workflow/0.5. The workflow is the Snakefile,
and one CreateAction describes its run: what it read, what it made, when, and which steps failed.
"""

import mimetypes
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sgenet.archive.finished import Finished
from sgenet.archive.source import Source
from sgenet.archive.write import Entry
from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.plain_yaml import read_yaml
from sgenet.config.replication import Replication
from sgenet.errors import InputError
from sgenet.provenance.results import Times
from sgenet.runtime.files import read_json

Entity = dict[str, Any]  # of JSON-LD

_CRATE = "https://w3id.org/ro/crate/1.2"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_LICENCE = "https://spdx.org/licenses/Apache-2.0"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_WORKFLOW, _CITATION = "Snakefile", "CITATION.cff"
_FILES = {  # of every archive, next to results and reports
    "README.md": "Description of the project",
    "README-ARCHIVE.md": "Description of this archive, and how to check it",
    "LICENSE": "Licence of the source, the results and the report",
    _CITATION: "How to cite this software and the paper",
    "requirements.lock": "Versions and digests of all packages",
    "params/pipeline.yaml": "What was run",
}
_REPORT = {"index.html": "Report for readers", "comparison.json": "Every cell and claim of the report"}
_TYPES = {".yaml": "application/yaml", ".lock": "text/plain", ".cff": "application/yaml", ".md": "text/markdown"}
_TYPES |= {".safetensors": "application/octet-stream", ".csv": "text/csv", "": "text/plain"}


def crate(replication: Replication, source: Source, finished: Finished, entries: list[Entry]) -> Entity:
    """Return the content of ro-crate-metadata.json for the files of an archive, in a fixed order.

    Raises:
        InputError: CITATION.cff or the times of a result cannot be read.
    """
    scale = replication.scale_name
    files, started, ended = {entry.name: entry for entry in entries}, *_period(finished, source.date)
    reads = [f"params/scales/{scale}.yaml", "params/pipeline.yaml"]
    reads += [name for name in files if name.startswith(f"data/{scale}/")]
    makes = [f"{folder}/{scale}/" for folder in ("results", "reports")]
    described = [_file(files[name], text) for name, text in _FILES.items() if name in files]
    described += [_file(files[name]) for name in reads if name in files and name not in _FILES]
    described += [_file(entry) for name, entry in files.items() if name.endswith((".safetensors", ".log"))]
    shown = {f"reports/{scale}/{name}": text for name, text in _REPORT.items()}
    described += [_file(files[name], text) for name, text in shown.items() if name in files]
    folders = [
        {"@id": makes[0], "@type": "Dataset", "name": f"Raw results at scale {scale}, with their provenance"},
        {"@id": makes[1], "@type": "Dataset", "name": f"Report at scale {scale}"},
    ]
    if any(name.startswith("src/") for name in files):
        folders.append({"@id": "src/", "@type": "Dataset", "name": f"Source at commit {source.commit}"})
    authors, papers = _cited()
    failed = [f"{name}: {failure.ended}" for name, failure in finished.failures.items()]
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Replication of SGE at scale {scale}",
        "description": "Preparation of the data, training, evaluation and report, by Snakemake",
        "instrument": {"@id": _WORKFLOW},
        "object": _ids({"@id": name} for name in reads if name in files),
        "result": _ids(folders[:2]),
        "startTime": started,
        "endTime": ended,
        "actionStatus": f"http://schema.org/{'Failed' if failed else 'Completed'}ActionStatus",
        **({"error": "; ".join(failed)} if failed else {}),
        **({"agent": _ids(authors)} if authors else {}),
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"A replication of Spatial Group-wise Enhance at scale {scale}",
        "description": _description(replication, source, len(failed)),
        "datePublished": ended[:10],
        "license": {"@id": _LICENCE},
        "conformsTo": [{"@id": profile} for profile in _PROFILES],
        "mainEntity": {"@id": _WORKFLOW},
        "mentions": {"@id": "#run"},
        "hasPart": _ids([{"@id": _WORKFLOW}, *described, *folders]),
        **({"author": _ids(authors)} if authors else {}),
        **({"citation": _ids(papers)} if papers else {}),
    }
    graph = [_descriptor(), root, _workflow(files[_WORKFLOW], source), _language(), action]
    graph += [*described, *folders, _licence(), *authors, *papers, *_profiles()]
    return {"@context": f"{_CRATE}/context", "@graph": graph}


def _descriptor() -> Entity:
    return {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": _CRATE},
    }


def _workflow(entry: Entry, source: Source) -> Entity:
    return _file(entry, "Workflow that prepares data, trains, evaluates and builds the report") | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
        "programmingLanguage": {"@id": _SNAKEMAKE},
        "version": source.commit,
    }


def _language() -> Entity:
    lock = Path("requirements.lock")
    locked = re.search(r"^snakemake==([\w.]+)", lock.read_text(), re.MULTILINE) if lock.is_file() else None
    return {
        "@id": _SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "version": locked[1] if locked else "unknown",
        "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
    }


def _licence() -> Entity:
    return {
        "@id": _LICENCE,
        "@type": "CreativeWork",
        "name": "Apache License 2.0",
        "description": "Apache License, version 2.0",
        "identifier": "Apache-2.0",
    }


def _profiles() -> list[Entity]:
    return [
        {"@id": url, "@type": ["CreativeWork", "Profile"], "name": name, "version": version}
        for url, (name, version) in _PROFILES.items()
    ]


def _file(entry: Entry, description: str = "") -> Entity:
    suffix = Path(entry.name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
    named: Entity = {"@id": entry.name, "@type": "File", "name": Path(entry.name).name, "encodingFormat": kind}
    named |= {"about": {"@id": "./"}} if entry.name == "README.md" else {}
    return named | {"contentSize": str(entry.size)} | ({"description": description} if description else {})


def _description(replication: Replication, source: Source, failed: int) -> str:
    fewest, most = replication.seed_range
    trainings = f"{fewest} to {most} trainings" if fewest < most else f"{fewest} training{'s' * (fewest != 1)}"
    text = (
        f"Raw results, provenance and report of {len(replication.runs)} runs with {trainings} each, "
        f"and the source at commit {source.commit}. Scale {replication.scale_name}: "
        f"{replication.scale.description.rstrip('.')}."
    )
    return text + (f" {failed} step{'s' * (failed != 1)} failed." if failed else "")


def _cited() -> tuple[list[Entity], list[Entity]]:
    """Return the authors in CITATION.cff, and the papers that it refers to."""
    value = read_yaml(Path(_CITATION)) if Path(_CITATION).is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{_CITATION}: found {value!r:.40}, expected a mapping")
    authors = []
    for number, one in enumerate(value.get("authors") or [], 1):
        person = "family-names" in one
        name = " ".join(str(one[key]) for key in ("given-names", "family-names", "name") if key in one)
        id = one.get("orcid") or f"#author-{number}"
        authors.append({"@id": id, "@type": "Person" if person else "Organization", "name": name})
    papers = []
    for one in value.get("references") or []:
        url = f"https://doi.org/{one['doi']}" if "doi" in one else one.get("url")
        if url:
            papers.append({"@id": url, "@type": "ScholarlyArticle", "name": str(one.get("title", url))})
    return authors, papers


def _period(finished: Finished, otherwise: str) -> tuple[str, str]:
    """Return when the first step began and the last one ended, in ISO 8601, as the results state it."""
    starts, ends = [], []
    for artifact in finished.artifacts:
        for path in (artifact.record, artifact.record.with_name(paths.TIMING)):
            if path.is_file():
                for times in _times(read_json(path), path):
                    if times.finished:
                        ends.append(datetime.fromisoformat(times.finished).astimezone(UTC))
                        starts.append(ends[-1] - timedelta(seconds=times.seconds or 0))
    if not ends:
        return otherwise, otherwise
    return min(starts).isoformat(timespec="seconds"), max(ends).isoformat(timespec="seconds")


def _times(value: Any, path: Path) -> Iterable[Times]:
    """Yield the times in a record or timing.json: at its top level, or in its origin or steps."""
    if isinstance(value, dict):
        if isinstance(value.get("finished"), str):
            yield validate(Times, {key: value.get(key) for key in ("seconds", "finished")}, path)
        else:
            for key in ("origin", "train", "evaluate", "activations"):
                yield from _times(value.get(key), path)


def _ids(entities: Iterable[Entity]) -> Entity | list[Entity]:
    """Return references to entities: one, or a list of several."""
    found = [{"@id": entity["@id"]} for entity in entities]
    return found[0] if len(found) == 1 else found
