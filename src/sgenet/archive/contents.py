"""What an archive contains: a checkout with the results of one replication, a list of digests, and metadata."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from sgenet.archive.crate import crate
from sgenet.archive.finished import Finished, read_finished
from sgenet.archive.private import without_machine, without_places
from sgenet.archive.source import Source, read_source
from sgenet.archive.write import SUMS, Entry, sums, write_zip
from sgenet.config import params, paths
from sgenet.config.replication import Replication
from sgenet.errors import InputError
from sgenet.runtime.files import to_json

METADATA, README = "ro-crate-metadata.json", "README-ARCHIVE.md"
_PIPELINE = "params/pipeline.yaml"
_CHOICES = ("scale", "tables", "rows", "seeds", "code")  # that can be given outside of params/


def archive(replication: Replication, out: Path, *, weights: bool = False, identifying: bool = False) -> str:
    """Write the archive of a finished replication; returns the digest of the file.

    Args:
        replication: what to archive.
        out: the zip file; an existing archive is replaced.
        weights: whether to add the weights, with a model card next to each.
        identifying: whether host names, device UUIDs and paths of this machine are kept.

    Raises:
        InputError: the replication is not finished, its report is not current, or its source is not committed.
    """
    if out.suffix != ".zip":
        raise InputError(f"archive: OUT.zip: found {str(out)!r}, expected a name that ends with .zip")
    entries = make_entries(replication, weights=weights, identifying=identifying)
    write_zip(out, entries)
    return Entry(out.name, out).sha256


def make_entries(replication: Replication, *, weights: bool = False, identifying: bool = False) -> list[Entry]:
    """Return every file of the archive of a finished replication; arguments and errors are those of `archive`."""
    source, finished = read_source(), read_finished(replication)
    files = [*_source(source, replication), *_results(finished), *_manifests(replication)]
    if not identifying:
        files = [_anonymous(entry) for entry in files]
    reports = [Entry(path.as_posix(), path) for path in _below(paths.report(replication.scale_name))]
    logs = [Entry(failure.log.as_posix(), failure.log) for failure in finished.failures.values()]
    for entry in (*reports, *logs):
        path = entry.content
        changed = None if identifying or isinstance(path, bytes) else without_places(path)
        files.append(Entry(entry.name, changed) if changed else entry)
    if weights:
        files += _weights(replication, finished)
    files.append(Entry(README, _readme(replication, source, finished).encode()))
    unique = {entry.name: entry for entry in files}  # the source may contain results that git tracks
    described = crate(replication, source, finished, list(unique.values()))
    unique[METADATA] = Entry(METADATA, to_json(described).encode())
    unique[SUMS] = sums(unique.values())
    return list(unique.values())


def _source(source: Source, replication: Replication) -> Iterator[Entry]:
    for name, executable in source.files.items():
        if not name.startswith(f"{paths.report(replication.scale_name).as_posix()}/"):
            yield Entry(name, Path(name), executable)
    file, chosen = params.load_pipeline().plain(), replication.pipeline.plain()
    if changes := {key: chosen.get(key) for key in _CHOICES if chosen.get(key) != file.get(key)}:
        text = yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True)
        yield Entry(_PIPELINE, f"# What was run: {', '.join(changes)} were given to the command.\n{text}".encode())


def _results(finished: Finished) -> Iterator[Entry]:
    for artifact in finished.artifacts:
        for path in (artifact.record, *artifact.files):
            if path not in artifact.weights and path.is_file():
                yield Entry(path.as_posix(), path)


def _manifests(replication: Replication) -> Iterator[Entry]:
    for task in replication.tasks:
        path = paths.manifest(replication.scale_name, task)
        if path.is_file():
            yield Entry(path.as_posix(), path)


def _weights(replication: Replication, finished: Finished) -> Iterator[Entry]:
    from sgenet.archive.cards import model_card

    for artifact in finished.artifacts:
        if not artifact.weights:
            continue
        if gone := [path for path in artifact.weights if not path.is_file()]:
            raise InputError(f"{gone[0]}: is missing, expected with --weights; `{artifact.command}` makes it again")
        yield from (Entry(path.as_posix(), path) for path in artifact.weights)
        card = model_card(replication, artifact)
        yield Entry((artifact.record.parent / "README.md").as_posix(), card.encode())


def _anonymous(entry: Entry) -> Entry:
    """Return an entry without what identifies the machine."""
    if isinstance(entry.content, bytes) or not entry.name.startswith("results/"):
        return entry
    changed = without_machine(entry.content)
    return entry if changed is None else Entry(entry.name, changed)


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _readme(replication: Replication, source: Source, finished: Finished) -> str:
    scale = replication.scale_name
    failed = [f"- {name}: {failure.ended}\n" for name, failure in finished.failures.items()]
    failures = f"\nThese steps failed; their logs are in `logs/`:\n\n{''.join(failed)}" if failed else ""
    return f"""# A replication of SGE at scale `{scale}`

This archive contains the source at commit {source.commit} ({source.date[:10]}), the parameters, the raw results and the
report of one replication of *Spatial Group-wise Enhance* (arXiv 1905.09646). README.md describes the project.

- `reports/{scale}/index.html` is the report, `reports/{scale}/comparison.json` its cells for other programs.
- `results/{scale}/` has the raw results with their provenance, `data/{scale}/` manifests of the data.
- `{METADATA}` describes the archive (RO-Crate 1.2, Workflow Run Crate 0.5).
{failures}
To check that no file was changed, run `sha256sum --check --strict --quiet {SUMS}` in the unpacked folder. To use it as
a checkout, unpack it, run `make setup`, then `source .venv/bin/activate` and `sgenet verify .` or `sgenet status`.
"""
